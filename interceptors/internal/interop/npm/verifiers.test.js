// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { describe, mock, test } from 'node:test'
import { CognitoJwtVerifier, JwtVerifier } from 'aws-jwt-verify'
import { validateCognitoJwtFields } from 'aws-jwt-verify/cognito-verifier'
import { SimpleFetcher } from 'aws-jwt-verify/https'
import { SimpleJwksCache } from 'aws-jwt-verify/jwk'
import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose'
import { address, fetchOf, issuers, rotate } from './fixture.js'

// Amazon's verifier builds the URL of the keys from the pool id; only the address that
// its own fetcher connects to is another one. It knows no emulator, so for the
// emulator's own issuer its general verifier is told where the keys are.
const amazon = (issuer, scope = null) => {
  const patient = { timeout: 60_000, responseTimeout: 60_000 } // a slow machine is no failure
  const jwksCache = new SimpleJwksCache({ fetcher: new SimpleFetcher({ defaultRequestOptions: { ...address(issuer), ...patient } }) })
  const fields = { clientId: issuer.client_id, tokenUse: 'access', scope }
  if (issuer.form !== 'EMULATOR') {
    const verifier = CognitoJwtVerifier.create({ userPoolId: issuer.pool_id, ...fields }, { jwksCache })
    return (token) => verifier.verify(token)
  }
  const verifier = JwtVerifier.create({
    issuer: issuer.issuer,
    jwksUri: issuer.jwks,
    audience: null, // machine-to-machine tokens have none
    scope,
    customJwtCheck: ({ payload }) => validateCognitoJwtFields(payload, fields),
  }, { jwksCache })
  return (token) => verifier.verify(token)
}
amazon.refusals = {
  expired: ['JwtExpiredError'],
  issuer: ['JwtInvalidIssuerError', 'ParameterValidationError', 'JwtParseError'],
  'signature or key': ['JwtInvalidSignatureError', 'JwtInvalidSignatureAlgorithmError', 'KidNotFoundInJwksError', 'JwtParseError'],
  token_use: ['CognitoJwtInvalidTokenUseError'],
  client_id: ['CognitoJwtInvalidClientIdError'],
}

// jose knows nothing of Cognito: the last two checks are the application's.
const jose = (issuer) => {
  const keys = createRemoteJWKSet(new URL(issuer.jwks), { [customFetch]: fetchOf(issuer), timeoutDuration: 60_000 })
  return async (token) => {
    const { payload } = await jwtVerify(token, keys, { issuer: issuer.issuer, algorithms: ['RS256'], requiredClaims: ['exp'] })
    assert.equal(payload.token_use, 'access', 'token_use')
    assert.equal(payload.client_id, issuer.client_id, 'client_id')
    return payload
  }
}
jose.refusals = {
  expired: ['JWTExpired'],
  issuer: ['JWTClaimValidationFailed'],
  'signature or key': ['JWSSignatureVerificationFailed', 'JWKSNoMatchingKey', 'JOSEAlgNotAllowed', 'JWSInvalid'],
  token_use: ['AssertionError'],
  client_id: ['AssertionError'],
}

for (const [name, verifierOf] of Object.entries({ 'aws-jwt-verify': amazon, jose })) {
  for (const issuer of issuers) {
    describe(`${name}, issuer ${issuer.form}`, () => {
      test('takes a right token', async () => {
        const claims = await verifierOf(issuer)(issuer.right)
        assert.equal(claims.sub, issuer.client_id)
        assert.equal(claims.scope, 'demo/read.file demo/write.file')
      })

      for (const { what, token, reason } of issuer.wrong) {
        // Amazon's verifier takes both forms of the issuer for every user pool.
        const takesBoth = verifierOf === amazon && issuer.form !== 'EMULATOR' && what === 'the other form of the issuer'
        test(`${takesBoth ? 'takes' : 'refuses'} a token: ${what}`, async () => {
          const answer = verifierOf(issuer)(token)
          if (takesBoth) return assert.equal((await answer).client_id, issuer.client_id)
          const names = [...verifierOf.refusals[reason]]
          // A verifier may look at the issuer first.
          if (what === 'of another pool') names.push(...verifierOf.refusals.issuer)
          await assert.rejects(answer, (error) => {
            assert.ok(names.includes(error.constructor.name), `${error.constructor.name}: ${error.message}; want one of ${names}`)
            return true
          })
        })
      }

      test('takes a new key, and still the one before', async () => {
        const verify = verifierOf(issuer)
        await verify(issuer.right) // the keys are known now
        const token = await rotate(issuer)
        // jose asks for the keys again only after 30 s.
        mock.timers.enable({ apis: ['Date'], now: Date.now() + 31_000 })
        try {
          assert.equal((await verify(token)).client_id, issuer.client_id)
          assert.equal((await verify(issuer.right)).client_id, issuer.client_id)
        } finally {
          mock.timers.reset()
        }
      })
    })
  }
}

for (const issuer of issuers) {
  test(`aws-jwt-verify, issuer ${issuer.form}: one of the scopes suffices`, async () => {
    await amazon(issuer, ['demo/read.file', 'demo/delete.file'])(issuer.right)
    await assert.rejects(amazon(issuer, 'demo/delete.file')(issuer.right), { name: 'Error', message: /^Scope not allowed: .*demo\/delete\.file/ })
  })
}
