// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	idp "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// Refusals arrive as the types of the SDK. The messages are Cognito's where they are known.
func TestSDKErrors(t *testing.T) {
	t.Parallel()
	c := sdk(newCognito(t).Transport())
	pool, client := newDemo(t, c)
	other, _ := newDemo(t, c)
	id := client.ClientId
	must(t, c.CreateUserPoolDomain, &idp.CreateUserPoolDomainInput{UserPoolId: pool, Domain: aws.String("taken")})
	nowhere, nobody := aws.String("eu-central-1_Nowhere00"), aws.String("0123456789abcdefghijklmnop")

	t.Run("ResourceNotFoundException", func(t *testing.T) {
		t.Parallel()
		type notFound = *types.ResourceNotFoundException
		noPool, noClient := "User pool "+*nowhere+" does not exist.", "User pool client "+*nobody+" does not exist."
		refused[notFound](t, c.DescribeUserPool, &idp.DescribeUserPoolInput{UserPoolId: nowhere}, noPool)
		refused[notFound](t, c.UpdateUserPool, &idp.UpdateUserPoolInput{UserPoolId: nowhere}, noPool)
		refused[notFound](t, c.DeleteUserPool, &idp.DeleteUserPoolInput{UserPoolId: nowhere}, noPool)
		refused[notFound](t, c.CreateUserPoolDomain, &idp.CreateUserPoolDomainInput{UserPoolId: nowhere, Domain: aws.String("x")}, noPool)
		refused[notFound](t, c.CreateUserPoolClient, machineClient(nowhere), noPool)
		refused[notFound](t, c.ListUserPoolClients, &idp.ListUserPoolClientsInput{UserPoolId: nowhere}, noPool)
		refused[notFound](t, c.ListResourceServers, &idp.ListResourceServersInput{UserPoolId: nowhere}, noPool)
		refused[notFound](t, c.DescribeUserPoolClient, &idp.DescribeUserPoolClientInput{UserPoolId: pool, ClientId: nobody}, noClient)
		refused[notFound](t, c.UpdateUserPoolClient, &idp.UpdateUserPoolClientInput{UserPoolId: pool, ClientId: nobody}, noClient)
		refused[notFound](t, c.DeleteUserPoolClient, &idp.DeleteUserPoolClientInput{UserPoolId: pool, ClientId: nobody}, noClient)
		refused[notFound](t, c.AddUserPoolClientSecret, &idp.AddUserPoolClientSecretInput{UserPoolId: pool, ClientId: nobody}, noClient)
		// A client of another pool is none.
		refused[notFound](t, c.DescribeUserPoolClient, &idp.DescribeUserPoolClientInput{UserPoolId: other, ClientId: id}, "User pool client "+*id+" does not exist.")
		refused[notFound](t, c.DescribeResourceServer, &idp.DescribeResourceServerInput{UserPoolId: pool, Identifier: nobody}, "does not exist")
		refused[notFound](t, c.UpdateResourceServer, &idp.UpdateResourceServerInput{UserPoolId: pool, Identifier: nobody, Name: nobody}, "does not exist")
		refused[notFound](t, c.DeleteResourceServer, &idp.DeleteResourceServerInput{UserPoolId: pool, Identifier: nobody}, "does not exist")
	})

	t.Run("InvalidParameterException", func(t *testing.T) {
		t.Parallel()
		type invalid = *types.InvalidParameterException
		refused[invalid](t, c.CreateUserPool, &idp.CreateUserPoolInput{PoolName: aws.String("no/slash")}, "1 validation error detected: Value 'no/slash' at 'poolName' failed to satisfy constraint: Member must satisfy regular expression pattern: ")
		refused[invalid](t, c.ListUserPools, &idp.ListUserPoolsInput{MaxResults: aws.Int32(61)}, "Member must have value less than or equal to 60")
		refused[invalid](t, c.ListUserPools, &idp.ListUserPoolsInput{MaxResults: aws.Int32(60), NextToken: aws.String("x")}, "")
		refused[invalid](t, c.CreateUserPoolDomain, &idp.CreateUserPoolDomainInput{UserPoolId: other, Domain: aws.String("taken")}, "Domain already associated with another user pool.")
		refused[invalid](t, c.CreateUserPoolDomain, &idp.CreateUserPoolDomainInput{UserPoolId: other, Domain: aws.String("my-cognito")}, "reserved word: cognito")
		refused[invalid](t, c.DeleteUserPool, &idp.DeleteUserPoolInput{UserPoolId: pool}, "User pool cannot be deleted. It has a domain configured that should be deleted first.")
		refused[invalid](t, c.DeleteUserPoolDomain, &idp.DeleteUserPoolDomainInput{UserPoolId: other, Domain: aws.String("taken")}, "No such domain or user pool exists.")
		refused[invalid](t, c.CreateResourceServer, &idp.CreateResourceServerInput{UserPoolId: pool, Identifier: aws.String("demo"), Name: aws.String("again")}, "already exists in user pool")
		slash := readScope()
		slash.ScopeName = aws.String("read/file")
		refused[invalid](t, c.UpdateResourceServer, &idp.UpdateResourceServerInput{UserPoolId: pool, Identifier: aws.String("demo"), Name: aws.String("x"), Scopes: []types.ResourceServerScopeType{slash}}, "regular expression pattern")

		in := machineClient(pool)
		in.AllowedOAuthFlows, in.AllowedOAuthScopes = nil, nil
		refused[invalid](t, c.CreateUserPoolClient, in, "AllowedOAuthFlows and AllowedOAuthScopes are required if user pool client is allowed to use OAuth flows.")
		in = machineClient(pool)
		in.AccessTokenValidity = aws.Int32(4)
		refused[invalid](t, c.CreateUserPoolClient, in, "")
		in = machineClient(pool)
		in.AllowedOAuthFlows = []types.OAuthFlowType{"token"}
		refused[invalid](t, c.CreateUserPoolClient, in, "1 validation error detected: Value '[token]' at 'allowedOAuthFlows' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [implicit, client_credentials, code]]")
		in = machineClient(pool)
		in.ClientSecret = aws.String("0123456789012345678901234")
		refused[invalid](t, c.CreateUserPoolClient, in, "")
	})

	t.Run("others", func(t *testing.T) {
		t.Parallel()
		in := machineClient(pool)
		in.AllowedOAuthScopes = []string{"demo/delete.file"}
		refused[*types.ScopeDoesNotExistException](t, c.CreateUserPoolClient, in, "Invalid scope requested: demo/delete.file")
		in = machineClient(pool)
		in.AllowedOAuthFlows = append(in.AllowedOAuthFlows, types.OAuthFlowTypeCode)
		refused[*types.InvalidOAuthFlowException](t, c.CreateUserPoolClient, in, "client_credentials flow can not be selected along with code flow or implicit flow")
		in = machineClient(pool)
		in.AllowedOAuthScopes = []string{"openid"}
		refused[*types.InvalidOAuthFlowException](t, c.CreateUserPoolClient, in, "openid is not supported with client_credentials flow")
		must(t, c.AddUserPoolClientSecret, &idp.AddUserPoolClientSecretInput{UserPoolId: pool, ClientId: id})
		refused[*types.LimitExceededException](t, c.AddUserPoolClientSecret, &idp.AddUserPoolClientSecretInput{UserPoolId: pool, ClientId: id}, "")
	})
}

