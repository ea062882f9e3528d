// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Quotas are those of the developer guide's page "Quotas in Amazon Cognito", for an
// account that has not had them raised.
const (
	maxPools           = 1000
	maxCustomDomains   = 4 // of an account
	maxResourceServers = 25
	maxScopes          = 100
	maxClients         = 1000
	maxClientScopes    = 50
	maxSecrets         = 2
	maxDomain          = 63
	minLifetime        = 300 * time.Second
	maxLifetime        = 86400 * time.Second
)

// rule is a constraint on one value. A zero bound is none. The management API refuses
// values in the words of AWS, a configuration in words for people; both by the same rule.
type rule struct {
	min, max  int64 // of the length of a text or list, or of a number's value
	pattern   *textPattern
	enum      []string
	sensitive bool // the value stays out of texts
}

// textPattern must match the whole text.
type textPattern struct {
	text  string
	whole *regexp.Regexp
	says  string // what it allows, for people
}

func pattern(text, says string) *textPattern {
	return &textPattern{text, regexp.MustCompile(`^(?:` + text + `)$`), says}
}

var (
	namePattern       = pattern(`[\w\s+=,.@-]+`, "characters: letters, digits, space and _+=,.@-")
	identifierPattern = pattern(`[\x21\x23-\x5B\x5D-\x7E]+`, `printable characters without space, " and \`)
	scopeNamePattern  = pattern(`[\x21\x23-\x2E\x30-\x5B\x5D-\x7E]+`, `printable characters without space, ", \ and /`)
	secretPattern     = pattern(`[\w+]+`, "characters [A-Za-z0-9_+]")
)

// The constraints of the API reference.
var (
	poolIDRule       = rule{min: 1, max: 55, pattern: pattern(`[\w-]+_[0-9a-zA-Z]+`, "")}
	nameRule         = rule{min: 1, max: 128, pattern: namePattern} // of pools and clients
	serverNameRule   = rule{min: 1, max: 256, pattern: namePattern}
	identifierRule   = rule{min: 1, max: 256, pattern: identifierPattern}
	scopeNameRule    = rule{min: 1, max: 256, pattern: scopeNamePattern}
	descriptionRule  = rule{min: 1, max: 256}
	scopeRule        = rule{min: 1, max: 256, pattern: identifierPattern}
	clientIDRule     = rule{min: 1, max: 128, pattern: secretPattern, sensitive: true}
	secretRule       = rule{min: 24, max: 64, pattern: secretPattern, sensitive: true}
	secretIDRule     = rule{min: 1, max: 128}
	domainRule       = rule{min: 1, max: maxDomain}
	certificateRule  = rule{min: 20, max: 2048, pattern: pattern(`arn:[\w+=/,.@-]+:[\w+=/,.@-]+:([\w+=/,.@-]*)?:[0-9]+:[\w+=/,.@-]+(:[\w+=/,.@-]+)?(:[\w+=/,.@-]+)?`, "")}
	loginVersionRule = rule{min: 1, max: 2}
	validityRule     = rule{min: 1, max: 86400}

	refreshValidityRule = rule{max: 315360000}
	nextTokenRule       = rule{min: 1, max: 131072, pattern: pattern(`[\S]+`, "")}

	protectionRule = rule{enum: []string{"ACTIVE", "INACTIVE"}}
	tierRule       = rule{enum: []string{"LITE", "ESSENTIALS", "PLUS"}}
	issuerRule     = rule{enum: []string{string(IssuerOriginal), string(IssuerUpdated)}}
	unitRule       = rule{enum: []string{"seconds", "minutes", "hours", "days"}}
	flowRule       = rule{enum: []string{"implicit", clientCredentials, "code"}}
	authFlowRule   = rule{enum: []string{
		"ADMIN_NO_SRP_AUTH", "CUSTOM_AUTH_FLOW_ONLY", "USER_PASSWORD_AUTH", "ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_CUSTOM_AUTH",
		"ALLOW_USER_PASSWORD_AUTH", "ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_AUTH", clientTokenAuth,
	}}
)

// problem says for people what a text of a configuration must be, or nothing if it is that.
func (r rule) problem(name, value string) string {
	if r.broken(value) == nil {
		return ""
	}
	if r.enum != nil {
		return fmt.Sprintf("%s is one of %s, got %q", name, strings.Join(r.enum, ", "), value)
	}
	says := "characters"
	if r.pattern != nil {
		says = r.pattern.says
	}
	text := fmt.Sprintf("%s has %d to %d %s", name, r.min, r.max, says)
	if r.sensitive || r.pattern == nil {
		return fmt.Sprintf("%s; the value, %d characters, is not shown", text, utf8.RuneCountInString(value))
	}
	return fmt.Sprintf("%s, got %q", text, value)
}

// broken returns the constraints that a text does not satisfy.
func (r rule) broken(s string) []string {
	var out []string
	if r.enum != nil && !slices.Contains(r.enum, s) {
		out = append(out, "Member must satisfy enum value set: ["+strings.Join(r.enum, ", ")+"]")
	}
	if r.pattern != nil && !r.pattern.whole.MatchString(s) {
		out = append(out, "Member must satisfy regular expression pattern: "+r.pattern.text)
	}
	return append(out, r.length(int64(utf8.RuneCountInString(s)))...)
}

func (r rule) length(n int64) []string {
	switch {
	case r.max > 0 && n > r.max:
		return []string{fmt.Sprintf("Member must have length less than or equal to %d", r.max)}
	case n < r.min:
		return []string{fmt.Sprintf("Member must have length greater than or equal to %d", r.min)}
	default:
		return nil
	}
}

// all describes a rule for the items of a list.
func (r rule) all() []string {
	var out []string
	if r.max > 0 {
		out = append(out, fmt.Sprintf("Member must have length less than or equal to %d", r.max))
	}
	if r.min > 0 {
		out = append(out, fmt.Sprintf("Member must have length greater than or equal to %d", r.min))
	}
	if r.pattern != nil {
		out = append(out, "Member must satisfy regular expression pattern: "+r.pattern.text)
	}
	if r.enum != nil {
		out = append(out, "Member must satisfy enum value set: ["+strings.Join(r.enum, ", ")+"]")
	}
	return out
}
