// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Shows what came of a token request: asked beside granted, the raw request and
// answer, and the decoded token.

import { poolPath, read } from './api.js';
import { button, byId, copyButton, draw, el } from './dom.js';
import { decode, readableTime, verify } from './jwt.js';
import { state } from './state.js';

const hints = {
  invalid_client: 'Id and secret do not belong together, or the secret was deleted. An unknown client is answered in the same way.',
  invalid_grant: 'OAuth is not switched on for the client: edit it and allow client credentials.',
  invalid_request: 'A parameter is missing, is there twice, or the body is not a form.',
  invalid_scope: 'No scope remains that the client may have. Tick some for it under App clients, or ask for others.',
  unauthorized_client: 'The client may not use this flow: edit it and allow client credentials.',
  unsupported_grant_type: 'The grant type must be client_credentials.',
};

const statusHints = {
  405: 'Cognito answers 405 without a body to a wrong path, content type or method.',
  429: 'Throttled: Cognito allows so many token requests a second over all pools of an account. Wait, then try again; keep tokens instead of asking anew.',
};

// showResult draws a result into its place.
export function showResult(place, result) {
  const { response, body, broken, sent } = result;
  const parsed = parse(body);
  const token = response?.ok && typeof parsed?.access_token === 'string' ? parsed.access_token : null;
  const decoded = token ? decode(token) : null;
  const code = typeof parsed?.error === 'string' ? parsed.error : null;
  const hint = hints[code] ?? statusHints[response?.status];
  byId('token-outcome').textContent = [broken || outcome(response, code), token ? 'a token was issued' : 'no token'].join(', ');
  draw(place, el('div', { class: 'result' },
    el('div', { class: 'head' },
      el('h3', null, el('span', { class: token ? 'pill good' : 'pill bad' }, outcome(response, code))),
      el('span', { class: 'muted small' }, `${result.ms} ms`)),
    broken ? el('p', { class: 'message bad' }, broken) : null,
    hint && !token ? el('p', { class: 'message warn' }, hint) : null,
    response?.ok && !token && !broken
      ? el('p', { class: 'message warn' }, 'The answer has no access_token in JSON: a client must treat it as a failure.') : null,
    decoded ? compare(result.asked, decoded) : null,
    token && !decoded ? el('p', { class: 'message warn' }, 'The access token is not a JWT of three parts.') : null,
    decoded ? tokenView(token, decoded) : null,
    raw('Request', sent.text, 'request'),
    response ? raw('Response', responseText(response, body), 'response', !token) : null));
}

function parse(body) {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

function outcome(response, code) {
  if (!response) {
    return 'No answer';
  }
  const status = `${response.status} ${response.statusText}`.trim();
  return code ? `${status}: ${code}` : status;
}

// compare puts what was asked beside what the token has. A dropped scope is
// said in words, not by colour alone.
function compare(asked, decoded) {
  const granted = String(decoded.payload.scope ?? '').split(' ').filter(Boolean);
  const chip = (name, look, mark) => el('li', { class: `chip ${look}` }, el('span', { class: 'name' }, name), mark ? ` ${mark}` : null);
  const dropped = asked.filter((s) => !granted.includes(s));
  return el('div', null,
    el('div', { class: 'compare' },
      el('div', null,
        el('h4', null, 'Asked'),
        asked.length === 0
          ? el('p', { class: 'muted small' }, 'no scope named: all that the client may have')
          : el('ul', { class: 'scopes', id: 'asked' }, asked.map((s) => (granted.includes(s) ? chip(s, '') : chip(s, 'warn', 'dropped'))))),
      el('div', null,
        el('h4', null, 'Granted'),
        el('ul', { class: 'scopes', id: 'granted' }, granted.map((s) => chip(s, 'good'))))),
    dropped.length > 0
      ? el('p', { class: 'hint' }, 'Dropped without an error: compare the token with what you asked, as clientauth does.') : null);
}

function tokenView(token, decoded) {
  const [header, payload, signature] = token.split('.');
  const outcomeOf = el('span', { class: 'small', role: 'status' });
  return el('details', { class: 'decoded', open: true },
    el('summary', null, 'Decoded token'),
    el('h4', null, 'Header'),
    table(decoded.header, false),
    el('h4', null, 'Payload'),
    table(decoded.payload, true),
    el('div', { class: 'actions' },
      button('Check signature', 'verify', async () => {
        outcomeOf.textContent = 'Checking…';
        outcomeOf.textContent = await verify(token, decoded.header, await jwksPath());
      }, 'small'),
      outcomeOf),
    el('details', null,
      el('summary', null, 'The token as it is sent'),
      el('pre', { tabindex: '0', 'aria-label': 'Access token' },
        el('span', { class: 'part1' }, header), '.', el('span', { class: 'part2' }, payload), '.', el('span', { class: 'part3' }, signature)),
      copyButton(token, 'access token', 'copy-token')));
}

// jwksPath is read anew: the pool may have gone.
async function jwksPath() {
  const info = await read(poolPath(state.pool.Id));
  return info.jwks_path;
}

const times = ['auth_time', 'iat', 'exp', 'nbf'];

function table(members, isPayload) {
  return el('table', null, el('tbody', null, Object.entries(members).map(([name, value]) => el('tr', null,
    el('th', { scope: 'row' }, name),
    el('td', null,
      el('span', { class: 'mono' }, typeof value === 'string' ? value : JSON.stringify(value)),
      isPayload && times.includes(name) && typeof value === 'number'
        ? el('span', { class: 'readable' }, readableTime(value)) : null)))));
}

function raw(title, text, key, open = false) {
  return el('details', { open },
    el('summary', { id: `raw-${key}` }, title),
    el('pre', { tabindex: '0', 'aria-label': title }, text));
}

// responseText writes the answer as it came, but for Set-Cookie, which browsers
// keep from pages.
function responseText(response, body) {
  const lines = [...response.headers].map(([name, value]) => `${name}: ${value}`);
  return `HTTP/1.1 ${response.status} ${response.statusText}\n${lines.join('\n')}\n\n${body}`;
}
