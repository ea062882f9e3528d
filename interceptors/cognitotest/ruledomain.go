// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"regexp"
)

var (
	prefixPattern    = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)
	customPattern    = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$`)
	amazonsOwn       = regexp.MustCompile(`\.(?:amazoncognito\.com|amazonaws\.com|api\.aws)$`)
	reservedInDomain = regexp.MustCompile(`aws|amazon|cognito`)
)

// isCustomDomain reports whether a name can be a custom domain. Amazon's own host
// names cannot: they are those of other pools and of the API.
func isCustomDomain(name string) bool {
	return customPattern.MatchString(name) && !amazonsOwn.MatchString(name)
}

// problem says what is wrong with the name of a domain, in Cognito's words where
// they are known, or nothing.
func (d domainRecord) problem(isCustom bool) string {
	switch word := reservedInDomain.FindString(d.Name); {
	case len(d.Name) > maxDomain:
		return fmt.Sprintf("A domain has at most %d characters.", maxDomain)
	case isCustom && !isCustomDomain(d.Name):
		return "Custom domain is not a valid subdomain: " + d.Name
	case isCustom:
		return ""
	case !prefixPattern.MatchString(d.Name):
		return "The domain name contains an invalid character. Domain names can only contain lower-case letters, numbers, and hyphens. Please enter a different name that follows this format: " + `^[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?$`
	case word != "":
		return "Domain cannot contain reserved word: " + word
	default:
		return ""
	}
}
