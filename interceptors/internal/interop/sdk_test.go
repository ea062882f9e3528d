// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	idp "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
	smithy "github.com/aws/smithy-go/middleware"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// operationLog is the operations that an SDK client called with success.
type operationLog struct {
	mu    sync.Mutex
	names []string
}

func (l *operationLog) add(stack *smithy.Stack) error {
	return stack.Initialize.Add(smithy.InitializeMiddlewareFunc("log", func(ctx context.Context, in smithy.InitializeInput, next smithy.InitializeHandler) (smithy.InitializeOutput, smithy.Metadata, error) {
		out, meta, err := next.HandleInitialize(ctx, in)
		if err == nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.names = append(l.names, middleware.GetOperationName(ctx))
		}
		return out, meta, err
	}), smithy.After)
}

// sdk is a client of the AWS SDK as for AWS itself: region and credentials. Only the way
// of its requests leads to the emulator. It never repeats a request.
func sdk(way http.RoundTripper, options ...func(*idp.Options)) *idp.Client {
	return idp.New(idp.Options{
		Region: "eu-central-1", HTTPClient: &http.Client{Transport: way}, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "example"}, nil
		}),
	}, options...)
}

// must calls an operation that has to succeed.
func must[I, O any](t *testing.T, call func(context.Context, *I, ...func(*idp.Options)) (*O, error), in *I) *O {
	t.Helper()
	out, err := call(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// refused calls an operation that has to fail with an error of type E, which has the
// text in its message.
func refused[E interface {
	error
	ErrorMessage() string
}, I, O any](t *testing.T, call func(context.Context, *I, ...func(*idp.Options)) (*O, error), in *I, text string) {
	t.Helper()
	_, err := call(t.Context(), in)
	e, ok := errors.AsType[E](err)
	if !ok {
		var want E
		t.Errorf("got %v, want a %T", err, want)
		return
	}
	if !strings.Contains(e.ErrorMessage(), text) {
		t.Errorf("got message %q, want %q in it", e.ErrorMessage(), text)
	}
}

func readScope() types.ResourceServerScopeType {
	return types.ResourceServerScopeType{ScopeName: aws.String("read.file"), ScopeDescription: aws.String("Read files")}
}

func writeScope() types.ResourceServerScopeType {
	return types.ResourceServerScopeType{ScopeName: aws.String("write.file"), ScopeDescription: aws.String("Write files")}
}

// machineClient is the input for the blog's app client.
func machineClient(pool *string) *idp.CreateUserPoolClientInput {
	return &idp.CreateUserPoolClientInput{
		UserPoolId: pool, ClientName: aws.String(appClient), GenerateSecret: true,
		AllowedOAuthFlowsUserPoolClient: true, AllowedOAuthFlows: []types.OAuthFlowType{types.OAuthFlowTypeClientCredentials},
		AllowedOAuthScopes:  []string{"demo/read.file", "demo/write.file"},
		AccessTokenValidity: aws.Int32(5), TokenValidityUnits: &types.TokenValidityUnitsType{AccessToken: types.TimeUnitsTypeMinutes},
	}
}

// newDemo creates the blog's user pool, resource server and app client.
func newDemo(t *testing.T, c *idp.Client) (pool *string, client *types.UserPoolClientType) {
	t.Helper()
	pool = must(t, c.CreateUserPool, &idp.CreateUserPoolInput{PoolName: aws.String("s2s-test")}).UserPool.Id
	must(t, c.CreateResourceServer, &idp.CreateResourceServerInput{
		UserPoolId: pool, Identifier: aws.String("demo"), Name: aws.String("Test API"), Scopes: []types.ResourceServerScopeType{readScope(), writeScope()},
	})
	return pool, must(t, c.CreateUserPoolClient, machineClient(pool)).UserPoolClient
}

// All operations of the management API that this version of the SDK has, in the
// order of a user pool's life; in memory, by Cognito's own host name, and over the network.
func TestSDKOperations(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]func(*cognitotest.Server) (http.RoundTripper, func(*idp.Options)){
		"cognito-idp.eu-central-1.amazonaws.com": func(s *cognitotest.Server) (http.RoundTripper, func(*idp.Options)) {
			return s.Transport(), func(*idp.Options) {}
		},
		"cognito-idp-fips.eu-central-1.amazonaws.com": func(s *cognitotest.Server) (http.RoundTripper, func(*idp.Options)) {
			return s.Transport(), func(o *idp.Options) { o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled }
		},
		"cognito-idp.eu-central-1.api.aws": func(s *cognitotest.Server) (http.RoundTripper, func(*idp.Options)) {
			return s.Transport(), func(o *idp.Options) {
				o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
			}
		},
		"network": func(s *cognitotest.Server) (http.RoundTripper, func(*idp.Options)) {
			return &http.Transport{DisableKeepAlives: true}, func(o *idp.Options) { o.BaseEndpoint = aws.String(s.URL()) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport, option := way(newCognito(t))
			var done operationLog
			c := sdk(transport, option, func(o *idp.Options) { o.APIOptions = append(o.APIOptions, done.add) })
			poolLife(t, c)
			slices.Sort(done.names)
			want := []string{
				"AddUserPoolClientSecret", "CreateResourceServer", "CreateUserPool", "CreateUserPoolClient", "CreateUserPoolDomain",
				"DeleteResourceServer", "DeleteUserPool", "DeleteUserPoolClient", "DeleteUserPoolClientSecret", "DeleteUserPoolDomain",
				"DescribeResourceServer", "DescribeUserPool", "DescribeUserPoolClient", "DescribeUserPoolDomain",
				"ListResourceServers", "ListUserPoolClientSecrets", "ListUserPoolClients", "ListUserPools",
				"UpdateResourceServer", "UpdateUserPool", "UpdateUserPoolClient",
			}
			if got := slices.Compact(done.names); !slices.Equal(got, want) {
				t.Errorf("got %q\nwant %q", got, want)
			}
		})
	}
}

func poolLife(t *testing.T, c *idp.Client) {
	t.Helper()
	created := must(t, c.CreateUserPool, &idp.CreateUserPoolInput{
		PoolName: aws.String("s2s-test"), DeletionProtection: types.DeletionProtectionTypeActive, UserPoolTags: map[string]string{"team": "files"},
	}).UserPool
	pool := created.Id
	if !strings.HasPrefix(*pool, "eu-central-1_") || *created.Arn != "arn:aws:cognito-idp:eu-central-1:123456789012:userpool/"+*pool || created.UserPoolTier != types.UserPoolTierTypeEssentials {
		t.Errorf("got pool %+v", created)
	}
	described := must(t, c.DescribeUserPool, &idp.DescribeUserPoolInput{UserPoolId: pool}).UserPool
	if *described.Name != "s2s-test" || described.DeletionProtection != types.DeletionProtectionTypeActive || described.UserPoolTags["team"] != "files" || !described.CreationDate.Equal(*created.CreationDate) {
		t.Errorf("got pool %+v", described)
	}
	resourceServerLife(t, c, pool)
	clientLife(t, c, pool)
	domainLife(t, c, pool)

	refused[*types.InvalidParameterException](t, c.DeleteUserPool, &idp.DeleteUserPoolInput{UserPoolId: pool},
		"The user pool cannot be deleted because deletion protection is activated. Deletion protection must be inactivated first.")
	// An update resets what it does not name.
	must(t, c.UpdateUserPool, &idp.UpdateUserPoolInput{UserPoolId: pool})
	described = must(t, c.DescribeUserPool, &idp.DescribeUserPoolInput{UserPoolId: pool}).UserPool
	if described.DeletionProtection != types.DeletionProtectionTypeInactive || len(described.UserPoolTags) != 0 || *described.Name != "s2s-test" {
		t.Errorf("after the update: got pool %+v", described)
	}
	must(t, c.DeleteUserPool, &idp.DeleteUserPoolInput{UserPoolId: pool})
	refused[*types.ResourceNotFoundException](t, c.DescribeUserPool, &idp.DescribeUserPoolInput{UserPoolId: pool}, "User pool "+*pool+" does not exist.")
	for _, p := range must(t, c.ListUserPools, &idp.ListUserPoolsInput{MaxResults: aws.Int32(60)}).UserPools {
		if *p.Id == *pool {
			t.Error("the deleted pool is still listed")
		}
	}
}

func resourceServerLife(t *testing.T, c *idp.Client, pool *string) {
	t.Helper()
	demo := aws.String("demo")
	must(t, c.CreateResourceServer, &idp.CreateResourceServerInput{UserPoolId: pool, Identifier: demo, Name: aws.String("Test API"), Scopes: []types.ResourceServerScopeType{readScope(), writeScope()}})
	must(t, c.CreateResourceServer, &idp.CreateResourceServerInput{UserPoolId: pool, Identifier: aws.String("https://api.example.com"), Name: aws.String("no scopes")})
	// An update replaces the scopes.
	must(t, c.UpdateResourceServer, &idp.UpdateResourceServerInput{UserPoolId: pool, Identifier: demo, Name: aws.String("Files"), Scopes: []types.ResourceServerScopeType{writeScope()}})
	got := must(t, c.DescribeResourceServer, &idp.DescribeResourceServerInput{UserPoolId: pool, Identifier: demo}).ResourceServer
	if *got.Name != "Files" || len(got.Scopes) != 1 || *got.Scopes[0].ScopeName != "write.file" || *got.Scopes[0].ScopeDescription != "Write files" || *got.UserPoolId != *pool {
		t.Errorf("got resource server %+v", got)
	}
	must(t, c.UpdateResourceServer, &idp.UpdateResourceServerInput{UserPoolId: pool, Identifier: demo, Name: aws.String("Test API"), Scopes: []types.ResourceServerScopeType{readScope(), writeScope()}})
	must(t, c.DeleteResourceServer, &idp.DeleteResourceServerInput{UserPoolId: pool, Identifier: aws.String("https://api.example.com")})
	list := must(t, c.ListResourceServers, &idp.ListResourceServersInput{UserPoolId: pool, MaxResults: aws.Int32(50)})
	if len(list.ResourceServers) != 1 || *list.ResourceServers[0].Identifier != "demo" || list.NextToken != nil {
		t.Errorf("got resource servers %+v", list)
	}
}

func clientLife(t *testing.T, c *idp.Client, pool *string) {
	t.Helper()
	created := must(t, c.CreateUserPoolClient, machineClient(pool)).UserPoolClient
	id := created.ClientId
	got := must(t, c.DescribeUserPoolClient, &idp.DescribeUserPoolClientInput{UserPoolId: pool, ClientId: id}).UserPoolClient
	if *got.ClientName != appClient || *got.ClientSecret != *created.ClientSecret || !*got.AllowedOAuthFlowsUserPoolClient || *got.AccessTokenValidity != 5 ||
		got.TokenValidityUnits.AccessToken != types.TimeUnitsTypeMinutes || !slices.Equal(got.AllowedOAuthScopes, []string{"demo/read.file", "demo/write.file"}) {
		t.Errorf("got client %+v", got)
	}
	list := must(t, c.ListUserPoolClients, &idp.ListUserPoolClientsInput{UserPoolId: pool, MaxResults: aws.Int32(1)})
	if len(list.UserPoolClients) != 1 || *list.UserPoolClients[0].ClientId != *id || list.NextToken != nil {
		t.Errorf("got clients %+v", list)
	}
	added := must(t, c.AddUserPoolClientSecret, &idp.AddUserPoolClientSecretInput{UserPoolId: pool, ClientId: id}).ClientSecretDescriptor
	secrets := must(t, c.ListUserPoolClientSecrets, &idp.ListUserPoolClientSecretsInput{UserPoolId: pool, ClientId: id}).ClientSecrets
	if len(secrets) != 2 || *secrets[1].ClientSecretId != *added.ClientSecretId || secrets[0].ClientSecretValue != nil || secrets[1].ClientSecretValue != nil {
		t.Errorf("got secrets %+v", secrets)
	}
	must(t, c.DeleteUserPoolClientSecret, &idp.DeleteUserPoolClientSecretInput{UserPoolId: pool, ClientId: id, ClientSecretId: secrets[0].ClientSecretId})

	// An update resets what it does not name, and leaves the name and the secrets.
	updated := must(t, c.UpdateUserPoolClient, &idp.UpdateUserPoolClientInput{UserPoolId: pool, ClientId: id}).UserPoolClient
	if *updated.ClientName != appClient || *updated.AllowedOAuthFlowsUserPoolClient || updated.AllowedOAuthFlows != nil || updated.AllowedOAuthScopes != nil || updated.AccessTokenValidity != nil {
		t.Errorf("after the update: got client %+v", updated)
	}
	must(t, c.DeleteUserPoolClient, &idp.DeleteUserPoolClientInput{UserPoolId: pool, ClientId: id})
	refused[*types.ResourceNotFoundException](t, c.DescribeUserPoolClient, &idp.DescribeUserPoolClientInput{UserPoolId: pool, ClientId: id}, "User pool client "+*id+" does not exist.")
}

func domainLife(t *testing.T, c *idp.Client, pool *string) {
	t.Helper()
	domain := aws.String("sdk-files")
	must(t, c.CreateUserPoolDomain, &idp.CreateUserPoolDomainInput{UserPoolId: pool, Domain: domain})
	got := must(t, c.DescribeUserPoolDomain, &idp.DescribeUserPoolDomainInput{Domain: domain}).DomainDescription
	if got.Status != types.DomainStatusTypeActive || *got.UserPoolId != *pool || *got.Domain != *domain {
		t.Errorf("got domain %+v", got)
	}
	if p := must(t, c.DescribeUserPool, &idp.DescribeUserPoolInput{UserPoolId: pool}).UserPool; *p.Domain != *domain {
		t.Errorf("got pool %+v, want its domain in it", p)
	}
	must(t, c.DeleteUserPoolDomain, &idp.DeleteUserPoolDomainInput{UserPoolId: pool, Domain: domain})
	// Cognito describes a domain that nobody has by nothing.
	if got := must(t, c.DescribeUserPoolDomain, &idp.DescribeUserPoolDomainInput{Domain: domain}).DomainDescription; got.Domain != nil || got.Status != "" {
		t.Errorf("after its deletion: got domain %+v", got)
	}
}
