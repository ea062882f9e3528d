// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The error codes of the token endpoint (developer guide, "The token issuer
// endpoint", and invalid_scope, which Cognito sends too).
const (
	invalidRequest       = "invalid_request"
	invalidClient        = "invalid_client"
	invalidGrant         = "invalid_grant"
	invalidScope         = "invalid_scope"
	unauthorizedClient   = "unauthorized_client"
	unsupportedGrantType = "unsupported_grant_type"
	unsupportedTokenType = "unsupported_token_type"
	serverError          = "server_error"
)

const clientCredentials = "client_credentials"

type errorBody struct {
	Error string `json:"error"`
}

type messageBody struct {
	Message string `json:"message"`
}

type tokenBody struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"`
	TokenType   string `json:"token_type"`
}

// serveToken answers /oauth2/token and keeps the books about it.
func (p *UserPool) serveToken(ctx context.Context, in *inbound) (reply, error) {
	entry := TokenRequest{Time: p.server.clock(), Pool: p.id}
	finish := func() {
		p.stats.token(&entry)
		p.server.stats.token(&entry)
		p.server.requests.add(entry)
	}
	fault := p.nextFault(TokenEndpoint)
	produce := func() reply {
		r := p.token(ctx, in, fault, &entry)
		entry.Status = r.status
		finish()
		return r
	}
	r, err := fault.around(ctx, produce, func(status int) {
		entry.Status, entry.Fault = status, true
		finish()
	})
	if err == nil && p.trigger() != nil {
		err = ctx.Err() // it may have ended while the trigger ran
	}
	return r, err
}

// token is the token endpoint.
func (p *UserPool) token(ctx context.Context, in *inbound, fault *Fault, entry *TokenRequest) reply {
	answers := &p.server.answers
	if in.method != http.MethodPost {
		return domainReply(in, emptyReply(http.StatusMethodNotAllowed))
	}
	if !isForm(in.header) {
		return p.notAForm(in)
	}
	if !p.server.throttle.allow(p.server.clock()) {
		entry.Throttled = true
		return domainReply(in, jsonReply(answers.ThrottledStatus, messageBody{"Rate exceeded"}))
	}
	body, code := p.grant(ctx, in, fault, entry)
	if code != "" {
		entry.Error = code
		return p.refusal(in, code)
	}
	return domainReply(in, jsonReply(http.StatusOK, body))
}

// notAForm answers a content type that is not that of a form.
func (p *UserPool) notAForm(in *inbound) reply {
	if p.server.answers.NotAFormStatus == http.StatusBadRequest {
		return p.refusal(in, invalidRequest)
	}
	return domainReply(in, emptyReply(http.StatusMethodNotAllowed))
}

// grant checks a token request and issues the token, or names the error.
func (p *UserPool) grant(ctx context.Context, in *inbound, fault *Fault, entry *TokenRequest) (tokenBody, string) {
	form, c, code := p.authenticated(in)
	if c != nil {
		entry.ClientID, entry.Client = c.id, c.name
	}
	if form != nil {
		entry.Asked = askedScopes(form["scope"])
	}
	if code != "" {
		return tokenBody{}, code
	}
	if code := p.permits(c, form); code != "" {
		return tokenBody{}, code
	}
	granted, ok := p.grantScopes(c, form["scope"])
	if !ok {
		return tokenBody{}, invalidScope
	}
	var metadata map[string]string
	if p.trigger() != nil {
		var err error
		if metadata, err = clientMetadata(form["aws_client_metadata"]); err != nil {
			entry.TriggerError = err.Error()
			return tokenBody{}, invalidRequest
		}
	}
	made, err := p.customized(ctx, c, granted, metadata)
	if err != nil {
		entry.TriggerError = err.Error()
		return tokenBody{}, invalidRequest
	}
	token, err := p.issue(c, made, fault)
	if err != nil {
		return tokenBody{}, serverError
	}
	entry.Granted = made.scopes
	return tokenBody{AccessToken: token, ExpiresIn: int64(c.lifetime / time.Second), TokenType: "Bearer"}, ""
}

// authenticated reads the form and finds the client that proved its secret. The
// client may be set beside an error: it is the one that was named.
func (p *UserPool) authenticated(in *inbound) (map[string]string, *client, string) {
	if in.tooLong {
		return nil, nil, invalidRequest
	}
	form, err := parseForm(in.body)
	if err != nil {
		return nil, nil, invalidRequest
	}
	switch form["grant_type"] {
	case clientCredentials, "authorization_code", "refresh_token":
	case "":
		return form, nil, invalidRequest
	default:
		return form, nil, unsupportedGrantType
	}
	c, code := p.authenticate(in.header, form)
	return form, c, code
}

