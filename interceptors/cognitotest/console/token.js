// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Requests a token as the blog does with Postman: by a plain POST to the token
// endpoint, which is shown byte for byte together with the answer.

import { addedSecret } from './clients.js';
import { byId, draw, el } from './dom.js';
import { check } from './dialog.js';
import { showResult } from './result.js';
import { customScopes, describeClient, domains, onChange, refresh, state } from './state.js';

let running = null; // AbortController of the request that is on its way

export function start() {
  byId('token-form').addEventListener('submit', (event) => {
    event.preventDefault();
    if (!running) {
      request();
    }
  });
  byId('token-cancel').addEventListener('click', () => running?.abort());
  byId('token-client').addEventListener('change', drawScopes);
  onChange(drawForm);
}

let drawnFor = null;

async function drawForm() {
  const select = byId('token-client');
  const before = select.value;
  select.replaceChildren(...state.clients.map((c) => el('option', { value: c.ClientId }, c.ClientName)));
  if (state.clients.some((c) => c.ClientId === before)) {
    select.value = before;
  }
  const ready = state.clients.length > 0 && domains().length > 0;
  byId('token-submit').disabled = !ready;
  if (drawnFor !== state.pool?.Id) {
    drawnFor = state.pool?.Id;
    byId('token-free').value = '';
    byId('token-secret').value = '';
    byId('token-result').replaceChildren();
  }
  await drawScopes();
}

// drawScopes lists every scope of the pool: to ask for one that the client may
// not have is the way to see what becomes of it.
async function drawScopes() {
  const box = byId('token-scopes');
  const id = byId('token-client').value;
  if (!id || domains().length === 0) {
    draw(box, el('p', { class: 'muted' }, id
      ? 'The pool has no domain and so no token endpoint: add a domain.'
      : 'The pool has no app client: create one.'));
    return;
  }
  let allowed = [];
  try {
    allowed = (await describeClient(id)).AllowedOAuthScopes ?? [];
  } catch {
    // the list is shown all the same; the request will say what is wrong
  }
  if (byId('token-client').value !== id) {
    return; // another client was chosen meanwhile
  }
  const custom = customScopes();
  // Not before the client has come: meanwhile its user may tick another one.
  const ticked = new Set([...box.querySelectorAll('input:checked')].map((i) => i.value));
  draw(box, custom.length === 0
    ? el('p', { class: 'muted' }, 'The pool has no custom scopes: create a resource server.')
    : custom.map((scope) => check(el('span', null,
      el('span', { class: 'mono' }, scope.name),
      allowed.includes(scope.name) ? '' : el('span', { class: 'muted small' }, ' not allowed for this client')),
    { value: scope.name, checked: ticked.has(scope.name), 'data-key': `ask-${scope.name}` }).label));
}

// askedScopes are the ticked and the typed ones, as they will be sent.
function askedScopes() {
  const ticked = [...byId('token-scopes').querySelectorAll('input:checked')].map((i) => i.value);
  const typed = byId('token-free').value.split(/\s+/).filter(Boolean);
  return [...ticked, ...typed];
}

// bytesToBase64 takes any text; btoa alone takes Latin-1 only.
const base64 = (value) => btoa(String.fromCodePoint(...new TextEncoder().encode(value)));

// compose makes the request that will be sent, as fetch takes it and as text.
function compose(path, id, secret, scopes, inBody) {
  const form = new URLSearchParams({ grant_type: 'client_credentials' });
  if (inBody) {
    form.set('client_id', id);
    form.set('client_secret', secret);
  }
  if (scopes.length > 0) {
    form.set('scope', scopes.join(' '));
  }
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded', Accept: 'application/json' };
  if (!inBody) {
    headers.Authorization = `Basic ${base64(`${id}:${secret}`)}`;
  }
  const body = form.toString();
  const lines = Object.entries({ Host: location.host, ...headers }).map(([name, value]) => `${name}: ${value}`);
  return { headers, body, text: `POST ${path} HTTP/1.1\n${lines.join('\n')}\n\n${body}` };
}

async function request() {
  const result = byId('token-result');
  const id = byId('token-client').value;
  const asked = askedScopes();
  const inBody = byId('token-form').elements.auth.value === 'body';
  const submit = byId('token-submit');
  const cancel = byId('token-cancel');
  running = new AbortController();
  cancel.hidden = false;
  submit.setAttribute('aria-disabled', 'true');
  result.replaceChildren(el('p', { class: 'muted' }, 'Waiting for the answer…'));
  try {
    const secret = byId('token-secret').value || (await describeClient(id)).ClientSecret || addedSecret(id);
    const path = state.info.token_path;
    const sent = compose(path, id, secret, asked, inBody);
    showResult(result, { asked, sent, ...await send(path, sent, running.signal) });
  } catch (error) {
    result.replaceChildren(el('p', { class: 'message bad' }, error.message));
  } finally {
    running = null;
    if (state.info?.keys.length === 0) { // the first token made them
      await refresh().catch(() => {});
    }
    submit.removeAttribute('aria-disabled');
    if (document.activeElement === cancel) {
      submit.focus();
    }
    cancel.hidden = true;
  }
}

// send returns what came back, also of an answer that broke off: response is
// null if there was none, and broken says in words what went wrong.
async function send(path, sent, signal) {
  const began = performance.now();
  const took = () => Math.round(performance.now() - began);
  let response;
  try {
    response = await fetch(path, {
      method: 'POST', headers: sent.headers, body: sent.body, signal, credentials: 'omit', cache: 'no-store', redirect: 'manual',
    });
  } catch {
    return {
      response: null, body: '', ms: took(),
      broken: signal.aborted ? 'Cancelled: no answer had come.' : 'No answer: the connection ended before one came.',
    };
  }
  if (response.type === 'opaqueredirect') {
    return { response: null, body: '', ms: took(), broken: 'The answer is a redirect. Browsers do not show a page where to; curl -i does.' };
  }
  const decoder = new TextDecoder();
  let body = '';
  let broken = '';
  try {
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) {
        break;
      }
      body += decoder.decode(value, { stream: true });
      if (body.length > 1 << 20) {
        await reader.cancel();
        broken = 'The body is longer than 1 MiB; this is its beginning.';
        break;
      }
    }
  } catch {
    broken = signal.aborted ? 'Cancelled: the body was not complete.' : 'The connection ended before the body was complete.';
  }
  return { response, body, ms: took(), broken };
}
