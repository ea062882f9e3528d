// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// The two ways to the server: Cognito's own API (AWS JSON 1.1), and the control
// paths for what Cognito does not have.

// CallError is a refusal that can be shown as it is.
export class CallError extends Error {
  constructor(message, code, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

const common = { credentials: 'omit', cache: 'no-store', redirect: 'error' };
const longest = 20_000; // milliseconds; a fault may hold an answer for ever

async function call(path, init) {
  let response;
  let answer;
  try {
    response = await fetch(path, { ...common, ...init, signal: AbortSignal.timeout(longest) });
    answer = await response.text();
  } catch {
    throw new CallError('The server gives no answer. See whether it still runs and which faults are on, then try again.', 'Unreachable', 0);
  }
  let parsed = {};
  try {
    parsed = answer === '' ? {} : JSON.parse(answer);
  } catch {
    throw new CallError(`The server answered ${response.status} with something that is not JSON.`, 'NotJSON', response.status);
  }
  if (!response.ok) {
    const code = String(parsed.__type ?? parsed.error ?? 'Error').split('#').pop();
    const message = parsed.message ?? parsed.Message ?? `The server answered ${response.status}.`;
    throw new CallError(parsed.__type ? `${code}: ${message}` : message, code, response.status);
  }
  return parsed;
}

// cognito calls an operation of Cognito's API, as the AWS CLI does.
export function cognito(operation, input) {
  return call('/', {
    method: 'POST',
    headers: {
      'Content-Type': 'application/x-amz-json-1.1',
      'X-Amz-Target': `AWSCognitoIdentityProviderService.${operation}`,
    },
    body: JSON.stringify(input),
  });
}

// all reads a list of Cognito's API to its end.
export async function all(operation, member, input) {
  const found = [];
  let next;
  do {
    const page = await cognito(operation, next ? { ...input, NextToken: next } : input);
    found.push(...(page[member] ?? []));
    next = page.NextToken;
  } while (next);
  return found;
}

// read asks a control path.
export const read = (path) => call(`/_emulator/${path}`, { method: 'GET' });

// control changes something by a control path.
export const control = (path, input) => call(`/_emulator/${path}`, {
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(input),
});

export const poolPath = (id, rest = '') => `pools/${encodeURIComponent(id)}${rest}`;