// authenticate takes the credentials from the Authorization header or from the
// form. A header that cannot be read is not made good by the form.
func (p *UserPool) authenticate(h http.Header, form map[string]string) (*client, string) {
	id, secret := form["client_id"], form["client_secret"]
	switch values := h["Authorization"]; len(values) {
	case 0:
		if id == "" && secret == "" {
			return nil, p.server.answers.NoCredentials
		}
	case 1:
		basicID, basicSecret, err := parseBasic(values[0])
		if err != nil || id != "" && id != basicID || secret != "" && secret != basicSecret {
			return nil, invalidClient
		}
		id, secret = basicID, basicSecret
	default:
		return nil, invalidRequest
	}
	c, ok := p.checkSecret(id, secret)
	if !ok {
		return c, invalidClient
	}
	return c, ""
}

// permits says whether the client may make the request, whose grant type is a known one.
func (p *UserPool) permits(c *client, form map[string]string) string {
	answers, grantType := &p.server.answers, form["grant_type"]
	switch {
	case !c.oauth:
		return invalidGrant
	case grantType == clientCredentials && slices.Contains(c.flows, clientCredentials):
		if form["resource"] != "" {
			return answers.Resource
		}
		return ""
	case grantType != clientCredentials && slices.Contains(c.flows, "code"):
		return invalidGrant // no code and no refresh token of this server exists
	default:
		return answers.FlowNotAllowed
	}
}

// grantScopes returns the scopes of the token. Not ok: invalid_scope. A scope
// that left its resource server counts as not there, in both settings.
func (p *UserPool) grantScopes(c *client, asked string) ([]string, bool) {
	reject := p.record.Load().DisallowedScopes == RejectScopes
	var granted []string
	if asked == "" {
		for _, s := range c.allowed {
			if p.hasScope(s) {
				granted = append(granted, s)
			}
		}
		return granted, len(granted) > 0
	}
	for s := range strings.SplitSeq(asked, " ") {
		switch {
		case s == "" || slices.Contains(granted, s):
		case slices.Contains(c.allowed, s) && p.hasScope(s):
			granted = append(granted, s)
		case slices.Contains(c.allowed, s) && !standardScopes[s]:
			// removed from its resource server
		case reject:
			return nil, false
		}
	}
	return granted, len(granted) > 0
}

// serveRevoke answers /oauth2/revoke (developer guide, "The token revocation
// endpoint"). Machine-to-machine clients have no token that can be revoked: what
// is no token at all is answered as revoked.
func (p *UserPool) serveRevoke(in *inbound) reply {
	if in.method != http.MethodPost {
		return domainReply(in, emptyReply(http.StatusMethodNotAllowed))
	}
	if !isForm(in.header) {
		return p.notAForm(in)
	}
	form, err := parseForm(in.body)
	if in.tooLong || err != nil || form["token"] == "" {
		return p.refusal(in, invalidRequest)
	}
	c, code := p.authenticate(in.header, form)
	if code != "" {
		return domainReply(in, jsonReply(http.StatusUnauthorized, errorBody{invalidClient}))
	}
	if string(c.record.Kept["EnableTokenRevocation"]) == "false" {
		return p.refusal(in, invalidRequest)
	}
	if strings.Count(form["token"], ".") == 2 {
		return p.refusal(in, unsupportedTokenType) // an access or ID token
	}
	return domainReply(in, emptyReply(http.StatusOK))
}

func (p *UserPool) refusal(in *inbound, code string) reply {
	status := http.StatusBadRequest
	switch code {
	case invalidClient:
		status = p.server.answers.InvalidClientStatus
	case serverError:
		status = http.StatusInternalServerError
	}
	return domainReply(in, jsonReply(status, errorBody{code}))
}

// domainHeader is on each answer of a domain. It is what a captured answer of a
// Cognito domain had, but for those that domainReply adds.
var domainHeader = http.Header{
	"Access-Control-Allow-Origin": {"*"},
	"Cache-Control":               {"no-cache, no-store, max-age=0, must-revalidate"},
	"Expires":                     {"0"},
	"Pragma":                      {"no-cache"},
	"Server":                      {"Server"},
	"X-Application-Context":       {"application:prod:8443"},
	"X-Content-Type-Options":      {"nosniff"},
	"X-Frame-Options":             {"DENY"},
	"X-Xss-Protection":            {"1; mode=block"},
}

// domainReply adds the headers of a domain. Strict-Transport-Security is sent for Cognito's
// host names only: with a certificate for localhost a browser would keep it, and
// refuse plain HTTP of everything else that its user develops there.
func domainReply(in *inbound, r reply) reply {
	maps.Copy(r.header, domainHeader)
	if in.cognitoHost {
		r.header["Strict-Transport-Security"] = []string{"max-age=31536000 ; includeSubDomains"}
	}
	r.header["Set-Cookie"] = []string{"XSRF-TOKEN=" + newUUID() + "; Path=/; Secure; HttpOnly; SameSite=Lax"}
	r.header["X-Amz-Cognito-Request-Id"] = []string{newUUID()}
	return r
}
