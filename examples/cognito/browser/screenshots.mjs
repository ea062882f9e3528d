// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

import path from 'node:path';
import { Page } from './browser.mjs';

// screenshots writes what the README shows, and how the page looks in the dark
// and on a phone, into a directory.
export async function screenshots(page, url, directory) {
  const ui = new Page(page);
  const file = (name) => path.join(directory, name);
  await page.goto(url);
  await ui.section('s2s-test').waitFor();
  await ui.request('200');
  await page.getByText('Use another secret').click();
  await page.getByLabel('Secret', { exact: true }).fill('an-old-secret');
  await ui.request('400');
  await page.getByLabel('Secret', { exact: true }).fill('');
  await page.getByText('Use another secret').click();
  await page.getByLabel('demo/read.file').check();
  await page.getByLabel('Other scopes').fill('demo/delete.file');
  await ui.request('200');
  await page.locator('#live-list').getByText('demo/delete.file').waitFor();
  await page.locator('#status:empty').waitFor({ state: 'attached' });
  await page.mouse.move(0, 0);
  await page.screenshot({ path: file('console.png'), fullPage: true });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.screenshot({ path: file('console-dark.png'), fullPage: true });
  await page.setViewportSize({ width: 375, height: 800 });
  await page.screenshot({ path: file('console-phone-dark.png') });
  await page.emulateMedia({ colorScheme: 'light' });
  await page.screenshot({ path: file('console-phone.png'), fullPage: true });
  await page.setViewportSize({ width: 1200, height: 900 });
  await ui.opened(ui.button('New resource server'), 'New resource server');
  await page.screenshot({ path: file('console-dialog.png') });
}
