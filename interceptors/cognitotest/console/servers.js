// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

import { cognito } from './api.js';
import { ask, confirm, field, text } from './dialog.js';
import { button, byId, code, draw, el, heading, items, say } from './dom.js';
import { onChange, refresh, state } from './state.js';

const scopesPerServer = 100;

export function start() {
  onChange(drawServers);
}

function drawServers() {
  if (!state.pool) {
    return;
  }
  draw(
    byId('servers'),
    heading('servers', 'Resource servers', button('New resource server', 'server-new', createServer, 'small')),
    state.servers.length === 0
      ? el('p', { class: 'muted' }, 'None yet. A resource server is an API and the scopes that it knows; app clients can only be given scopes that are here.')
      : items(state.servers.map(item)),
  );
}

function item(server) {
  const scopes = server.Scopes ?? [];
  return el('li', null,
    el('div', { class: 'head' },
      el('h3', { class: 'break' }, server.Name, ' ', el('span', { class: 'muted mono' }, server.Identifier)),
      el('div', { class: 'actions' },
        button('Edit', `server-edit-${server.Identifier}`, () => editServer(server), 'small', server.Identifier),
        button('Delete', `server-delete-${server.Identifier}`, () => deleteServer(server), 'small danger', server.Identifier))),
    scopes.length === 0
      ? el('p', { class: 'muted small' }, 'No scopes yet: choose Edit to add some.')
      : el('ul', { class: 'scope-list' }, scopes.map((s) => el('li', null,
        code(`${server.Identifier}/${s.ScopeName}`), ' ', el('span', { class: 'muted small' }, s.ScopeDescription)))));
}

// scopeEditor is a list of rows, one a scope.
function scopeEditor(scopes) {
  const rows = el('div', { class: 'scope-rows' });
  const add = (scope) => {
    const n = rows.children.length + 1;
    const name = text({ class: 'mono', maxlength: '256', placeholder: 'e.g. read.file', 'aria-label': `Name of scope ${n}`, value: scope?.ScopeName ?? '' });
    const description = text({ maxlength: '256', placeholder: 'e.g. Read files', 'aria-label': `Description of scope ${n}`, value: scope?.ScopeDescription ?? '' });
    const row = el('div', { class: 'scope-row' }, name, description);
    row.append(el('button', {
      type: 'button', class: 'small danger', 'aria-label': `Remove scope ${n}`,
      on: {
        click: () => {
          row.remove();
          more.disabled = false;
          more.focus();
        },
      },
    }, 'Remove'));
    rows.append(row);
    more.disabled = rows.children.length >= scopesPerServer;
    return name;
  };
  const more = el('button', { type: 'button', class: 'small', on: { click: () => add().focus() } }, 'Add a scope');
  for (const scope of scopes.length > 0 ? scopes : [null]) {
    add(scope);
  }
  const group = el('fieldset', { class: 'field' },
    el('legend', null, 'Scopes'),
    rows,
    el('p', { class: 'hint' }, 'Name and description. No space, quote, backslash or / in a name.'),
    more);
  // Rows that are empty altogether are no scopes; a missing description is the name.
  const read = () => [...rows.children]
    .map((row) => [...row.querySelectorAll('input')].map((i) => i.value.trim()))
    .filter(([name, description]) => name || description)
    .map(([name, description]) => ({ ScopeName: name, ScopeDescription: description || name }));
  return { group, read };
}

function createServer() {
  const name = text({ required: '', maxlength: '256', placeholder: 'e.g. Test API' });
  const identifier = text({ class: 'mono', required: '', maxlength: '256', placeholder: 'e.g. demo' });
  const scopes = scopeEditor([]);
  ask({
    title: 'New resource server',
    action: 'Create resource server',
    body: [
      field('Name', name, 'For people.'),
      field('Identifier', identifier, 'Stands before the / of each scope: a short word or the URL of the API. It cannot be changed later.'),
      scopes.group,
    ],
    submit: async () => {
      await cognito('CreateResourceServer', {
        UserPoolId: state.pool.Id, Identifier: identifier.value, Name: name.value, Scopes: scopes.read(),
      });
      await refresh();
      say(`Resource server ${identifier.value} created`);
    },
  });
}

function editServer(server) {
  const name = text({ required: '', maxlength: '256', value: server.Name });
  const scopes = scopeEditor(server.Scopes ?? []);
  ask({
    title: `Edit ${server.Identifier}`,
    action: 'Save',
    body: [
      field('Name', name),
      scopes.group,
      el('p', { class: 'hint' }, 'App clients keep a scope that is removed here, but tokens no longer carry it.'),
    ],
    submit: async () => {
      await cognito('UpdateResourceServer', {
        UserPoolId: state.pool.Id, Identifier: server.Identifier, Name: name.value, Scopes: scopes.read(),
      });
      await refresh();
      say(`Resource server ${server.Identifier} saved`);
    },
  });
}

function deleteServer(server) {
  confirm(`Delete resource server ${server.Identifier}?`, 'Its scopes go with it. App clients keep them in their lists, but tokens no longer carry them.', 'Delete resource server', async () => {
    await cognito('DeleteResourceServer', { UserPoolId: state.pool.Id, Identifier: server.Identifier });
    await refresh();
    say(`Resource server ${server.Identifier} deleted`);
  });
}
