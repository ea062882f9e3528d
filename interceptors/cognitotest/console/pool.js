// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

import { cognito, control, poolPath } from './api.js';
import { ask, check, confirm, field, text } from './dialog.js';
import { button, byId, copyable, draw, el, facts, heading, say } from './dom.js';
import { domains, onChange, refresh, state } from './state.js';

export function start() {
  byId('pool-new').addEventListener('click', createPool);
  byId('pool-first').addEventListener('click', createPool);
  byId('pool-select').addEventListener('change', (event) => {
    refresh(event.target.value).catch((error) => say(error.message));
  });
  onChange(drawPicker);
  onChange(drawPool);
}

function drawPicker() {
  const select = byId('pool-select');
  select.replaceChildren(...state.pools.map((p) => el('option', { value: p.Id }, `${p.Name} (${p.Id})`)));
  select.value = state.pool?.Id ?? '';
  byId('pool-picker').hidden = state.pools.length === 0;
  byId('no-pool').hidden = state.pool !== null;
  byId('columns').hidden = state.pool === null;
  byId('jump').hidden = state.pool === null;
  byId('failed').hidden = true;
}

function drawPool() {
  const { pool, info } = state;
  if (!pool) {
    return;
  }
  const isProtected = pool.DeletionProtection === 'ACTIVE';
  const names = domains();
  draw(
    byId('pool'),
    heading('pool', pool.Name, button('Delete pool', 'pool-delete', deletePool, 'small danger')),
    facts([
      ['Pool id', copyable(pool.Id, 'pool id', 'copy-pool-id')],
      ...names.map((name) => ['Domain', el('code', null, name), button('Delete', `domain-delete-${name}`, () => deleteDomain(name), 'small danger', `domain ${name}`)]),
      names.length === 0 && ['Domain',
        el('span', { class: 'muted' }, 'none: the pool cannot issue tokens over OAuth'), button('Add a domain', 'domain-new', createDomain, 'small')],
      names.length > 0 && ['Token URL', copyable(info.token_url, 'token URL', 'copy-token-url')],
      ['Issuer', copyable(info.issuer, 'issuer', 'copy-issuer')],
      ['JWKS', copyable(info.jwks_url, 'JWKS URL', 'copy-jwks')],
      ['Deletion', isProtected ? 'protected' : 'allowed'],
    ]),
    settings(),
  );
}

// settings are what this emulator has and Cognito's documents leave open or do
// not let a caller choose.
function settings() {
  const choose = (label, key, member, choices) => {
    const select = el('select', { 'data-key': key }, choices.map(([value, shown]) => el('option', { value }, shown)));
    select.value = state.info[member];
    select.addEventListener('change', async () => {
      let outcome = 'Setting changed';
      try {
        await control(poolPath(state.pool.Id, '/settings'), { [member]: select.value });
      } catch (error) {
        outcome = error.message;
      }
      await refresh().catch((error) => { outcome = error.message; });
      say(outcome);
    });
    const made = field(label, select);
    made.classList.add('grow');
    return made;
  };
  return el('div', { class: 'settings row' },
    choose('Tokens name as issuer', 'set-issuer', 'issuer_form', [
      ['EMULATOR', 'this server'],
      ['ORIGINAL', 'cognito-idp (ORIGINAL)'],
      ['UPDATED', 'issuer-cognito-idp (UPDATED)'],
    ]),
    choose('A scope that is not allowed', 'set-scopes', 'disallowed_scopes', [
      ['drop', 'is dropped silently'],
      ['reject', 'is refused: invalid_scope'],
    ]));
}

function createPool() {
  const name = text({ required: '', maxlength: '128', placeholder: 'e.g. s2s-test' });
  const guard = check('Protect it from deletion');
  ask({
    title: 'New user pool',
    action: 'Create pool',
    body: [field('Name', name, 'For people. Letters, digits, spaces and + = , . @ -'), guard.label],
    submit: async () => {
      const made = await cognito('CreateUserPool', {
        PoolName: name.value,
        DeletionProtection: guard.input.checked ? 'ACTIVE' : 'INACTIVE',
      });
      await refresh(made.UserPool.Id);
      say(`Pool ${made.UserPool.Name} created`);
    },
  });
}

function deletePool() {
  const { pool } = state;
  if (pool.DeletionProtection === 'ACTIVE') {
    confirm(`Delete pool ${pool.Name}?`, 'The pool is protected from deletion. Switch the protection off first; the pool stays.', 'Switch protection off', async () => {
      // An update resets what it does not name, so it names everything.
      await cognito('UpdateUserPool', { ...pool, UserPoolId: pool.Id, DeletionProtection: 'INACTIVE' });
      await refresh();
      say('Protection switched off');
    });
    return;
  }
  confirm(`Delete pool ${pool.Name}?`, 'Its domain, resource servers, app clients and keys go with it. Nothing that trusts its tokens will work any more.', 'Delete pool', async () => {
    for (const name of domains()) { // Cognito deletes no pool that still has one
      await cognito('DeleteUserPoolDomain', { UserPoolId: pool.Id, Domain: name });
    }
    await cognito('DeleteUserPool', { UserPoolId: pool.Id });
    await refresh();
    say(`Pool ${pool.Name} deleted`);
  });
}

function createDomain() {
  const name = text({ class: 'mono', required: '', maxlength: '63', placeholder: 'e.g. my-prefix' });
  ask({
    title: 'Add a domain',
    action: 'Add domain',
    body: field('Prefix', name, 'Small letters, digits and hyphens; without aws, amazon or cognito. No other pool may have it.'),
    submit: async () => {
      await cognito('CreateUserPoolDomain', { UserPoolId: state.pool.Id, Domain: name.value });
      await refresh();
      say(`Domain ${name.value} added`);
    },
  });
}

function deleteDomain(name) {
  const effect = domains().length > 1 ? 'The other domain of the pool stays.' : 'The pool has no token endpoint until it gets another domain.';
  confirm(`Delete domain ${name}?`, `${effect} Tokens that are out stay valid.`, 'Delete domain', async () => {
    await cognito('DeleteUserPoolDomain', { UserPoolId: state.pool.Id, Domain: name });
    await refresh();
    say(`Domain ${name} deleted`);
  });
}
