// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Uses the console as a person does. The argument is the address of a server
// that was just started; each step builds on those before it.

import { launch, Page, patience, watch } from './browser.mjs';
import { screenshots } from './screenshots.mjs';
import { cognitoSteps, deleteSteps } from './steps-cognito.mjs';
import { lastSteps, pageSteps } from './steps-page.mjs';

const url = process.argv[2];
const browser = await launch();
const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, colorScheme: 'light', reducedMotion: 'reduce' });
context.setDefaultTimeout(patience);
const page = await context.newPage();
const watched = await watch(page, url);
const ui = new Page(page);

const all = { context, page, ui, url, watched };
const steps = { ...cognitoSteps(all), ...pageSteps(all), ...deleteSteps(all), ...lastSteps(all) };

try {
  if (process.env.SCOPEAUTH_SCREENSHOT) {
    await screenshots(page, url, process.env.SCOPEAUTH_SCREENSHOT);
    await browser.close();
    process.exit();
  }
  for (const [name, step] of Object.entries(steps)) {
    const began = Date.now();
    console.log(`step: ${name}`);
    await step();
    console.log(`      ${Date.now() - began} ms`);
  }
  console.log(`${Object.keys(steps).length} steps done`);
} finally {
  await browser.close();
}
