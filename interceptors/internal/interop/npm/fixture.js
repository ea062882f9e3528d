// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// What the Go test (../npm_test.go) prepared: an embedded Cognito for each form of the
// issuer, a right token and wrong ones of each.
import https from 'node:https'

export const issuers = await (await fetch(process.env.INTEROP_FIXTURE)).json()

// rotate gives a user pool new keys and returns a token that is signed with them.
export async function rotate(issuer) {
  const answer = await fetch(`${process.env.INTEROP_FIXTURE}/?pool=${issuer.pool_id}`, { method: 'POST' })
  if (!answer.ok) throw new Error(await answer.text())
  return (await answer.json()).token
}

// address makes https.request reach the emulator under every host name. The name in
// the certificate is still checked.
export const address = ({ port }) => ({
  port,
  lookup: (_host, options, done) =>
    options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4),
})

// fetchOf returns the fetch to reach an issuer with: node's own for the emulator's URL,
// else one that goes to the emulator for Cognito's host names.
export const fetchOf = (issuer) => (issuer.form === 'EMULATOR' ? fetch : (url, init) => fetchAt(issuer, url, init))

const fetchAt = (issuer, url, { method, headers, body, signal } = {}) =>
  new Promise((resolve, reject) => {
    const options = { ...address(issuer), method, signal, headers: Object.fromEntries(new Headers(headers)) }
    const request = https.request(url, options, async (response) => {
      const chunks = await response.toArray()
      const answer = new Response(Buffer.concat(chunks), { status: response.statusCode, headers: response.headers })
      Object.defineProperty(answer, 'url', { value: String(url) })
      resolve(answer)
    })
    request.on('error', reject)
    request.end(body && String(body))
  })
