// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decodeJwt } from 'jose'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import { ClientCredentials } from 'simple-oauth2'
import { fetchOf, issuers } from './fixture.js'

// Each gets a token with one way of client authentication and returns the answer's
// members, or fails with { status, code }.
const clients = {
  // It learns everything but the issuer by discovery.
  async 'openid-client'(issuer, method, secret, scope) {
    const authentication = { client_secret_basic: openid.ClientSecretBasic, client_secret_post: openid.ClientSecretPost }[method]
    const options = { [openid.customFetch]: fetchOf(issuer), timeout: 60 }
    const config = await openid.discovery(new URL(issuer.issuer), issuer.client_id, undefined, authentication(secret), options)
    return openid.clientCredentialsGrant(config, scope ? { scope } : {})
      .catch((e) => { throw { status: e.status, code: e.error } })
  },

  async oauth4webapi(issuer, method, secret, scope) {
    const authentication = { client_secret_basic: oauth.ClientSecretBasic, client_secret_post: oauth.ClientSecretPost }[method]
    const options = { [oauth.customFetch]: fetchOf(issuer) }
    const url = new URL(issuer.issuer)
    const server = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, options))
    const client = { client_id: issuer.client_id }
    const parameters = new URLSearchParams(scope ? { scope } : {})
    const answer = await oauth.clientCredentialsGrantRequest(server, client, authentication(secret), parameters, options)
    return oauth.processClientCredentialsResponse(server, client, answer)
      .catch((e) => { throw { status: e.status, code: e.error } })
  },

  // It has no way to give it a fetch, so it goes to the emulator's own address.
  async 'simple-oauth2'(issuer, method, secret, scope) {
    const { origin, pathname } = new URL(issuer.token_url)
    const client = new ClientCredentials({
      client: { id: issuer.client_id, secret },
      auth: { tokenHost: origin, tokenPath: pathname },
      options: { authorizationMethod: { client_secret_basic: 'header', client_secret_post: 'body' }[method] },
    })
    return client.getToken(scope ? { scope } : {})
      .then(({ token }) => token, (e) => { throw { status: e.output.statusCode, code: e.data.payload.error } })
  },
}

for (const [name, tokenOf] of Object.entries(clients)) {
  for (const issuer of issuers) {
    for (const method of ['client_secret_basic', 'client_secret_post']) {
      describe(`${name}, ${method}, issuer ${issuer.form}`, () => {
        const scopeOf = async (scope) => {
          const answer = await tokenOf(issuer, method, issuer.secret, scope)
          assert.equal(answer.token_type.toLowerCase(), 'bearer')
          assert.equal(answer.expires_in, 3600)
          assert.equal(answer.refresh_token, undefined)
          assert.equal(answer.scope, undefined)
          const claims = decodeJwt(answer.access_token)
          assert.equal(claims.iss, issuer.issuer)
          assert.equal(claims.client_id, issuer.client_id)
          return claims.scope
        }

        test('gets all scopes', async () => assert.equal(await scopeOf(), 'demo/read.file demo/write.file'))
        test('gets one scope', async () => assert.equal(await scopeOf('demo/write.file'), 'demo/write.file'))
        test('gets less than it asked for', async () =>
          assert.equal(await scopeOf('demo/read.file demo/delete.file'), 'demo/read.file'))
        test('understands that nothing is left', () =>
          assert.rejects(tokenOf(issuer, method, issuer.secret, 'demo/delete.file'), { status: 400, code: 'invalid_scope' }))
        test('understands that its secret is wrong', () =>
          assert.rejects(tokenOf(issuer, method, 'wrong'.repeat(8)), { status: 400, code: 'invalid_client' }))
      })
    }
  }
}
