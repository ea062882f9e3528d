// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

import { control, read } from './api.js';
import { field, text } from './dialog.js';
import { button, byId, draw, el, heading, items, say } from './dom.js';
import { onChange, state } from './state.js';

const endpoints = { token: 'Token endpoint', jwks: 'JWKS', discovery: 'Discovery', api: 'Management API' };

const html = '<!DOCTYPE html>\n<html><body><h1>It works!</h1></body></html>\n';

// kinds are the ways to fail: what to ask for, and the fault of it.
const kinds = {
  status: { label: 'Error status', asks: 'Status', initial: '503', fault: (n) => ({ status: n, body: '{"message":"Service Unavailable"}' }) },
  throttle: { label: 'Throttled (429)', asks: 'Retry-After (seconds)', initial: '1', fault: (n) => ({ status: 429, headers: { 'Retry-After': String(n) }, body: '{"message":"Rate exceeded"}' }) },
  latency: { label: 'Late answer', asks: 'Delay (milliseconds)', initial: '2000', fault: (n) => ({ latency_ms: n }) },
  hang: { label: 'No answer at all', fault: () => ({ hang: true }) },
  cut: { label: 'Body cut half-way', fault: () => ({ cut: true }) },
  slow: { label: 'Slow body', asks: 'Pause before each byte (milliseconds)', initial: '20', fault: (n) => ({ byte_pause_ms: n }) },
  kid: { label: 'Tokens name an unknown key', only: 'token', fault: () => ({ unknown_key_id: true }) },
  stale: { label: 'Keys of before the rotation', only: 'jwks', fault: () => ({ stale_keys: true }) },
  html: { label: 'HTML page', asks: 'Status', initial: '200', fault: (n) => ({ status: n, headers: { 'Content-Type': 'text/html; charset=utf-8' }, body: html }) },
  redirect: { label: 'Redirect to a login page', fault: () => ({ redirect: '/login' }) },
  empty: { label: 'Empty JSON', fault: () => ({ status: 200, body: '{}' }) },
  huge: { label: 'Huge body', asks: 'Bytes', initial: '10485760', fault: (n) => ({ body_size: n }) },
};

let inForce = [];
let drawn = '';
let asked = 0;

export function start() {
  drawForm();
  onChange(load);
}

// load reads which faults are in force.
export async function load() {
  if (!state.pool) {
    return;
  }
  asked += 1;
  const mine = asked;
  const { faults } = await read(`faults?pool=${encodeURIComponent(state.pool.Id)}`);
  if (mine !== asked) {
    return; // a later answer is newer: this one may not know of a change
  }
  inForce = faults;
  if (drawn !== JSON.stringify(faults)) { // else screen readers would tell it again
    drawn = JSON.stringify(faults);
    drawList();
  }
}

// reload is load for those who show faults already; problems show elsewhere.
export async function reload() {
  if (inForce.length > 0) {
    await load().catch(() => {});
  }
}

const list = el('div', { class: 'faults', 'aria-live': 'polite' });
const clear = button('Clear all faults', 'faults-clear', () => change('faults/clear', {}, 'All faults cleared'));

function drawForm() {
  const options = (from) => Object.entries(from).map(([value, o]) => el('option', { value }, o.label ?? o));
  const endpoint = el('select', { 'data-key': 'fault-endpoint' }, options(endpoints));
  const kind = el('select', { 'data-key': 'fault-kind' }, options(kinds));
  const number = text({ inputmode: 'numeric', 'data-key': 'fault-number' });
  const times = text({ inputmode: 'numeric', placeholder: 'all', 'data-key': 'fault-times' });
  const pools = el('select', { 'data-key': 'fault-pools' }, options({ one: 'This pool', all: 'All pools' }));
  const asked = field('Status', number);
  const choosePools = () => { // the management API is of no pool
    pools.disabled = endpoint.value === 'api';
    pools.value = pools.disabled ? 'all' : pools.value;
  };
  const update = () => {
    const chosen = kinds[kind.value];
    endpoint.disabled = Boolean(chosen.only);
    if (chosen.only) { // only there it means something
      endpoint.value = chosen.only;
      choosePools();
    }
    asked.hidden = !chosen.asks;
    asked.firstElementChild.textContent = chosen.asks ?? '';
    number.value = chosen.initial ?? '';
  };
  kind.addEventListener('change', update);
  endpoint.addEventListener('change', choosePools);
  update();
  const form = el('form', { class: 'settings', novalidate: '' },
    el('div', { class: 'row' },
      grow(field('Endpoint', endpoint)), grow(field('Fault', kind)), grow(asked),
      grow(field('Number of requests', times)), grow(field('Applies to', pools))),
    el('div', { class: 'actions' }, el('button', { type: 'submit', 'data-key': 'fault-set' }, 'Switch fault on'), clear));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const fault = kinds[kind.value].fault(Number(number.value));
    if (times.value.trim() !== '') {
      fault.times = Number(times.value);
    }
    change('faults', {
      endpoint: endpoint.value, pool: pools.value === 'one' ? state.pool.Id : '', faults: [fault],
    }, `${endpoints[endpoint.value]}: fault switched on`);
  });
  draw(byId('faults'), heading('faults', 'Faults'), list, form);
}

function grow(node) {
  node.classList.add('grow');
  return node;
}

function drawList() {
  clear.hidden = inForce.length === 0;
  draw(list, inForce.length === 0
    ? el('p', { class: 'muted' }, 'None: every endpoint works. Switch one on to see how your service bears it.')
    : items(inForce.map((f) => el('li', null,
      el('span', { class: 'pill bad' }, endpoints[f.endpoint] ?? f.endpoint), ' ',
      describe(f.fault), el('span', { class: 'muted' }, f.pool === '' ? ', all pools' : ', this pool')))));
}

// describe says in words what a fault does.
function describe(fault) {
  const says = [];
  const add = (when, words) => { if (when) { says.push(words); } };
  add(fault.latency_ms, `waits ${fault.latency_ms} ms`);
  add(fault.hang, 'never answers');
  add(fault.status, `answers ${fault.status}`);
  add(fault.redirect, `redirects to ${fault.redirect}`);
  add(fault.body !== undefined && fault.body !== '', 'with another body');
  add(fault.cut, 'cuts the body');
  add(fault.byte_pause_ms, `waits ${fault.byte_pause_ms} ms before each byte`);
  add(fault.unknown_key_id, 'names a key that is in no JWKS');
  add(fault.stale_keys, 'shows the keys of before the last rotation');
  add(fault.body_size, `fills the body up to ${fault.body_size} bytes`);
  add(fault.times, fault.times === 1 ? 'for one more request' : `for ${fault.times} more requests`);
  return says.join(', ') || 'changes headers only';
}

async function change(path, input, done) {
  try {
    await control(path, input);
    await load();
    say(done);
  } catch (error) {
    say(error.message);
  }
}
