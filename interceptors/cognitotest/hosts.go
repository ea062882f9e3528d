// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"regexp"
	"strings"
)

// issuerHost matches the hosts that serve the well-known paths, the first also
// by its FIPS name. The region is the group.
var issuerHost = regexp.MustCompile(`^(?:issuer-cognito-idp|cognito-idp(?:-fips)?)\.([a-z0-9-]+)\.amazonaws\.com$`)

// fipsHost matches the FIPS name of a prefix domain, the only one in GovCloud
// (AWS GovCloud user guide, "Amazon Cognito").
var fipsHost = regexp.MustCompile(`^([a-z0-9-]+)\.auth-fips\.([a-z0-9-]+\.amazoncognito\.com)$`)

// domainName is the name by which a domain's host is known here, whichever of its names is given.
func domainName(host string) string {
	if !strings.Contains(host, ".auth-fips.") {
		return host
	}
	return fipsHost.ReplaceAllString(host, "$1.auth.$2")
}
