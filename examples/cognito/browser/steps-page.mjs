// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// What holds for the page as a whole: other sites, lost connections, the
// keyboard, accessibility, dark mode and phones.

import assert from 'node:assert/strict';
import { otherSite } from './browser.mjs';

export function pageSteps({ context, page, ui, url }) {
  return {
    async 'a value is copied'() {
      await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: url });
      await ui.button('Copy token URL').click();
      await ui.says('Copied: token URL');
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `${url}/orders/oauth2/token`);
    },

    async 'another site changes nothing'() {
      await ui.section('Faults').getByLabel('Endpoint').selectOption('Discovery');
      await ui.section('Faults').getByLabel('Fault').selectOption('latency');
      await ui.button('Switch fault on').click();
      await ui.section('Faults').getByText('waits 2000 ms').waitFor();
      await otherSite(context, url);
      const { faults } = await (await fetch(`${url}/_emulator/faults?pool=${new URL(page.url()).searchParams.get('pool')}`)).json();
      assert.equal(faults.length, 1);
      await ui.section('orders').waitFor();
      await ui.button('Clear all faults').click();
      await ui.section('Faults').getByText('every endpoint works').waitFor();
    },

    async 'a server that was started anew is noticed'() {
      const live = page.locator('#live-list');
      await page.route('**/_emulator/token-requests*', (route) => route.fulfill({ json: { server: 'another', last: 0, requests: [] } }));
      await live.getByText('None so far').waitFor(); // what the page knew is gone
      await page.unroute('**/_emulator/token-requests*');
      await live.getByText('somebody/else').waitFor(); // read from the beginning
    },

    async 'every control is reached with Tab, and shows the focus'() {
      const controls = await ui.tour();
      let reached = 0;
      for (let i = 0; i < controls + 10 && reached < controls; i += 1) {
        await page.keyboard.press('Tab');
        reached = await ui.toured();
        assert.ok(reached > 0 || i === 0, `the focus is not shown on ${await page.evaluate(() => document.activeElement.outerHTML)}`);
      }
      assert.equal(reached, controls);
    },

    async 'a lost connection is told'() {
      await context.setOffline(true);
      await ui.section('Token requests').getByText('no connection').waitFor();
      await ui.button('Rotate keys').click();
      await ui.says('The server gives no answer');
      await context.setOffline(false);
      await ui.section('Token requests').getByText('live', { exact: true }).waitFor();
    },

    async 'what a program can check of accessibility'() {
      await ui.accessible('light');
      await page.emulateMedia({ colorScheme: 'dark' });
      await ui.accessible('dark');
      await ui.opened(ui.button('New resource server'), 'New resource server');
      await ui.accessible('dialog');
      await page.keyboard.press('Escape');
      await ui.dialog.waitFor({ state: 'detached' });
      await page.emulateMedia({ colorScheme: 'light' });
    },

    async 'an outage of the management API is told, and ended'() {
      const faults = ui.section('Faults');
      await faults.getByLabel('Endpoint').selectOption('Management API');
      await faults.getByLabel('Fault').selectOption('status');
      await ui.button('Switch fault on', faults).click();
      await faults.getByText(', all pools').waitFor();
      await page.reload();
      await page.getByRole('heading', { name: 'The pool cannot be shown' }).waitFor();
      await ui.button('Clear all faults').click();
      await ui.section('orders').waitFor();
      await ui.section('Faults').getByText('every endpoint works').waitFor();
    },

    async 'dark'() {
      const colour = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const light = await colour();
      await page.emulateMedia({ colorScheme: 'dark' });
      assert.notEqual(await colour(), light);
      await page.emulateMedia({ colorScheme: 'light' });
    },

    async 'a phone'() {
      for (const width of [375, 320]) {
        await page.setViewportSize({ width, height: 700 });
        assert.ok(await ui.overflow() <= 0, `at ${width} px nothing is wider than the window`);
        for (const [name, title] of [['New resource server', 'New resource server'], ['New app client', 'New app client'], ['New pool', 'New user pool']]) {
          const dialog = await ui.opened(ui.button(name), title);
          assert.ok(await ui.overflow() <= 0, `at ${width} px the dialog ${title} fits`);
          const box = await dialog.boundingBox();
          assert.ok(box.x >= 0 && box.x + box.width <= width, `the dialog ${title} is inside the window`);
          await ui.closed(dialog, 'Cancel');
        }
      }
      await page.setViewportSize({ width: 1200, height: 900 });
    },
  };
}

export function lastSteps({ page, watched }) {
  return {
    async 'nothing happened that must not'() {
      assert.equal(await page.evaluate(() => globalThis.hacked), undefined);
      await watched.check();
    },
  };
}
