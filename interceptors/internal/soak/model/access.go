// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"strings"
)

// AccessList is the content of an access file.
type AccessList struct {
	Deny  []AccessEntry `json:"deny,omitempty"`
	Allow []AccessEntry `json:"allow,omitempty"`
}

// AccessEntry is one entry of an access file.
type AccessEntry struct {
	Clients  []string `json:"clients,omitempty"`
	Issuer   string   `json:"issuer,omitempty"`
	Methods  []string `json:"methods,omitempty"`
	TokenIDs []string `json:"token_ids,omitempty"`
	Reason   string   `json:"reason,omitempty"`
}

// verdict is what the list makes of a call whose token's signature holds.
func (l *AccessList) verdict(issuer string, t *Token, method string) Outcome {
	outcome := Passes
	for _, e := range l.Deny {
		switch {
		case slices.Contains(e.TokenIDs, t.TokenID), e.names(issuer, t.ClientID) && len(e.Methods) == 0:
			return TokenRevoked // wins over all others
		case (len(e.Clients) == 0 || e.names(issuer, t.ClientID)) && e.covers(method):
			outcome = ClientNotAllowed
		}
	}
	restricted, allowed := false, false
	for _, e := range l.Allow {
		if e.names(issuer, t.ClientID) {
			restricted = true
			allowed = allowed || e.covers(method)
		}
	}
	if restricted && !allowed {
		outcome = ClientNotAllowed
	}
	return outcome
}

func (e *AccessEntry) names(issuer, client string) bool {
	return slices.Contains(e.Clients, client) && (e.Issuer == "" || e.Issuer == issuer)
}

// covers takes full methods, and services for all of theirs.
func (e *AccessEntry) covers(method string) bool {
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	return slices.Contains(e.Methods, method) || slices.Contains(e.Methods, service)
}
