// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// The live list of token requests, by polling: one short request a second while
// the page is seen, and none that stays open.

import { read } from './api.js';
import { byId, draw, el } from './dom.js';
import { reload } from './faults.js';
import { refresh, state } from './state.js';

const rows = 100;
const pause = 1000;
const pauseAfterFailure = 3000;

let entries = []; // newest first
let last = 0;
let server = '';
let timer;

export function start() {
  drawList();
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) {
      poll();
    }
  });
  poll();
}

let polling = false;

async function poll() {
  if (polling) {
    return;
  }
  polling = true;
  clearTimeout(timer);
  let next = pause;
  try {
    const got = await read(`token-requests?after=${last}`);
    if (server !== '' && got.server !== server) { // it was started anew and counts from the beginning
      server = got.server;
      last = 0;
      entries = [];
      drawList();
      await refresh();
      next = 0;
    } else {
      server = got.server;
      last = got.last;
      if (got.requests.length > 0) {
        entries = [...got.requests.toReversed(), ...entries].slice(0, rows);
        drawList();
      }
      await reload();
    }
    show('live', 'good');
  } catch {
    show('no connection, trying again', 'bad');
    next = pauseAfterFailure;
  }
  polling = false;
  if (!document.hidden) {
    timer = setTimeout(poll, next);
  }
}

function show(text, look) {
  const mark = byId('live-state');
  if (mark.textContent !== text) {
    mark.textContent = text;
    mark.className = `pill ${look}`;
  }
}

function drawList() {
  const place = byId('live-list');
  if (entries.length === 0) {
    draw(place, el('p', { class: 'muted' }, 'None so far. Requests of this page and of every service that uses this server appear here, without secrets and tokens.'));
    return;
  }
  const titles = ['Time', 'Client', 'Asked', 'Granted', 'Status'];
  draw(place, el('table', null,
    el('thead', null, el('tr', null, titles.map((t) => el('th', { scope: 'col' }, t)))),
    el('tbody', null, entries.map(row))));
}

function row(entry) {
  const pool = state.pools.find((p) => p.Id === entry.pool);
  const elsewhere = state.pools.length > 1 ? el('span', { class: 'readable' }, pool?.Name ?? entry.pool) : null;
  const scopes = (list, dropped) => el('ul', { class: 'scopes' }, list.map((s) => {
    const isDropped = dropped.includes(s);
    return el('li', { class: isDropped ? 'chip warn' : 'chip' }, el('span', { class: 'name' }, s), isDropped ? ' dropped' : null);
  }));
  const cell = (label, ...content) => el('td', { 'data-label': label }, content);
  const nothing = (text) => el('span', { class: 'muted' }, entry.fault ? '–' : text); // a fault does not look at the request
  return el('tr', null,
    cell('Time', new Date(entry.time).toLocaleTimeString(undefined, { hourCycle: 'h23' })),
    cell('Client', entry.client || nothing('unknown'), elsewhere),
    cell('Asked', entry.asked.length > 0 ? scopes(entry.asked, entry.dropped) : nothing('all')),
    cell('Granted', entry.granted.length > 0 ? scopes(entry.granted, []) : nothing('nothing')),
    cell('Status', outcome(entry)));
}

function outcome(entry) {
  const look = entry.status === 200 && !entry.fault ? 'good' : 'bad';
  const reason = [entry.error, entry.trigger_error, entry.throttled ? 'throttled' : '', entry.fault ? 'fault' : ''].filter(Boolean).join(', ');
  return [
    el('span', { class: `pill ${look}` }, entry.status === 0 ? 'no answer' : String(entry.status)),
    reason ? el('span', { class: 'readable' }, reason) : null,
  ];
}
