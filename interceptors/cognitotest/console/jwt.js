// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

const fromBase64url = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.codePointAt(0));

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

// decode returns header and payload of a compact JWS, or null. Nothing is
// verified here: this is a page to look at tokens with.
export function decode(token) {
  const parts = token.split('.');
  if (parts.length !== 3) {
    return null;
  }
  try {
    const [header, payload] = parts.slice(0, 2).map((p) => JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(fromBase64url(p))));
    return isObject(header) && isObject(payload) ? { header, payload } : null;
  } catch {
    return null;
  }
}

// readableTime says a time in seconds since 1970 in the reader's own zone, and
// how far it is from now.
export function readableTime(seconds) {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) {
    return 'not a time';
  }
  const shown = date.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
  return `${shown}, ${distance(Math.round(seconds - Date.now() / 1000))}`;
}

function distance(seconds) {
  const n = Math.abs(seconds);
  if (n < 5) {
    return 'now';
  }
  const [size, unit] = [[86400, 'day'], [3600, 'hour'], [60, 'minute'], [1, 'second']].find(([s]) => n >= s);
  const count = Math.round(n / size);
  const words = `${count} ${unit}${count === 1 ? '' : 's'}`;
  return seconds > 0 ? `in ${words}` : `${words} ago`;
}

// verify checks the signature with the key of the JWKS that the header names,
// and says the outcome in words.
export async function verify(token, header, jwksPath) {
  if (!crypto.subtle) {
    return 'Browsers check signatures only on pages of this machine or over HTTPS.';
  }
  let keys;
  try {
    const response = await fetch(jwksPath, { credentials: 'omit', cache: 'no-store', redirect: 'error' });
    if (!response.ok) {
      return `The JWKS was answered with status ${response.status}: not checked.`;
    }
    ({ keys } = await response.json());
  } catch {
    return 'The JWKS could not be read: not checked.';
  }
  const key = Array.isArray(keys) ? keys.find((k) => k.kid === header.kid) : null;
  if (!key) {
    return 'Not valid: its key is not in the JWKS, or not any more.';
  }
  try {
    const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
    const imported = await crypto.subtle.importKey('jwk', { kty: key.kty, n: key.n, e: key.e, alg: 'RS256' }, algorithm, false, ['verify']);
    const cut = token.lastIndexOf('.');
    const good = await crypto.subtle.verify(algorithm, imported, fromBase64url(token.slice(cut + 1)), new TextEncoder().encode(token.slice(0, cut)));
    return good ? 'Valid: signed with this key of the JWKS.' : 'Not valid: the signature does not fit the key.';
  } catch {
    return 'Not valid: the signature or the key cannot be read.';
  }
}
