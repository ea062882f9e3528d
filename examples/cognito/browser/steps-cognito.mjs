// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// What the console is for: pools, resource servers, clients, tokens, keys and
// faults. Each step builds on those before it.

import assert from 'node:assert/strict';
import { until } from './browser.mjs';

const hostile = '<img src=x onerror="globalThis.hacked=1">';

export function cognitoSteps({ page, ui, url }) {
  return {
    async 'the seeded pool is there'() {
      await page.goto(url);
      await ui.section('s2s-test').waitFor();
      assert.equal(await page.title(), 'Embedded Cognito');
      await ui.section('Resource servers').getByText('demo/read.file').waitFor();
      await ui.section('App clients').getByText('sts-test-app-client').waitFor();
      await page.getByText('None so far').waitFor();
    },

    async 'a pool is created with the keyboard alone'() {
      const create = ui.button('New pool');
      await create.focus();
      await page.keyboard.press('Enter');
      await page.getByRole('dialog', { name: 'New user pool' }).waitFor();
      assert.equal(await page.evaluate(() => document.activeElement.tagName), 'INPUT', 'the focus is in the first field');
      await page.keyboard.press('Escape');
      await ui.dialog.waitFor({ state: 'detached' });
      assert.equal(await ui.focus(), 'pool-new', 'Esc returns the focus');

      await page.keyboard.press('Space');
      await page.getByRole('dialog', { name: 'New user pool' }).waitFor();
      await page.keyboard.type('bad!name');
      await page.keyboard.press('Enter');
      await ui.dialog.getByRole('alert').filter({ hasText: 'InvalidParameterException' }).waitFor();
      // Tab stays in the dialog: field, box, Cancel, Create, and round (by the browser's own controls).
      const inside = new Set();
      for (let i = 0; i < 12; i += 1) {
        await page.keyboard.press('Tab');
        inside.add(await page.evaluate(() => (document.activeElement === document.body || document.activeElement.closest('dialog') ? 'inside' : document.activeElement.outerHTML)));
      }
      assert.deepEqual([...inside], ['inside']);
      await until('the field has the focus', async () => {
        await page.keyboard.press('Tab');
        return await page.evaluate(() => document.activeElement.matches('dialog input[type=text]'));
      });
      await page.keyboard.press('Control+A');
      await page.keyboard.type('orders');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Create pool');
      await page.keyboard.press('Enter');
      await ui.dialog.waitFor({ state: 'detached' });
      await ui.section('orders').waitFor();
      await ui.says('Pool orders created');
      assert.equal(await ui.focus(), 'pool-new', 'the focus returns');
      await ui.section('Resource servers').getByText('None yet').waitFor();
      await ui.section('App clients').getByText('None yet').waitFor();
      assert.equal(await ui.button('Request token').isDisabled(), true);
    },

    async 'it gets a domain'() {
      const dialog = await ui.opened(ui.button('Add a domain'), 'Add a domain');
      await dialog.getByLabel('Prefix').fill('s2s-test');
      await ui.button('Add domain', dialog).click();
      await dialog.getByRole('alert').filter({ hasText: /\w/ }).waitFor(); // the other pool has it
      await dialog.getByLabel('Prefix').fill('orders');
      await ui.closed(dialog, 'Add domain');
      await ui.section('orders').getByText('/orders/oauth2/token').waitFor();
    },

    async 'a resource server with scopes, one of them hostile'() {
      const dialog = await ui.opened(ui.button('New resource server'), 'New resource server');
      await dialog.getByLabel('Name', { exact: true }).fill('Orders API');
      await dialog.getByLabel('Identifier').fill('orders');
      await dialog.getByLabel('Name of scope 1').fill('read');
      await dialog.getByLabel('Description of scope 1').fill(hostile);
      await ui.button('Add a scope', dialog).click();
      await page.keyboard.type('cancel<script>globalThis.hacked=2<!--');
      await ui.button('Add a scope', dialog).click();
      await dialog.getByLabel('Name of scope 3').fill('admin');
      await dialog.getByLabel('Description of scope 3').fill('Everything');
      await ui.closed(dialog, 'Create resource server');
      const servers = ui.section('Resource servers');
      await servers.getByText('orders/read').waitFor();
      await servers.getByText(hostile, { exact: true }).waitFor();
      await servers.getByText('orders/cancel<script>globalThis.hacked=2<!--', { exact: true }).waitFor();
      await servers.getByText('orders/admin').waitFor();
    },

    async 'an app client that may have two of the three scopes'() {
      const dialog = await ui.opened(ui.button('New app client'), 'New app client');
      await dialog.getByLabel('Name', { exact: true }).fill('billing');
      await dialog.getByLabel('orders/admin').uncheck();
      await dialog.getByLabel('A token lasts (minutes)').fill('2');
      await ui.button('Create app client', dialog).click(); // the browser says what is wrong
      assert.equal(await page.evaluate(() => document.activeElement.validity.rangeUnderflow), true);
      await dialog.getByLabel('A token lasts (minutes)').fill('30');
      await ui.closed(dialog, 'Create app client');
      const clients = ui.section('App clients');
      await clients.getByText('billing').waitFor();
      await clients.getByText('30 minutes').waitFor();
      assert.equal(await clients.getByText(/^[0-9a-v]{52}$/).count(), 0, 'no secret is shown before it is asked for');
      await ui.button('Show secret', clients).click();
      await clients.getByText(/^[0-9a-v]{40,64}$/).waitFor();
      await ui.button('Hide', clients).click();
      assert.equal(await ui.button('Show secret', clients).count(), 1);
    },

    async 'a token, asked for without scopes, has all'() {
      await ui.request('200');
      await ui.result.getByText('no scope named').waitFor();
      assert.deepEqual(await ui.result.locator('#granted li').allTextContents(), ['orders/read', 'orders/cancel<script>globalThis.hacked=2<!--']);
    },

    async 'a token, decoded, with a dropped scope beside it'() {
      await page.getByLabel('orders/read').check();
      await page.getByLabel('orders/admin').check();
      await page.getByLabel('Other scopes').fill('orders/none');
      await ui.request('200');
      assert.deepEqual(await ui.result.locator('#asked li').allTextContents(), ['orders/read', 'orders/admin dropped', 'orders/none dropped']);
      assert.deepEqual(await ui.result.locator('#granted li').allTextContents(), ['orders/read']);
      const row = (name) => ui.result.getByRole('row').filter({ has: page.getByRole('rowheader', { name, exact: true }) });
      assert.match(await row('alg').textContent(), /RS256/);
      assert.match(await row('token_use').textContent(), /access/);
      assert.match(await row('scope').textContent(), /orders\/read$/);
      assert.match(await row('exp').textContent(), /\d{10}.*in \d+ minutes/);
      assert.match(await row('iss').textContent(), /http:\/\/127\.0\.0\.1:\d+\/[a-z]/);
      await ui.button('Check signature').click();
      await ui.result.getByText('Valid: signed with this key').waitFor();

      await ui.result.getByText('Request', { exact: true }).click();
      const request = await ui.result.getByLabel('Request', { exact: true }).textContent();
      assert.match(request, /^POST \/orders\/oauth2\/token HTTP\/1\.1\nHost: 127\.0\.0\.1:\d+\nContent-Type: application\/x-www-form-urlencoded\n/);
      assert.match(request, /Authorization: Basic [\w+/=]+\n\ngrant_type=client_credentials&scope=orders%2Fread\+orders%2Fadmin\+orders%2Fnone$/);
      await ui.result.getByText('Response', { exact: true }).click();
      const response = await ui.result.getByLabel('Response', { exact: true }).textContent();
      assert.match(response, /^HTTP\/1\.1 200 OK\n[^]*content-type: application\/json;charset=UTF-8\n[^]*\n\n\{"access_token":"ey[\w-]+\.[\w-]+\.[\w-]+","expires_in":1800,"token_type":"Bearer"\}$/);
    },

    async 'what is ticked while the page reads anew stays ticked'() {
      const box = page.getByLabel('orders/admin');
      let held = false;
      let release;
      const released = new Promise((resolve) => { release = resolve; });
      await page.route(`${url}/`, async (route) => {
        if ((await route.request().allHeaders())['x-amz-target']?.endsWith('.DescribeUserPoolClient')) {
          held = true;
          await released;
        }
        await route.continue();
      });
      await page.getByLabel('A scope that is not allowed').selectOption('reject');
      await until('the client is read anew', () => held);
      await box.uncheck();
      await page.evaluate(() => { document.getElementById('token-scopes').firstChild.dataset.before = ''; });
      release();
      await ui.says('Setting changed');
      assert.equal(await page.locator('#token-scopes [data-before]').count(), 0, 'the scopes are drawn anew');
      assert.equal(await box.isChecked(), false);
      await page.unroute(`${url}/`);
      await box.check();
      await page.getByLabel('A scope that is not allowed').selectOption('drop');
      await ui.says('Setting changed');
    },

    async 'id and secret in the body'() {
      await page.getByLabel('in the body').check();
      await ui.request('200');
      await ui.result.getByText('Request', { exact: true }).click();
      const request = await ui.result.getByLabel('Request', { exact: true }).textContent();
      assert.match(request, /client_id=[0-9a-v]+&client_secret=[0-9a-v]+&scope=/);
      assert.ok(!request.includes('Authorization'));
    },

    async 'a wrong secret is refused'() {
      await page.getByText('Use another secret').click();
      await page.getByLabel('Secret', { exact: true }).fill('not-the-secret');
      await ui.request('400 Bad Request: invalid_client');
      await ui.result.getByText('the secret was deleted').waitFor();
      await page.getByLabel('Secret', { exact: true }).fill('');
      await page.getByLabel('in the Basic header').check();
    },

    async 'disallowed scopes are refused when the pool is set so'() {
      await page.getByLabel('A scope that is not allowed').focus();
      await page.keyboard.press('End'); // the last choice: refused
      await ui.says('Setting changed');
      assert.equal(await ui.focus(), 'set-scopes', 'the focus stays on the setting');
      await ui.request('400 Bad Request: invalid_scope');
      await page.getByLabel('A scope that is not allowed').selectOption('drop');
      await ui.says('Setting changed');
      await ui.request('200');
    },

    async 'a second secret is shown once, and deleted'() {
      const clients = ui.section('App clients');
      await ui.button('Add a second secret', clients).click();
      await clients.getByText('Shown only now').waitFor();
      const secret = await clients.getByRole('definition').filter({ hasText: 'Shown only now' }).locator('code').textContent();
      assert.equal(await ui.button('Add a second secret', clients).count(), 0);
      await page.getByLabel('Secret', { exact: true }).fill(secret);
      await ui.request('200');
      const dialog = await ui.opened(ui.button('Delete secret 2', clients), 'Delete a secret of billing?');
      assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Cancel', 'Return does not delete by itself');
      await ui.closed(dialog, 'Delete secret');
      await ui.button('Add a second secret', clients).waitFor();
      await ui.request('400 Bad Request: invalid_client');
      await page.getByLabel('Secret', { exact: true }).fill('');
      await ui.request('200');
    },

    async 'a secret is rotated to the end'() {
      const clients = ui.section('App clients');
      const create = await ui.opened(ui.button('New app client', clients), 'New app client');
      await create.getByLabel('Name', { exact: true }).fill('rotated');
      await ui.closed(create, 'Create app client');
      const client = clients.getByRole('listitem').filter({ has: page.locator('summary').filter({ hasText: 'rotated' }) });
      await client.locator('summary').click();
      await ui.button('Add a second secret', client).click();
      await client.getByText('Shown only now').waitFor();
      await ui.closed(await ui.opened(ui.button('Delete secret 1', client), 'Delete a secret of rotated?'), 'Delete secret');
      await client.getByText('not shown: Cognito tells a secret that was added only once').waitFor();
      await ui.button('Add a second secret', client).waitFor(); // the next rotation can begin
      await page.getByLabel('App client', { exact: true }).selectOption('rotated');
      await ui.request('200'); // the page knows the secret that it has made
      assert.equal(await client.getByText('Shown only now').count(), 1);
      await ui.closed(await ui.opened(ui.button('Delete client', client), 'Delete app client rotated?'), 'Delete client');
      await client.waitFor({ state: 'detached' });
    },

    async 'keys are rotated'() {
      const keys = ui.section('Signing keys');
      const before = await keys.locator('code').first().textContent();
      await ui.button('Rotate keys', keys).click();
      await ui.says('Keys rotated');
      await keys.getByText('old, still published').waitFor();
      await ui.button('Check signature').click();
      await ui.result.getByText('Valid: signed with this key').waitFor();
      await ui.button('Drop old keys', keys).click();
      await ui.says('Old keys dropped');
      await ui.button('Check signature').click();
      await ui.result.getByText('its key is not in the JWKS').waitFor();
      assert.notEqual(await keys.locator('code').first().textContent(), before);
      await keys.getByLabel('Earlier pairs to keep in the JWKS').fill('11');
      await ui.button('Rotate keys', keys).click();
      await ui.says('keep: a whole number from 0 to 10');
      await keys.getByLabel('Earlier pairs to keep in the JWKS').fill('1');
    },

    async 'faults are switched on, seen and cleared'() {
      const faults = ui.section('Faults');
      await faults.getByText('every endpoint works').waitFor();
      await faults.getByLabel('Number of requests').fill('1');
      await ui.button('Switch fault on', faults).click();
      await faults.getByText('answers 503, with another body, for one more request').waitFor();
      await ui.request('503 Service Unavailable');
      await faults.getByText('every endpoint works').waitFor(); // without a reload of the page
      await ui.request('200');

      await faults.getByLabel('Number of requests').fill('');
      await faults.getByLabel('Fault').selectOption('cut');
      await ui.button('Switch fault on', faults).click();
      await faults.getByText('cuts the body').waitFor();
      await ui.request('200');
      await ui.result.getByText('ended before the body was complete').waitFor();

      await faults.getByLabel('Fault').selectOption('html');
      await ui.button('Switch fault on', faults).click();
      await faults.getByText('answers 200').waitFor();
      await ui.request('200');
      await ui.result.getByText('a client must treat it as a failure').waitFor();
      assert.match(await ui.result.getByLabel('Response', { exact: true }).textContent(), /<h1>It works!<\/h1>/);

      await faults.getByLabel('Fault').selectOption('kid');
      await ui.button('Switch fault on', faults).click();
      await faults.getByText('names a key that is in no JWKS').waitFor();
      await ui.request('200');
      await ui.button('Check signature').click();
      await ui.result.getByText('its key is not in the JWKS').waitFor();

      await faults.getByLabel('Fault').selectOption('redirect');
      await ui.button('Switch fault on', faults).click();
      await faults.getByText('redirects to').waitFor();
      await ui.request('No answer');
      await ui.result.getByText('The answer is a redirect').waitFor();

      await faults.getByLabel('Fault').selectOption('hang');
      await faults.getByLabel('Applies to').selectOption('All pools');
      await ui.button('Clear all faults', faults).click();
      await ui.says('All faults cleared');
      await ui.button('Switch fault on', faults).click();
      await faults.getByText('never answers').waitFor();
      await ui.button('Request token').click();
      await page.locator('#live-list').getByText('no answer').first().waitFor(); // while it hangs
      await ui.button('Cancel').click();
      await ui.result.getByText('Cancelled: no answer had come').waitFor();
      await ui.button('Clear all faults', faults).click();
      await faults.getByText('every endpoint works').waitFor();
      await ui.request('200');
    },

    async 'a list of faults that comes late hides no fault'() {
      const faults = ui.section('Faults');
      await faults.getByLabel('Fault').selectOption('cut');
      await ui.button('Switch fault on', faults).click();
      await faults.getByText('cuts the body').waitFor();
      // The page reads the list while a fault is on. That answer, of a moment without
      // faults, comes when another fault is on.
      let release;
      const held = new Promise((resolve) => { release = resolve; });
      await new Promise((asked) => {
        page.route('**/_emulator/faults?*', async (route) => {
          asked();
          await held;
          await route.fulfill({ json: { faults: [] } });
        }, { times: 1 });
      });
      await faults.getByLabel('Fault').selectOption('html');
      await ui.button('Switch fault on', faults).click();
      await faults.getByText('answers 200').waitFor();
      const next = page.waitForRequest('**/_emulator/token-requests*'); // once the page has the late answer
      release();
      await next;
      assert.equal(await faults.getByText('answers 200').count(), 1);
      await ui.button('Clear all faults', faults).click();
      await faults.getByText('every endpoint works').waitFor();
    },

    async 'the live list has it all, and no secrets'() {
      const live = page.locator('#live-list');
      await ui.section('Token requests').getByText('live', { exact: true }).waitFor();
      await live.getByRole('row').filter({ hasText: 'billing' }).filter({ hasText: 'orders/admin dropped' }).first().waitFor();
      for (const [status, reason] of [['400', 'invalid_client'], ['400', 'invalid_scope'], ['503', 'fault'], ['no answer', 'fault']]) {
        await live.getByRole('row').filter({ hasText: status }).filter({ hasText: reason }).first().waitFor();
      }
      const text = await live.textContent();
      assert.ok(!/eyJ|[0-9a-v]{50}|not-the-secret/.test(text), 'the list holds no token and no secret');
    },

    async 'a request of somebody else appears by itself'() {
      const live = page.locator('#live-list');
      const response = await fetch(`${url}/s2s-test/oauth2/token`, {
        method: 'POST', body: new URLSearchParams({ grant_type: 'client_credentials', scope: `somebody/else ${hostile}` }),
      });
      assert.equal(response.status, 400);
      await live.getByText('somebody/else').waitFor();
    },

    async 'scopes are edited'() {
      const servers = ui.section('Resource servers');
      const dialog = await ui.opened(ui.button('Edit orders', servers), 'Edit orders');
      assert.equal(await dialog.getByLabel('Description of scope 1').inputValue(), hostile);
      await ui.button('Remove scope 2', dialog).click();
      await ui.closed(dialog, 'Save');
      await servers.getByText('orders/cancel').waitFor({ state: 'detached' });
      assert.equal(await ui.focus(), 'server-edit-orders', 'the focus returns to the new button of the same kind');
    },
  };
}