// What is no answer of Cognito's is an error of the SDK as well, with the status.
func TestSDKFaults(t *testing.T) {
	t.Parallel()
	server := newCognito(t)
	c := sdk(server.Transport())
	server.SetFault(cognitotest.APIEndpoint, cognitotest.Fault{Status: http.StatusServiceUnavailable, Times: 1})
	_, err := c.ListUserPools(t.Context(), &idp.ListUserPoolsInput{MaxResults: aws.Int32(1)})
	if e, ok := errors.AsType[*awshttp.ResponseError](err); !ok || e.HTTPStatusCode() != http.StatusServiceUnavailable {
		t.Errorf("got %v, want status 503", err)
	}
	must(t, c.ListUserPools, &idp.ListUserPoolsInput{MaxResults: aws.Int32(1)})
}

// The SDK's paginators see everything once, in pages of the asked size.
func TestSDKPaginators(t *testing.T) {
	t.Parallel()
	c := sdk(newCognito(t).Transport())
	const n, size = 7, 3
	var pools, servers, clients []string
	for i := range n {
		name := aws.String(fmt.Sprintf("number-%d", i))
		pools = append(pools, *must(t, c.CreateUserPool, &idp.CreateUserPoolInput{PoolName: name}).UserPool.Id)
		must(t, c.CreateResourceServer, &idp.CreateResourceServerInput{UserPoolId: &pools[0], Identifier: name, Name: name})
		servers = append(servers, *name)
		clients = append(clients, *must(t, c.CreateUserPoolClient, &idp.CreateUserPoolClientInput{UserPoolId: &pools[0], ClientName: name}).UserPoolClient.ClientId)
	}
	same := func(what string, got, want []string, pages int) {
		t.Helper()
		if got, want := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
		if pages != 3 {
			t.Errorf("%s: got %d pages, want 3", what, pages)
		}
	}
	var got []string
	pages := 0
	for p := idp.NewListUserPoolsPaginator(c, &idp.ListUserPoolsInput{MaxResults: aws.Int32(size)}); p.HasMorePages(); pages++ {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range out.UserPools {
			got = append(got, *x.Id)
		}
	}
	same("user pools", got, pools, pages)
	got, pages = nil, 0
	for p := idp.NewListResourceServersPaginator(c, &idp.ListResourceServersInput{UserPoolId: &pools[0], MaxResults: aws.Int32(size)}); p.HasMorePages(); pages++ {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range out.ResourceServers {
			got = append(got, *x.Identifier)
		}
	}
	same("resource servers", got, servers, pages)
	got, pages = nil, 0
	for p := idp.NewListUserPoolClientsPaginator(c, &idp.ListUserPoolClientsInput{UserPoolId: &pools[0], MaxResults: aws.Int32(size)}); p.HasMorePages(); pages++ {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range out.UserPoolClients {
			got = append(got, *x.ClientId)
		}
	}
	same("app clients", got, clients, pages)
}
