// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// most bounds how many pools, and how many clients of each, are printed.
const most = 20

// environment returns the lines to paste into a shell.
func environment(server *cognitotest.Server) string {
	var out strings.Builder
	pools := server.Pools()
	region := "us-east-1"
	if len(pools) > 0 {
		region = pools[0].Region()
	}
	comment(&out, "AWS CLI and SDKs; they need a region and any credentials, such as AWS_REGION="+region+" AWS_DEFAULT_REGION="+region+" AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x")
	export(&out, "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", server.URL())
	comment(&out, "app clients with ALLOW_CLIENT_TOKEN_AUTH take COGNITO_USER_POOL_API="+server.URL()+" in place of COGNITO_TOKEN_URL")
	for _, pool := range pools[:min(len(pools), most)] {
		poolLines(&out, server, pool)
	}
	if n := len(pools) - most; n > 0 {
		comment(&out, fmt.Sprintf("and %d more user pools: aws cognito-idp list-user-pools --max-results 60", n))
	}
	return out.String()
}

func poolLines(out *strings.Builder, server *cognitotest.Server, pool *cognitotest.UserPool) {
	comment(out, "user pool "+pool.Name())
	// Clients take one of the two and refuse both.
	if endpoint := pool.TokenURL(); endpoint != "" {
		export(out, "COGNITO_TOKEN_URL", endpoint)
		fmt.Fprintln(out, "unset COGNITO_USER_POOL_API")
	} else {
		fmt.Fprintln(out, "unset COGNITO_TOKEN_URL")
		export(out, "COGNITO_USER_POOL_API", server.URL())
	}
	export(out, "COGNITO_USER_POOL_ID", pool.ID())
	export(out, "COGNITO_ISSUER", pool.Issuer())
	export(out, "COGNITO_JWKS_URL", pool.JWKSURL())
	ids, names := pool.ClientIDs(), pool.ClientNames()
	n := min(len(ids), len(names)) // clients may come and go between the two
	if n > 0 {
		export(out, "COGNITO_CLIENTS", clientList(ids[:n], names[:n]))
	} else {
		fmt.Fprintln(out, "unset COGNITO_CLIENTS COGNITO_CLIENT_ID COGNITO_CLIENT_SECRET") // those of another pool
	}
	for i, id := range ids[:min(n, most)] {
		comment(out, "app client "+names[i])
		export(out, "COGNITO_CLIENT_ID", id)
		if secret := pool.Client(id).Secret; secret != "" {
			export(out, "COGNITO_CLIENT_SECRET", secret)
		} else {
			fmt.Fprintln(out, "unset COGNITO_CLIENT_SECRET")
		}
	}
	if n > most {
		comment(out, fmt.Sprintf("and %d more app clients: aws cognito-idp list-user-pool-clients --user-pool-id %s", n-most, pool.ID()))
	}
}

// clientList is the list that servers read. A name that is there twice, or has
// a character that means something in the list, is left out: then it is the id alone.
func clientList(ids, names []string) string {
	count := make(map[string]int)
	for _, name := range names {
		count[name]++
	}
	items := make([]string, len(ids))
	for i, id := range ids {
		items[i] = id
		if name := names[i]; count[name] == 1 && !strings.ContainsAny(name, ",=*") && oneLine(name) == name {
			items[i] = name + "=" + id
		}
	}
	return strings.Join(items, ",")
}

// comment writes one line. A name may have ends of lines in it, and what comes
// after one would be a command.
func comment(out *strings.Builder, text string) {
	fmt.Fprintf(out, "# %s\n", oneLine(text))
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// export writes one assignment. The value is quoted for every POSIX shell.
func export(out *strings.Builder, name, value string) {
	fmt.Fprintf(out, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
}
