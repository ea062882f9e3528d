// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"context"
	"net/http"
	"strings"
)

// discoveryDocument has the members of a recent pool's openid-configuration,
// in its order (alphabetical). There is no grant_types_supported, and custom scopes are not listed.
// What the document of a pool without a domain says is not documented; here the
// endpoints of the domain are left out.
type discoveryDocument struct {
	AuthorizationEndpoint string   `json:"authorization_endpoint,omitempty"`
	EndSessionEndpoint    string   `json:"end_session_endpoint,omitempty"`
	IDTokenSigningAlgs    []string `json:"id_token_signing_alg_values_supported"`
	Issuer                string   `json:"issuer"`
	JWKSURI               string   `json:"jwks_uri"`
	ResponseTypes         []string `json:"response_types_supported"`
	RevocationEndpoint    string   `json:"revocation_endpoint,omitempty"`
	Scopes                []string `json:"scopes_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	TokenEndpoint         string   `json:"token_endpoint,omitempty"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	UserinfoEndpoint      string   `json:"userinfo_endpoint,omitempty"`
}

// apiError is an error of the API host. What an unknown pool gets there is not
// documented; the form is that of Cognito's JSON API.
type apiError struct {
	Type    string `json:"__type"` //nolint:tagliatelle // AWS names it so
	Message string `json:"message"`
}

// badOperation is what the API host answers to paths that it does not know.
type badOperation struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Type    string `json:"type"`
}

// serveIssuers answers what the host of the issuers answers. If a region is
// given only its pools are found.
func (s *Server) serveIssuers(ctx context.Context, in *inbound, region string) (reply, error) {
	id, file, ok := strings.Cut(strings.TrimPrefix(in.path, "/"), wellKnownPath)
	isKnown := file == "jwks.json" || file == "openid-configuration"
	if !ok || !isKnown || !poolIDPattern.MatchString(id) {
		return apiReply(http.StatusBadRequest, badOperation{
			Code: "BadRequest", Message: "The server did not understand the operation that was requested.", Type: "client",
		}), nil
	}
	if in.method != http.MethodGet && in.method != http.MethodHead {
		r := emptyReply(http.StatusMethodNotAllowed)
		r.header.Set("Allow", http.MethodGet)
		return r, nil
	}
	if p, ok := s.store.pool(id); ok && (region == "" || region == p.Region()) {
		if file == "jwks.json" {
			return p.serveJWKS(ctx)
		}
		return p.serveDiscovery(ctx, in)
	}
	return apiReply(s.answers.UnknownPoolStatus, apiError{
		Type: "ResourceNotFoundException", Message: "User pool " + id + " does not exist.",
	}), nil
}

func (p *UserPool) serveJWKS(ctx context.Context) (reply, error) {
	p.stats.jwks.Add(1)
	p.server.stats.jwks.Add(1)
	fault := p.nextFault(JWKSEndpoint)
	produce := func() reply {
		published := p.keys.all
		if fault != nil && fault.StaleKeys {
			published = p.keys.stale
		}
		pairs, err := published()
		if err != nil {
			return emptyReply(http.StatusInternalServerError)
		}
		r := apiReply(http.StatusOK, webKeys(pairs))
		if p.server.cacheControl != "" {
			r.header.Set("Cache-Control", p.server.cacheControl)
		}
		return r
	}
	return fault.around(ctx, produce, func(int) {})
}

func (p *UserPool) serveDiscovery(ctx context.Context, in *inbound) (reply, error) {
	p.stats.discovery.Add(1)
	p.server.stats.discovery.Add(1)
	produce := func() reply {
		// A caller that came by Cognito's names stays with them; one that came by
		// the emulator's address must not be sent to the internet.
		domain, jwks := p.domainURL(), p.JWKSURL()
		if in.cognitoHost {
			domain = p.cognitoDomainURL()
			form := IssuerOriginal
			if p.record.Load().Issuer == IssuerUpdated {
				form = IssuerUpdated
			}
			jwks = p.CognitoIssuer(form) + wellKnownPath + "jwks.json"
		}
		return apiReply(http.StatusOK, discoveryDocument{
			AuthorizationEndpoint: below(domain, "/oauth2/authorize"),
			EndSessionEndpoint:    below(domain, "/logout"),
			IDTokenSigningAlgs:    []string{"RS256"},
			Issuer:                p.Issuer(),
			JWKSURI:               jwks,
			ResponseTypes:         []string{"code", "token"},
			RevocationEndpoint:    below(domain, revokePath),
			Scopes:                []string{"openid", "email", "phone", "profile"},
			SubjectTypes:          []string{"public"},
			TokenEndpoint:         below(domain, tokenPath),
			TokenAuthMethods:      []string{"client_secret_basic", "client_secret_post"},
			UserinfoEndpoint:      below(domain, "/oauth2/userInfo"),
		})
	}
	return p.nextFault(DiscoveryEndpoint).around(ctx, produce, func(int) {})
}

// apiReply is a JSON answer of the API host: without the headers of the domain.
func apiReply(status int, v any) reply {
	r := jsonReply(status, v)
	r.header.Set("Content-Type", "application/json")
	r.chunked = false
	return r
}
