// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

import { control } from './api.js';
import * as clients from './clients.js';
import { byId, say } from './dom.js';
import * as faults from './faults.js';
import * as keys from './keys.js';
import * as live from './live.js';
import * as pool from './pool.js';
import * as servers from './servers.js';
import { refresh } from './state.js';
import * as token from './token.js';

byId('address').textContent = location.host;

for (const section of [pool, servers, clients, token, keys, faults]) {
  section.start();
}

async function load() {
  try {
    await refresh();
  } catch (error) {
    byId('failed-text').textContent = error.message;
    byId('failed').hidden = false;
  }
}

byId('failed-retry').addEventListener('click', load);
byId('failed-clear').addEventListener('click', async () => {
  await control('faults/clear', {}).catch((error) => say(error.message));
  await load();
});
await load();
live.start();
