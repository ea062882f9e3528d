// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import http from 'node:http';
import axe from 'axe-core';
import { chromium } from 'playwright-core';

// patience is how long something may take before it counts as a failure, in
// milliseconds: on a slow machine everything takes long.
export const patience = 300_000;

// launch starts Debian's Chromium. As root it has no sandbox of its own.
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    timeout: patience,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
    ],
  });
}

// watch collects what must not happen on a page: violations of its policy,
// errors of its scripts, requests to elsewhere. It keeps what the page says,
// which is not shown for long, and takes its time limits away.
export async function watch(page, url) {
  const found = [];
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener('securitypolicyviolation', (e) => { globalThis.violations.push(`${e.violatedDirective} ${e.blockedURI}`); });
    globalThis.said = [];
    document.addEventListener('DOMContentLoaded', () => {
      const status = document.getElementById('status');
      if (status) {
        new MutationObserver(() => { globalThis.said.push(status.textContent); }).observe(status, { childList: true });
      }
    });
    AbortSignal.timeout = () => new AbortController().signal;
  });
  page.on('pageerror', (error) => found.push(`error of a script: ${error.message}`));
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) {
      found.push(`request to ${request.url()}`);
    }
  });
  page.on('dialog', (dialog) => {
    found.push(`window of the browser: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('console', (message) => {
    // Chromium reports each answer of 400 and above, and each connection that
    // breaks: these the test brings about itself, at these addresses only.
    const expected = message.text().startsWith('Failed to load resource') &&
      (/\/(oauth2\/token|keys\/rotate|)$/.test(message.location().url) || message.text().includes('ERR_INTERNET_DISCONNECTED'));
    if (['error', 'warning'].includes(message.type()) && !expected) {
      found.push(`console: ${message.text()} (${message.location().url})`);
    }
  });
  return {
    async check() {
      found.push(...await page.evaluate(() => globalThis.violations.map((v) => `policy: ${v}`)));
      assert.deepEqual(found, []);
    },
  };
}

// otherSite opens a page of another site in the same browser, which tries what
// such a page can: to change something, to read something, to show the console
// in a frame. Nothing of it may succeed.
export async function otherSite(context, url) {
  const server = http.createServer((_, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end('<!doctype html><title>Another site</title>');
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const page = await context.newPage();
  try {
    await page.goto(`http://localhost:${server.address().port}/`);
    const got = await page.evaluate(async (target) => {
      const outcomes = [];
      const attempt = async (path, init) => {
        try {
          const response = await fetch(target + path, init);
          outcomes.push(response.type === 'opaque' ? 'nothing' : `${path}: ${response.status}`);
        } catch {
          outcomes.push('nothing');
        }
      };
      const pools = { 'X-Amz-Target': 'AWSCognitoIdentityProviderService.ListUserPools' };
      for (const type of ['text/plain', 'application/json', 'application/x-amz-json-1.1', 'application/x-www-form-urlencoded']) {
        for (const mode of ['no-cors', 'cors']) {
          await attempt('/_emulator/faults/clear', { method: 'POST', mode, body: '{}', headers: { 'Content-Type': type } });
          await attempt('/', { method: 'POST', mode, body: '{"MaxResults":1}', headers: { 'Content-Type': type, ...pools } });
        }
      }
      await attempt('/_emulator/token-requests', { mode: 'cors' });
      await attempt('/', { mode: 'cors' });
      const frame = document.createElement('iframe');
      const loaded = new Promise((resolve) => { frame.onload = resolve; });
      frame.src = target;
      document.body.append(frame);
      await loaded;
      return [...new Set(outcomes)];
    }, url);
    assert.deepEqual(got, ['nothing']);
    const frame = page.frames().find((f) => f !== page.mainFrame());
    assert.equal(await frame.locator('h1').filter({ hasText: 'Embedded Cognito' }).count(), 0, 'the console is shown in a frame');
  } finally {
    await page.close();
    server.closeAllConnections();
    server.close();
  }
}

// Page is the console as its user sees it: by roles, labels and texts.
export class Page {
  constructor(page) {
    this.page = page;
  }

  section(name) {
    return this.page.getByRole('region', { name, exact: true });
  }

  get dialog() {
    return this.page.getByRole('dialog');
  }

  button(name, within = this.page) {
    return within.getByRole('button', { name, exact: true });
  }

  // opened opens a dialog and returns it once it is there.
  async opened(button, title) {
    await button.click();
    const dialog = this.page.getByRole('dialog', { name: title });
    await dialog.waitFor();
    return dialog;
  }

  // closed presses the dialog's button and waits until the dialog has gone.
  async closed(dialog, action) {
    await this.button(action, dialog).click();
    await dialog.waitFor({ state: 'detached' });
  }

  // says waits until the page says a text, or has said it since what the test
  // heard before.
  async says(text) {
    await until(`the page says ${text}`, () => this.page.evaluate((wanted) => {
      const at = globalThis.said.findIndex((s) => s.includes(wanted));
      globalThis.said.splice(0, at + 1);
      return at >= 0;
    }, text));
  }

  // request asks for a token with the form as it is, and waits for the outcome.
  async request(outcome) {
    await this.button('Request token').click();
    await this.result.locator('.head').filter({ hasText: outcome }).waitFor();
  }

  get result() {
    return this.page.locator('#token-result');
  }

  // focus names what has the focus.
  focus() {
    return this.page.evaluate(() => document.activeElement.dataset.key ?? document.activeElement.id ?? document.activeElement.tagName);
  }

  // accessible checks the rules of WCAG 2.2 AA that a program can check:
  // contrast, names, roles.
  async accessible(what) {
    await this.page.evaluate(axe.source);
    const violations = await this.page.evaluate(async () => {
      const result = await globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
      return result.violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.html} ${n.failureSummary}`));
    });
    assert.deepEqual(violations, [], what);
  }

  // tour presses Tab through the whole page and returns what had the focus and
  // showed it, and what can have it.
  tour() {
    const controls = 'a[href], button:enabled, input:enabled, select:enabled, summary, [tabindex="0"]';
    return this.page.evaluate((selector) => {
      globalThis.toured = new Set();
      // One of a group of radio buttons stands for all.
      const all = [...document.querySelectorAll(selector)].filter((e) => e.checkVisibility() && !(e.type === 'radio' && !e.checked));
      document.activeElement.blur();
      return all.length;
    }, controls);
  }

  // toured notes what has the focus now, and says how many had it so far; 0
  // means that the focus is not shown.
  toured() {
    return this.page.evaluate(() => {
      const e = document.activeElement;
      if (e === document.body) {
        return globalThis.toured.size;
      }
      const { outlineStyle, outlineWidth } = getComputedStyle(e);
      globalThis.toured.add(e);
      return outlineStyle === 'solid' && parseFloat(outlineWidth) >= 2 ? globalThis.toured.size : 0;
    });
  }

  // overflow is by how much the page is wider than the window.
  overflow() {
    return this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  }
}

// until waits for a condition on values that no locator shows.
export async function until(what, condition) {
  const end = Date.now() + patience;
  for (;;) {
    if (await condition()) {
      return;
    }
    assert.ok(Date.now() < end, `not within ${patience} ms: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}
