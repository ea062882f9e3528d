// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

import { cognito } from './api.js';
import { ask, check, field, text } from './dialog.js';
import { el, say } from './dom.js';
import { customScopes, refresh, state } from './state.js';

const flow = 'client_credentials';
const secondsOf = { seconds: 1, minutes: 60, hours: 3600, days: 86400 };

// validitySeconds says how long a client's access tokens last. Without a unit
// the number means hours.
export function validitySeconds(client) {
  return (client?.AccessTokenValidity || 1) * secondsOf[client?.TokenValidityUnits?.AccessToken ?? 'hours'];
}

// common makes what the forms for new and existing clients share.
function common(client) {
  const name = text({ required: '', maxlength: '128', placeholder: 'e.g. sts-test-app-client', value: client?.ClientName ?? '' });
  const allowed = client?.AllowedOAuthScopes ?? [];
  const on = client ? client.AllowedOAuthFlowsUserPoolClient && (client.AllowedOAuthFlows ?? []).includes(flow) : customScopes().length > 0;
  const grant = check('Allow the flow client credentials', { checked: Boolean(on) });
  const custom = customScopes();
  const boxes = [
    ...custom,
    ...allowed.filter((s) => !custom.some((c) => c.name === s)).map((s) => ({ name: s })),
  ].map((scope) => {
    const box = check(el('span', { class: 'mono' }, scope.name), { value: scope.name, checked: client ? allowed.includes(scope.name) : true });
    return box;
  });
  const scopes = el('fieldset', { class: 'field' },
    el('legend', null, 'Scopes that it may have'),
    boxes.length === 0
      ? el('p', { class: 'hint' }, 'There are none yet. Create a resource server with scopes first, or create the client without the flow and edit it later.')
      : el('div', { class: 'choices' }, boxes.map((b) => b.label)));
  scopes.disabled = !grant.input.checked;
  grant.input.addEventListener('change', () => { scopes.disabled = !grant.input.checked; });
  const seconds = validitySeconds(client);
  const minutes = el('input', { type: 'number', required: '', min: '5', max: '1440', step: '1', value: String(seconds / 60) });
  const read = () => {
    const wanted = boxes.filter((b) => b.input.checked).map((b) => b.input.value);
    return {
      ClientName: name.value,
      AllowedOAuthFlowsUserPoolClient: grant.input.checked,
      AllowedOAuthFlows: grant.input.checked ? [flow] : (client?.AllowedOAuthFlows ?? []).filter((f) => f !== flow),
      AllowedOAuthScopes: grant.input.checked ? wanted : [],
      ...(Number(minutes.value) * 60 === seconds && client ? {} : {
        AccessTokenValidity: Number(minutes.value),
        TokenValidityUnits: { ...client?.TokenValidityUnits, AccessToken: 'minutes' },
      }),
    };
  };
  return {
    read,
    name: field('Name', name, 'For people, often the name of the service.'),
    rest: [grant.label, scopes, field('A token lasts (minutes)', minutes, '5 to 1440.')],
  };
}

export function createClient() {
  const form = common(null);
  const secret = check('Generate a client secret', { checked: true });
  ask({
    title: 'New app client',
    action: 'Create app client',
    body: [form.name, secret.label, ...form.rest],
    submit: async () => {
      const { UserPoolClient: made } = await cognito('CreateUserPoolClient', {
        UserPoolId: state.pool.Id, GenerateSecret: secret.input.checked, ...form.read(),
      });
      await refresh();
      say(`App client ${made.ClientName} created`);
    },
  });
}

export function editClient(client) {
  const form = common(client);
  ask({
    title: `Edit ${client.ClientName}`,
    action: 'Save',
    body: [form.name, ...form.rest],
    submit: async () => {
      // An update resets what it does not name, so it names everything.
      const {
        ClientSecret: _secret, CreationDate: _created, LastModifiedDate: _modified, ...kept
      } = client;
      await cognito('UpdateUserPoolClient', { ...kept, UserPoolId: state.pool.Id, ...form.read() });
      await refresh();
      say('App client saved');
    },
  });
}
