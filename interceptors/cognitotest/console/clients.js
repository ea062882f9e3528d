// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

import { cognito } from './api.js';
import { createClient, editClient, validitySeconds } from './clientform.js';
import { confirm } from './dialog.js';
import { button, byId, code, copyable, draw, el, facts, heading, items, say } from './dom.js';
import { describeClient, onChange, refresh, state } from './state.js';

const opened = new Set(); // client ids whose details are shown
const shown = new Set(); // client ids whose first secret is shown
const made = new Map(); // client id -> second secret with its id; the server tells it only once

export function start() {
  onChange(drawClients);
}

// addedSecret is the second secret of a client if this page has just made it, or ''.
export const addedSecret = (id) => made.get(id)?.ClientSecretValue ?? '';

const openByDefault = () => (state.clients.length === 1 ? state.clients[0].ClientId : null);

async function drawClients() {
  const { pool, clients } = state;
  if (!pool) {
    return;
  }
  if (openByDefault()) {
    opened.add(openByDefault());
  }
  const details = new Map();
  await Promise.all(clients.filter((c) => opened.has(c.ClientId)).map(async (c) => {
    details.set(c.ClientId, await loadDetails(c.ClientId));
  }));
  if (state.clients !== clients) {
    return; // a later refresh draws
  }
  draw(
    byId('clients'),
    heading('clients', 'App clients', button('New app client', 'client-new', createClient, 'small')),
    clients.length === 0
      ? el('p', { class: 'muted' }, 'None yet. An app client stands for one service that asks for tokens; it has an id and a secret.')
      : items(clients.map((c) => item(c, details.get(c.ClientId)))),
  );
}

function item(client, content) {
  const id = client.ClientId;
  const details = el('details', { open: content !== undefined },
    el('summary', { 'data-key': `client-${id}` }, el('strong', null, client.ClientName), ' ', el('span', { class: 'muted mono' }, id)),
    content ?? null);
  let loaded = content !== undefined;
  details.addEventListener('toggle', async () => {
    if (!details.open) {
      opened.delete(id);
      shown.delete(id);
      made.delete(id);
      return;
    }
    opened.add(id);
    if (!loaded) {
      loaded = true;
      details.append(await loadDetails(id));
    }
  });
  return el('li', null, details);
}

// loadDetails makes the inside of a client's entry, or says why it cannot.
async function loadDetails(id) {
  try {
    const [client, { ClientSecrets: secrets }] = await Promise.all([
      describeClient(id),
      cognito('ListUserPoolClientSecrets', { UserPoolId: state.pool.Id, ClientId: id }),
    ]);
    return drawDetails(client, secrets);
  } catch (error) {
    return el('p', { class: 'message bad' }, error.message);
  }
}

function drawDetails(client, secrets) {
  const id = client.ClientId;
  const flows = client.AllowedOAuthFlows ?? [];
  const works = client.AllowedOAuthFlowsUserPoolClient && flows.includes('client_credentials');
  const scopes = client.AllowedOAuthScopes ?? [];
  return el('div', null,
    facts([
      ['Client id', copyable(id, 'client id', `copy-${id}`)],
      ['Secret', secretCell(client, secrets)],
      ...secrets.length > 1 ? secrets.map((s, i) => [`Secret ${i + 1} of ${secrets.length}`, secretRow(client, s, i + 1)]) : [],
      made.has(id) && ['New secret', el('span', { class: 'small' }, 'Shown only now:'), copyable(addedSecret(id), 'new secret', `copy-made-${id}`)],
      ['Flow', works ? code('client_credentials') : el('span', { class: 'pill warn' }, 'gets no machine-to-machine tokens: choose Edit and allow client credentials')],
      ['Scopes', scopes.length === 0 ? el('span', { class: 'muted' }, 'none') : el('ul', { class: 'scopes' }, scopes.map((s) => el('li', { class: 'chip' }, s)))],
      ['Token lasts', validity(client)],
    ]),
    el('div', { class: 'actions' },
      button('Edit', `client-edit-${id}`, () => editClient(client), 'small', client.ClientName),
      secrets.length === 1
        ? button('Add a second secret', `client-add-${id}`, () => addSecret(client), 'small') : null,
      button('Delete client', `client-delete-${id}`, () => deleteClient(client), 'small danger')));
}

function validity(client) {
  const seconds = validitySeconds(client);
  const [size, unit] = [[3600, 'hour'], [60, 'minute'], [1, 'second']].find(([s]) => seconds % s === 0);
  return `${seconds / size} ${unit}${seconds === size ? '' : 's'}`;
}

function secretCell(client, secrets) {
  const id = client.ClientId;
  if (secrets.length === 0) {
    return el('span', { class: 'muted' }, 'none: a public client');
  }
  if (!client.ClientSecret) { // the first one was deleted
    return el('span', { class: 'muted' }, 'not shown: Cognito tells a secret that was added only once');
  }
  const cell = el('div', { class: 'secret' });
  const redraw = () => {
    cell.replaceChildren(...shown.has(id)
      ? [copyable(client.ClientSecret, 'secret', `copy-secret-${id}`), toggle('Hide')]
      : [toggle('Show secret')]);
  };
  const toggle = (label) => button(label, `secret-${id}`, () => {
    if (!shown.delete(id)) {
      shown.add(id);
    }
    redraw();
    cell.lastElementChild.focus();
  }, 'small');
  redraw();
  return cell;
}

function secretRow(client, secret, n) {
  const created = secret.ClientSecretCreateDate;
  return [
    el('span', null, created ? `of ${new Date(created * 1000).toLocaleString()}` : secret.ClientSecretId),
    button('Delete', `secret-delete-${secret.ClientSecretId}`, () => deleteSecret(client, secret), 'small danger', `secret ${n}`),
  ];
}

async function addSecret(client) {
  try {
    const { ClientSecretDescriptor: added } = await cognito('AddUserPoolClientSecret', { UserPoolId: state.pool.Id, ClientId: client.ClientId });
    made.set(client.ClientId, added);
    await refresh();
    say('Second secret added: both are accepted now');
  } catch (error) {
    say(error.message);
  }
}

function deleteSecret(client, secret) {
  confirm(`Delete a secret of ${client.ClientName}?`, 'Whoever still uses it gets invalid_client from now on. Tokens that are out stay valid.', 'Delete secret', async () => {
    await cognito('DeleteUserPoolClientSecret', {
      UserPoolId: state.pool.Id, ClientId: client.ClientId, ClientSecretId: secret.ClientSecretId,
    });
    if (made.get(client.ClientId)?.ClientSecretId === secret.ClientSecretId) {
      made.delete(client.ClientId);
    }
    await refresh();
    say('Secret deleted');
  });
}

function deleteClient(client) {
  confirm(`Delete app client ${client.ClientName}?`, 'Its id and secrets stop working. Tokens that are out stay valid until they expire.', 'Delete client', async () => {
    await cognito('DeleteUserPoolClient', { UserPoolId: state.pool.Id, ClientId: client.ClientId });
    opened.delete(client.ClientId);
    await refresh();
    say(`App client ${client.ClientName} deleted`);
  });
}
