// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"strings"
)

// Lengths that Cognito takes (Amazon Cognito API reference, ResourceServerType and
// ResourceServerScopeType). All names are ASCII, so bytes are characters.
const (
	maxServerLength      = 256
	maxScopeNameLength   = 256
	maxScopeLength       = 256 // the identifier, "/" and the name (ScopeType)
	maxDescriptionLength = 256
	maxNameLength        = 256
	maxScopesPerServer   = 100
)

// splitScope splits a full scope name at its last "/": a resource server's
// identifier may hold slashes, a scope's name may not. Without "/" the whole is the
// name, and full is false.
func splitScope(scope string) (server, name string, full bool) {
	i := strings.LastIndexByte(scope, '/')
	if i < 0 {
		return "", scope, false
	}
	return scope[:i], scope[i+1:], true
}

func joinScope(server, name string) string {
	return server + "/" + name
}

// scopeFault returns what is wrong with a full scope name, or "".
func scopeFault(scope string) string {
	server, name, full := splitScope(scope)
	switch {
	case scope == "":
		return "a scope is empty"
	case !full:
		return fmt.Sprintf("scope %s has no \"/\": write the resource server before it, as in \"demo/read.file\"", quote(scope))
	}
	if wrong := serverFault(server); wrong != "" {
		return "scope " + quote(scope) + ": the resource server " + wrong
	}
	if wrong := scopeNameFault(name); wrong != "" {
		return "scope " + quote(scope) + ": the name " + wrong
	}
	return scopeLengthFault(scope)
}

func scopeLengthFault(scope string) string {
	if len(scope) > maxScopeLength {
		return fmt.Sprintf("scope %s has %d characters with its resource server, Cognito takes %d", quote(scope), len(scope), maxScopeLength)
	}
	return ""
}

// serverFault returns what is wrong with a resource server's identifier, or "".
// Cognito's pattern is [\x21\x23-\x5B\x5D-\x7E]+.
func serverFault(identifier string) string {
	return nameFault(identifier, maxServerLength, "space, quote and backslash", "\"\\")
}

// scopeNameFault returns what is wrong with the name of a scope without its
// resource server, or "". Cognito's pattern is [\x21\x23-\x2E\x30-\x5B\x5D-\x7E]+.
func scopeNameFault(name string) string {
	return nameFault(name, maxScopeNameLength, "space, quote, slash and backslash", "\"/\\")
}

func nameFault(s string, limit int, forbiddenWords, forbidden string) string {
	if s == "" {
		return "is empty"
	}
	if len(s) > limit {
		return fmt.Sprintf("has %d characters, Cognito takes %d", len(s), limit)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte(forbidden, c) >= 0 {
			return fmt.Sprintf("has %q at position %d; Cognito takes printable ASCII without %s", s[i:i+1], i+1, forbiddenWords)
		}
	}
	return ""
}

// maxQuoted bounds what error texts repeat of a faulty name.
const maxQuoted = 80

// quote returns s in quotes, shortened if it is very long.
func quote(s string) string {
	if len(s) > maxQuoted {
		return fmt.Sprintf("%q...", s[:maxQuoted])
	}
	return fmt.Sprintf("%q", s)
}
