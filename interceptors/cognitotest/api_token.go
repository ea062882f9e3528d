// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"slices"
	"strings"
	"time"
)

const getClientTokenOperation = "GetClientToken"

// clientTokenCall is what a call of GetClientToken leaves in the books: it is a
// token request as those to the token endpoint are.
type clientTokenCall struct {
	entry TokenRequest
	pool  *UserPool // of the client that was named, or nil
}

func (t *clientTokenCall) finish(s *Server, status int) {
	t.entry.Status = status
	if t.pool != nil {
		t.pool.stats.token(&t.entry)
	}
	s.stats.token(&t.entry)
	s.requests.add(t.entry)
}

// getClientToken issues a token as the token endpoint does, to clients whose one
// authentication flow is ALLOW_CLIENT_TOKEN_AUTH. The pool needs no domain and the
// client no OAuth flow. Which error a scope leads to is not documented.
func getClientToken(in *input) action {
	id, secret := in.needText("ClientId", clientIDRule), in.needText("Secret", rule{min: 1, max: 64, sensitive: true})
	scopes := strings.Join(in.texts("Scopes", rule{max: maxClientScopes}, scopeRule), " ")
	metadata := in.textMap("ClientMetadata")
	return func(a *apiCall) (any, error) {
		t := &a.token
		t.entry.Asked = askedScopes(scopes)
		if !a.server.throttle.allow(t.entry.Time) {
			t.entry.Throttled = true
			return nil, apiErrorf("TooManyRequestsException", "Rate exceeded")
		}
		c := a.authenticate(id, secret)
		if c == nil || !slices.Equal(c.record.ExplicitAuthFlows, []string{clientTokenAuth}) {
			return nil, apiErrorf("NotAuthorizedException", "Client authentication failed.")
		}
		granted, ok := t.pool.grantScopes(c, scopes)
		switch {
		case !ok && scopes == "":
			return nil, invalidParameter("The app client has no scope.")
		case !ok:
			return nil, invalidParameter("Invalid scope requested: %s", scopes)
		}
		made, err := t.pool.customized(a.request.Context(), c, granted, metadata)
		if err != nil {
			t.entry.TriggerError = err.Error()
			return nil, apiErrorf("UserLambdaValidationException", "%s", err.Error())
		}
		token, err := t.pool.issue(c, made, nil)
		if err != nil {
			return nil, err
		}
		t.entry.Granted = made.scopes
		return structure{"ClientAuthenticationResult": structure{
			"AccessToken": token, "ExpiresIn": int64(c.lifetime / time.Second), "TokenType": "Bearer",
		}}, nil
	}
}

// authenticate finds the client that proved its secret. The entry names the
// client that the request named, if there is one.
func (a *apiCall) authenticate(id, secret string) *client {
	t := &a.token
	for _, p := range a.server.store.poolsOfClient(id) {
		if !a.sees(p) {
			continue
		}
		c, ok := p.checkSecret(id, secret)
		if c == nil {
			continue // deleted just now
		}
		t.pool, t.entry.Pool, t.entry.ClientID, t.entry.Client = p, p.id, c.id, c.name
		if ok {
			return c
		}
	}
	return nil
}
