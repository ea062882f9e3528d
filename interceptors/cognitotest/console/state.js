// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// What the page knows of the server. After each change everything of the
// selected pool is read again: what is shown is what the server says.

import { all, cognito, poolPath, read } from './api.js';

export const state = {
  pools: [], // {Id, Name}
  pool: null, // as DescribeUserPool returns it, or null
  info: null, // what the control path says of the pool
  servers: [], // resource servers
  clients: [], // {ClientId, ClientName}
  client: new Map(), // by id, as DescribeUserPoolClient returns it; read when needed
};

const listeners = [];

// onChange registers a section's drawing function. refresh waits for it.
export const onChange = (listener) => { listeners.push(listener); };

let generation = 0;

// refresh reads the list of pools and one pool, and draws all sections. Without
// an id it stays with the present pool, or takes the first.
export async function refresh(id) {
  generation += 1;
  const mine = generation;
  const pools = await all('ListUserPools', 'UserPools', { MaxResults: 60 });
  const wanted = [id, state.pool?.Id, fromAddress()].find((w) => w && pools.some((p) => p.Id === w)) ?? pools[0]?.Id;
  const next = { pools, pool: null, info: null, servers: [], clients: [], client: new Map() };
  if (wanted) {
    const [described, info, servers, clients] = await Promise.all([
      cognito('DescribeUserPool', { UserPoolId: wanted }),
      read(poolPath(wanted)),
      all('ListResourceServers', 'ResourceServers', { UserPoolId: wanted, MaxResults: 50 }),
      all('ListUserPoolClients', 'UserPoolClients', { UserPoolId: wanted, MaxResults: 60 }),
    ]);
    Object.assign(next, { pool: described.UserPool, info, servers, clients });
  }
  if (mine !== generation) {
    return; // a later refresh has begun
  }
  Object.assign(state, next);
  const address = new URL(location.href);
  address.searchParams.delete('pool');
  if (wanted) {
    address.searchParams.set('pool', wanted);
  }
  history.replaceState(null, '', address);
  await Promise.all(listeners.map((listener) => listener()));
}

const fromAddress = () => new URL(location.href).searchParams.get('pool');

// describeClient returns all of an app client.
export async function describeClient(id) {
  const known = state.client;
  if (!known.has(id)) {
    const { UserPoolClient } = await cognito('DescribeUserPoolClient', { UserPoolId: state.pool.Id, ClientId: id });
    known.set(id, UserPoolClient);
  }
  return known.get(id);
}

// customScopes lists the scopes of all resource servers, as tokens carry them.
export const customScopes = () => state.servers.flatMap((s) => (s.Scopes ?? []).map((scope) => ({
  name: `${s.Identifier}/${scope.ScopeName}`,
  description: scope.ScopeDescription,
})));

// domains lists the pool's domains: a prefix, a custom one, both or none.
export const domains = () => [state.pool?.Domain, state.pool?.CustomDomain].filter(Boolean);
