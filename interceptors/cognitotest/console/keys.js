// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

import { control, poolPath } from './api.js';
import { button, byId, code, draw, el, facts, heading, items, say } from './dom.js';
import { field } from './dialog.js';
import { onChange, refresh, state } from './state.js';

let keep = '1';

export function start() {
  onChange(drawKeys);
}

function drawKeys() {
  if (!state.pool) {
    return;
  }
  const pairs = state.info.keys;
  const count = el('input', { type: 'number', min: '0', max: '10', step: '1', value: keep, 'data-key': 'keys-keep' });
  count.addEventListener('input', () => { keep = count.value; });
  const rotate = el('form', { class: 'settings', novalidate: '' },
    field('Earlier pairs to keep in the JWKS', count, '0 makes all earlier tokens unverifiable at once.'),
    el('div', { class: 'actions' },
      el('button', { type: 'submit', 'data-key': 'keys-rotate' }, 'Rotate keys'),
      pairs.length > 1 ? button('Drop old keys', 'keys-drop', () => change('/keys/drop-old', {}, 'Old keys dropped')) : null));
  rotate.addEventListener('submit', (event) => {
    event.preventDefault();
    change('/keys/rotate', { keep: Number(keep) }, 'Keys rotated');
  });
  draw(
    byId('keys'),
    heading('keys', 'Signing keys'),
    pairs.length === 0
      ? el('p', { class: 'muted' }, 'Made when first needed.')
      : items(pairs.map((pair, i) => el('li', null,
        facts([
          ['Access tokens', code(pair.access_token_kid), i === 0
            ? el('span', { class: 'pill good' }, 'signs') : el('span', { class: 'pill' }, 'old, still published')],
          ['ID tokens', code(pair.id_token_kid)],
        ])))),
    rotate,
  );
}

let busy = false;

async function change(path, input, done) {
  if (busy) {
    return;
  }
  busy = true;
  try {
    await control(poolPath(state.pool.Id, path), input);
    await refresh();
    say(done);
  } catch (error) {
    say(error.message);
  } finally {
    busy = false;
  }
}