export function deleteSteps({ page, ui, url }) {
  const call = async (operation, input) => { // as the AWS CLI does, behind the page's back
    const response = await fetch(url, {
      method: 'POST', body: JSON.stringify(input),
      headers: { 'Content-Type': 'application/x-amz-json-1.1', 'X-Amz-Target': `AWSCognitoIdentityProviderService.${operation}` },
    });
    const answer = await response.text();
    assert.equal(response.status, 200, answer);
    return JSON.parse(answer);
  };
  return {
    async 'all is deleted again, to the last pool'() {
      const clients = ui.section('App clients');
      await ui.closed(await ui.opened(ui.button('Delete client', clients), 'Delete app client billing?'), 'Delete client');
      await clients.getByText('None yet').waitFor();
      const servers = ui.section('Resource servers');
      await ui.closed(await ui.opened(ui.button('Delete orders', servers), 'Delete resource server orders?'), 'Delete resource server');
      await servers.getByText('None yet').waitFor();
      await ui.closed(await ui.opened(ui.button('Delete domain orders', ui.section('orders')), 'Delete domain orders?'), 'Delete domain');
      await ui.button('Add a domain').waitFor();
      await ui.closed(await ui.opened(ui.button('Delete pool'), 'Delete pool orders?'), 'Delete pool');
      await ui.section('s2s-test').waitFor();
      const seeded = new URL(page.url()).searchParams.get('pool');
      await call('CreateUserPoolDomain', {
        UserPoolId: seeded, Domain: 'auth.example.com', CustomDomainConfig: { CertificateArn: 'arn:aws:acm:us-east-1:123456789012:certificate/x' },
      });
      await page.reload();
      await ui.button('Delete domain s2s-test').waitFor();
      await ui.button('Delete domain auth.example.com').waitFor();
      await ui.closed(await ui.opened(ui.button('Delete pool'), 'Delete pool s2s-test?'), 'Delete pool'); // with its domains
      await page.getByRole('heading', { name: 'No user pool yet' }).waitFor();
      assert.equal(await ui.focus(), 'main', 'the focus is not lost with the pool');
      const dialog = await ui.opened(ui.button('Create a user pool'), 'New user pool');
      await dialog.getByLabel('Name').fill('guarded');
      await dialog.getByLabel('Protect it from deletion').check();
      await ui.closed(dialog, 'Create pool');
      await ui.section('guarded').getByText('protected', { exact: true }).waitFor();
      const guarded = { UserPoolId: new URL(page.url()).searchParams.get('pool') };
      await call('UpdateUserPool', { ...guarded, DeletionProtection: 'ACTIVE', UserPoolTags: { team: 'orders' } });
      await page.reload();
      await ui.section('guarded').waitFor();
      await ui.closed(await ui.opened(ui.button('Delete pool'), 'Delete pool guarded?'), 'Switch protection off');
      await ui.section('guarded').getByText('allowed', { exact: true }).waitFor();
      assert.deepEqual((await call('DescribeUserPool', guarded)).UserPool.UserPoolTags, { team: 'orders' }, 'nothing else is changed');
      await page.reload();
      await ui.section('guarded').waitFor();
    },
  };
}
