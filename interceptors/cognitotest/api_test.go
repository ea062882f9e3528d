// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// apiHeader is the header of a request to the management API.
func apiHeader(operation string) http.Header {
	return http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"AWSCognitoIdentityProviderService." + operation}}
}

func callAPI(tb testing.TB, s *Server, operation, body string) (answer, string) {
	tb.Helper()
	return exchange(tb, s.Transport(), http.MethodPost, s.URL()+"/", body, apiHeader(operation))
}

// mustCall is callAPI for what must succeed.
func mustCall(tb testing.TB, s *Server, operation, body string) string {
	tb.Helper()
	resp, got := callAPI(tb, s, operation, body)
	if resp.StatusCode != http.StatusOK {
		tb.Fatalf("%s %s: got %d %s, want 200", operation, body, resp.StatusCode, got)
	}
	return got
}

// textAt returns one text inside a JSON object, by a path of names.
func textAt(tb testing.TB, body string, path ...string) string {
	tb.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		tb.Fatalf("%s: %v", body, err)
	}
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	text, _ := v.(string)
	return text
}

// variable replaces what is new each time.
func variable(body string) string {
	for _, r := range []struct{ pattern, with string }{
		{`[a-z]{2}(-gov)?-[a-z]+-\d_[0-9A-Za-z]{9}`, "<pool>"},
		{`"[0-9a-v]{26}"`, `"<client>"`},
		{`"[0-9a-v]{52}"`, `"<secret>"`},
		{`"[0-9a-v]{26}--`, `"<client>--`},
		{`"eyJ[^"]*"`, `"<jwt>"`},
		{`"d[0-9a-f]{13}\.cloudfront\.net"`, `"<cloudfront>"`},
	} {
		body = regexp.MustCompile(r.pattern).ReplaceAllString(body, r.with)
	}
	return body
}

const (
	inPool   = `"UserPoolId":"` + testPoolID + `"`
	inClient = inPool + `,"ClientId":"` + testID + `"`
)

// step is one call that prepares a row.
type step struct{ operation, body string }

// TestAPIAnswers is typed by hand from the API reference and from answers that
// were published. Members are in alphabetical order.
func TestAPIAnswers(t *testing.T) {
	t.Parallel()
	const (
		clientMiddle  = `"AuthSessionValidity":3,`
		demo          = `{"ResourceServer":{"Identifier":"demo","Name":"Test API","Scopes":[{"ScopeDescription":"Read files","ScopeName":"read.file"},{"ScopeDescription":"Write files","ScopeName":"write.file"}],"UserPoolId":"<pool>"}}`
		createdClient = `"ClientId":"<client>","ClientName":"c",`
		propagate     = `"EnablePropagateAdditionalUserContextData":false,"EnableTokenRevocation":true,`
	)
	for _, tc := range []struct {
		name      string
		before    []step
		operation string
		body      string
		want      string
	}{
		{
			"pool", nil, "CreateUserPool", `{"PoolName":"new pool"}`,
			`{"UserPool":{"AdminCreateUserConfig":{"AllowAdminCreateUserOnly":false,"UnusedAccountValidityDays":7},"Arn":"arn:aws:cognito-idp:us-east-1:123456789012:userpool/<pool>","CreationDate":1795348800,"DeletionProtection":"INACTIVE","EmailConfiguration":{"EmailSendingAccount":"COGNITO_DEFAULT"},"EstimatedNumberOfUsers":0,"Id":"<pool>","LambdaConfig":{},"LastModifiedDate":1795348800,"MfaConfiguration":"OFF","Name":"new pool","Policies":{"PasswordPolicy":{"MinimumLength":8,"RequireLowercase":true,"RequireNumbers":true,"RequireSymbols":true,"RequireUppercase":true,"TemporaryPasswordValidityDays":7}},"Status":"Enabled","UserPoolTags":{},"UserPoolTier":"ESSENTIALS","VerificationMessageTemplate":{"DefaultEmailOption":"CONFIRM_WITH_CODE"}}}`,
		},
		{
			"pool with settings", nil, "CreateUserPool",
			`{"PoolName":"p","DeletionProtection":"ACTIVE","UserPoolTier":"LITE","IssuerConfiguration":{"Type":"UPDATED"},"Schema":[{"Name":"x"}],"UserPoolTags":{"a":"b"},"MfaConfiguration":null,"Unknown":{"a":1},"poolname":1}`,
			`{"UserPool":{"AdminCreateUserConfig":{"AllowAdminCreateUserOnly":false,"UnusedAccountValidityDays":7},"Arn":"arn:aws:cognito-idp:us-east-1:123456789012:userpool/<pool>","CreationDate":1795348800,"DeletionProtection":"ACTIVE","EmailConfiguration":{"EmailSendingAccount":"COGNITO_DEFAULT"},"EstimatedNumberOfUsers":0,"Id":"<pool>","IssuerConfiguration":{"Type":"UPDATED"},"LambdaConfig":{},"LastModifiedDate":1795348800,"MfaConfiguration":"OFF","Name":"p","Policies":{"PasswordPolicy":{"MinimumLength":8,"RequireLowercase":true,"RequireNumbers":true,"RequireSymbols":true,"RequireUppercase":true,"TemporaryPasswordValidityDays":7}},"SchemaAttributes":[{"Name":"x"}],"Status":"Enabled","UserPoolTags":{"a":"b"},"UserPoolTier":"LITE","VerificationMessageTemplate":{"DefaultEmailOption":"CONFIRM_WITH_CODE"}}}`,
		},
		{
			"describe pool",
			[]step{{"CreateUserPoolDomain", `{` + inPool + `,"Domain":"auth.example.com","CustomDomainConfig":{"CertificateArn":"arn:aws:acm:us-east-1:123456789012:certificate/1"}}`}},
			"DescribeUserPool", `{` + inPool + `}`,
			`{"UserPool":{"AdminCreateUserConfig":{"AllowAdminCreateUserOnly":false,"UnusedAccountValidityDays":7},"Arn":"arn:aws:cognito-idp:eu-central-1:123456789012:userpool/<pool>","CreationDate":1795348800,"CustomDomain":"auth.example.com","DeletionProtection":"INACTIVE","Domain":"my-prefix","EmailConfiguration":{"EmailSendingAccount":"COGNITO_DEFAULT"},"EstimatedNumberOfUsers":0,"Id":"<pool>","LambdaConfig":{},"LastModifiedDate":1795348800,"MfaConfiguration":"OFF","Name":"s2s-test","Policies":{"PasswordPolicy":{"MinimumLength":8,"RequireLowercase":true,"RequireNumbers":true,"RequireSymbols":true,"RequireUppercase":true,"TemporaryPasswordValidityDays":7}},"Status":"Enabled","UserPoolTags":{},"UserPoolTier":"ESSENTIALS","VerificationMessageTemplate":{"DefaultEmailOption":"CONFIRM_WITH_CODE"}}}`,
		},
		{
			"pools", nil, "ListUserPools", `{"MaxResults":60}`,
			`{"UserPools":[{"CreationDate":1795348800,"Id":"<pool>","LambdaConfig":{},"LastModifiedDate":1795348800,"Name":"s2s-test","Status":"Enabled"}]}`,
		},
		{
			"pools, with what is kept",
			[]step{{"UpdateUserPool", `{` + inPool + `,"LambdaConfig":{"PreSignUp":"arn:aws:lambda:eu-central-1:123456789012:function:f"}}`}},
			"ListUserPools", `{"MaxResults":60}`,
			`{"UserPools":[{"CreationDate":1795348800,"Id":"<pool>","LambdaConfig":{"PreSignUp":"arn:aws:lambda:eu-central-1:123456789012:function:f"},"LastModifiedDate":1795348800,"Name":"s2s-test","Status":"Enabled"}]}`,
		},
		{"update pool", nil, "UpdateUserPool", `{` + inPool + `,"PoolName":"other"}`, `{}`},
		{"delete pool", []step{{"DeleteUserPoolDomain", `{` + inPool + `,"Domain":"my-prefix"}`}}, "DeleteUserPool", `{` + inPool + `}`, ``},

		{"domain", []step{{"DeleteUserPoolDomain", `{` + inPool + `,"Domain":"my-prefix"}`}}, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"other","ManagedLoginVersion":2}`, `{"ManagedLoginVersion":2}`},
		{"custom domain", nil, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"auth.example.com","CustomDomainConfig":{"CertificateArn":"arn:aws:acm:us-east-1:123456789012:certificate/1"}}`, `{"CloudFrontDomain":"<cloudfront>","ManagedLoginVersion":1}`},
		{
			"describe domain", nil, "DescribeUserPoolDomain", `{"Domain":"my-prefix"}`,
			`{"DomainDescription":{"AWSAccountId":"123456789012","CloudFrontDistribution":"<cloudfront>","CustomDomainConfig":{},"Domain":"my-prefix","ManagedLoginVersion":1,"Status":"ACTIVE","UserPoolId":"<pool>","Version":"20260101000000"}}`,
		},
		{
			"describe custom domain",
			[]step{{"CreateUserPoolDomain", `{` + inPool + `,"Domain":"auth.example.com","ManagedLoginVersion":2,"CustomDomainConfig":{"CertificateArn":"arn:aws:acm:us-east-1:123456789012:certificate/1"}}`}},
			"DescribeUserPoolDomain", `{"Domain":"auth.example.com"}`,
			`{"DomainDescription":{"AWSAccountId":"123456789012","CloudFrontDistribution":"<cloudfront>","CustomDomainConfig":{"CertificateArn":"arn:aws:acm:us-east-1:123456789012:certificate/1"},"Domain":"auth.example.com","ManagedLoginVersion":2,"Status":"ACTIVE","UserPoolId":"<pool>","Version":"20260101000000"}}`,
		},
		{"domain that nobody has", nil, "DescribeUserPoolDomain", `{"Domain":"nobody"}`, `{"DomainDescription":{}}`},
		{"delete domain", nil, "DeleteUserPoolDomain", `{` + inPool + `,"Domain":"my-prefix"}`, `{}`},

		{
			"resource server",
			[]step{{"DeleteResourceServer", `{` + inPool + `,"Identifier":"demo"}`}},
			"CreateResourceServer",
			`{` + inPool + `,"Identifier":"demo","Name":"Test API","Scopes":[{"ScopeName":"read.file","ScopeDescription":"Read files"},{"ScopeName":"write.file","ScopeDescription":"Write files"}]}`, demo,
		},
		{"resource server without scopes", nil, "CreateResourceServer", `{` + inPool + `,"Identifier":"https://api.example.com/v1","Name":"x"}`, `{"ResourceServer":{"Identifier":"https://api.example.com/v1","Name":"x","Scopes":[],"UserPoolId":"<pool>"}}`},
		{"describe resource server", nil, "DescribeResourceServer", `{` + inPool + `,"Identifier":"demo"}`, demo},
		{"resource servers", nil, "ListResourceServers", `{` + inPool + `}`, `{"ResourceServers":[` + demo[len(`{"ResourceServer":`):len(demo)-1] + `]}`},
		{"update resource server", nil, "UpdateResourceServer", `{` + inPool + `,"Identifier":"demo","Name":"Other"}`, `{"ResourceServer":{"Identifier":"demo","Name":"Other","Scopes":[],"UserPoolId":"<pool>"}}`},
		{"delete resource server", nil, "DeleteResourceServer", `{` + inPool + `,"Identifier":"demo"}`, ``},

		{
			"client", nil, "CreateUserPoolClient",
			`{` + inPool + `,"ClientName":"c","GenerateSecret":true,"AllowedOAuthFlowsUserPoolClient":true,"AllowedOAuthFlows":["client_credentials"],"AllowedOAuthScopes":["demo/read.file","demo/read.file"],"AccessTokenValidity":60,"TokenValidityUnits":{"AccessToken":"minutes"}}`,
			`{"UserPoolClient":{"AccessTokenValidity":60,"AllowedOAuthFlows":["client_credentials"],"AllowedOAuthFlowsUserPoolClient":true,"AllowedOAuthScopes":["demo/read.file"],` + clientMiddle + createdClient + `"ClientSecret":"<secret>","CreationDate":1795348800,` + propagate + `"LastModifiedDate":1795348800,"RefreshTokenValidity":30,"TokenValidityUnits":{"AccessToken":"minutes"},"UserPoolId":"<pool>"}}`,
		},
		{
			"client with its defaults", nil, "CreateUserPoolClient", `{` + inPool + `,"ClientName":"c"}`,
			`{"UserPoolClient":{"AllowedOAuthFlowsUserPoolClient":false,` + clientMiddle + createdClient + `"CreationDate":1795348800,` + propagate + `"LastModifiedDate":1795348800,"RefreshTokenValidity":30,"TokenValidityUnits":{},"UserPoolId":"<pool>"}}`,
		},
		{
			"client with a secret of its own and what is kept", nil, "CreateUserPoolClient",
			`{` + inPool + `,"ClientName":"c","ClientSecret":"aaaaaaaaaaaa+bbbbbbbbbbbb","ExplicitAuthFlows":["ALLOW_CLIENT_TOKEN_AUTH"],"CallbackURLs":["https://x"],"EnableTokenRevocation":false,"PreventUserExistenceErrors":"ENABLED","IdTokenValidity":24,"RefreshTokenValidity":0}`,
			`{"UserPoolClient":{"AllowedOAuthFlowsUserPoolClient":false,` + clientMiddle + `"CallbackURLs":["https://x"],` + createdClient + `"ClientSecret":"aaaaaaaaaaaa+bbbbbbbbbbbb","CreationDate":1795348800,"EnablePropagateAdditionalUserContextData":false,"EnableTokenRevocation":false,"ExplicitAuthFlows":["ALLOW_CLIENT_TOKEN_AUTH"],"IdTokenValidity":24,"LastModifiedDate":1795348800,"PreventUserExistenceErrors":"ENABLED","RefreshTokenValidity":0,"TokenValidityUnits":{},"UserPoolId":"<pool>"}}`,
		},
		{
			"describe client", nil, "DescribeUserPoolClient", `{` + inClient + `}`,
			`{"UserPoolClient":{"AccessTokenValidity":3600,"AllowedOAuthFlows":["client_credentials"],"AllowedOAuthFlowsUserPoolClient":true,"AllowedOAuthScopes":["demo/read.file","demo/write.file"],` + clientMiddle + `"ClientId":"<client>","ClientName":"sts-test-app-client","ClientSecret":"<secret>","CreationDate":1795348800,` + propagate + `"LastModifiedDate":1795348800,"RefreshTokenValidity":30,"TokenValidityUnits":{"AccessToken":"seconds"},"UserPoolId":"<pool>"}}`,
		},
		{"clients", nil, "ListUserPoolClients", `{` + inPool + `,"MaxResults":1}`, `{"NextToken":"<token>","UserPoolClients":[{"ClientId":"<client>","ClientName":"sts-test-app-client","UserPoolId":"<pool>"}]}`},
		{
			"update client resets", nil, "UpdateUserPoolClient", `{` + inClient + `,"GenerateSecret":false,"ClientName":"renamed"}`,
			`{"UserPoolClient":{"AllowedOAuthFlowsUserPoolClient":false,` + clientMiddle + `"ClientId":"<client>","ClientName":"renamed","ClientSecret":"<secret>","CreationDate":1795348800,` + propagate + `"LastModifiedDate":1795348800,"RefreshTokenValidity":30,"TokenValidityUnits":{},"UserPoolId":"<pool>"}}`,
		},
		{"delete client", nil, "DeleteUserPoolClient", `{` + inClient + `}`, ``},

		{"add secret", nil, "AddUserPoolClientSecret", `{` + inClient + `}`, `{"ClientSecretDescriptor":{"ClientSecretCreateDate":1795348800.001,"ClientSecretId":"<client>--1795348800001","ClientSecretValue":"<secret>"}}`},
		{"add own secret", nil, "AddUserPoolClientSecret", `{` + inClient + `,"ClientSecret":"aaaaaaaaaaaa+bbbbbbbbbbbb"}`, `{"ClientSecretDescriptor":{"ClientSecretCreateDate":1795348800.001,"ClientSecretId":"<client>--1795348800001"}}`},
		{
			"secrets",
			[]step{{"AddUserPoolClientSecret", `{` + inClient + `}`}},
			"ListUserPoolClientSecrets", `{` + inClient + `}`,
			`{"ClientSecrets":[{"ClientSecretCreateDate":1795348800,"ClientSecretId":"<client>--1795348800000"},{"ClientSecretCreateDate":1795348800.001,"ClientSecretId":"<client>--1795348800001"}]}`,
		},
		{"delete secret", []step{{"AddUserPoolClientSecret", `{` + inClient + `}`}}, "DeleteUserPoolClientSecret", `{` + inClient + `,"ClientSecretId":"` + testID + `--1795348800000"}`, `{}`},
		{"token", nil, "GetClientToken", `{"ClientId":"direct","Secret":"` + testSecret + `"}`, `{"ClientAuthenticationResult":{"AccessToken":"<jwt>","ExpiresIn":3600,"TokenType":"Bearer"}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, WithPool(apiPool()), WithoutListener(), fixedClock())
			for _, b := range tc.before {
				mustCall(t, s, b.operation, b.body)
			}
			resp, body := callAPI(t, s, tc.operation, tc.body)
			got := regexp.MustCompile(`"NextToken":"[^"]+"`).ReplaceAllString(variable(body), `"NextToken":"<token>"`)
			if resp.StatusCode != http.StatusOK || got != tc.want {
				t.Errorf("got %d\n%s\nwant 200\n%s", resp.StatusCode, got, tc.want)
			}
			if resp.Header.Get("Content-Type") != "application/x-amz-json-1.1" || len(resp.Header.Get("X-Amzn-Requestid")) != 36 || resp.ContentLength != int64(len(body)) || resp.Header.Get("X-Amzn-Errortype") != "" {
				t.Errorf("header: got %v, length %d", resp.Header, resp.ContentLength)
			}
		})
	}
}

// apiPool is the test pool with a client for GetClientToken.
func apiPool() Pool {
	p := testPool()
	p.Clients = append(p.Clients, Client{
		Name: "direct", ID: "direct", Secrets: []string{testSecret}, ExplicitAuthFlows: []string{"ALLOW_CLIENT_TOKEN_AUTH"},
		AllowedOAuthFlows: []string{}, AllowedOAuthFlowsUserPoolClient: new(false), AllowedOAuthScopes: []string{"demo/read.file", "demo/write.file"},
	})
	return p
}

// TestAPIRefusesRequests is about requests that reach no operation.
func TestAPIRefusesRequests(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(apiPool()), WithoutListener())
	const bad = `{"code":"BadRequest","message":"The server did not understand the operation that was requested.","type":"client"}`
	awsHost := "https://cognito-idp.eu-central-1.amazonaws.com/"
	for _, tc := range []struct {
		name, method, address, body string
		header                      []string
		status                      int
		want                        string
	}{
		{"unknown operation", "", "", `{}`, []string{"X-Amz-Target", targetPrefix + "ListUsers"}, 400, `{"__type":"UnknownOperationException","message":"this emulator has no such operation"}`},
		{"other service", "", "", `{}`, []string{"X-Amz-Target", "DynamoDB_20120810.DescribeUserPool"}, 400, `{"__type":"UnknownOperationException","message":"this emulator has no such operation"}`},
		{"no service", "", "", `{}`, []string{"X-Amz-Target", "DescribeUserPool"}, 400, `{"__type":"UnknownOperationException","message":"this emulator has no such operation"}`},
		{"empty target", "", "", `{}`, []string{"X-Amz-Target", ""}, 400, `{"__type":"UnknownOperationException","message":"this emulator has no such operation"}`},
		{"other content type", "", "", `{}`, []string{"Content-Type", "text/plain"}, 400, `{"__type":"UnknownOperationException","message":"Content-Type must be application/x-amz-json-1.1"}`},
		{"no content type", "", "", `{}`, []string{"Content-Type", ""}, 400, `{"__type":"UnknownOperationException","message":"Content-Type must be application/x-amz-json-1.1"}`},
		{"no JSON", "", "", `{`, nil, 400, `{"__type":"SerializationException","message":"The body is no JSON object"}`},
		{"list", "", "", `[]`, nil, 400, `{"__type":"SerializationException","message":"The body is no JSON object"}`},
		{"null", "", "", `null`, nil, 400, `{"__type":"SerializationException","message":"The body is no JSON object"}`},
		{"two objects", "", "", `{}{}`, nil, 400, `{"__type":"SerializationException","message":"The body is no JSON object"}`},
		{"no UTF-8", "", "", "{\"UserPoolId\":\"\xff\"}", nil, 400, `{"__type":"SerializationException","message":"The body is no JSON object"}`},
		{"too deep", "", "", `{"Policies":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, nil, 400, `{"__type":"SerializationException","message":"The body is no JSON object"}`},
		{"too long", "", "", `{"UserPoolId":"` + strings.Repeat("a", apiBodyLimit) + `"}`, nil, 413, `{"__type":"RequestEntityTooLargeException","message":"at most 262144 bytes"}`},
		{"empty body", "", "", ``, nil, 400, `{"__type":"InvalidParameterException","message":"1 validation error detected: Value null at 'userPoolId' failed to satisfy constraint: Member must not be null"}`},
		{"Origin of another site", "", "", `{}`, []string{"Origin", "https://attacker.example"}, 403, `{"__type":"ForbiddenException","message":"Origin is another site"}`},
		{"request of another site", "", "", `{}`, []string{"Sec-Fetch-Site", "cross-site"}, 403, `{"__type":"ForbiddenException","message":"Sec-Fetch-Site tells of another site"}`},
		{"another site at Cognito's name", "", awsHost, `{}`, []string{"Origin", "https://attacker.example"}, 403, `{"__type":"ForbiddenException","message":"Origin is another site"}`},
		{"charset", "", "", `{` + inPool + `}`, []string{"Content-Type", "Application/X-Amz-Json-1.1; charset=utf-8"}, 200, ``},
		{"any signature", "", "", `{` + inPool + `}`, []string{"Authorization", "AWS4-HMAC-SHA256 nonsense"}, 200, ``},
		{"Cognito's name", "", awsHost, `{` + inPool + `}`, nil, 200, ``},
		{"Cognito's FIPS name", "", "https://cognito-idp-fips.eu-central-1.amazonaws.com/", `{` + inPool + `}`, nil, 200, ``},
		{"Cognito's dual-stack name", "", "https://cognito-idp.eu-central-1.api.aws/", `{` + inPool + `}`, nil, 200, ``},
		{"another region's name", "", "https://cognito-idp.eu-west-1.amazonaws.com/", `{` + inPool + `}`, nil, 400, `{"__type":"ResourceNotFoundException","message":"User pool eu-central-1_Ab3dEf9hI does not exist."}`},
		{"GET at Cognito's name", "GET", awsHost, ``, nil, 400, bad},
		{"other path at Cognito's name", "", awsHost + "x", `{}`, nil, 400, bad},
		{"no target at Cognito's name", "", awsHost, `{}`, []string{"-", ""}, 400, bad},
		{"GET", "GET", "", ``, nil, 404, ``},
		{"other path", "", "https://cognito.invalid/x", `{}`, nil, 405, ``},
		{"no target", "", "", `{}`, []string{"-", ""}, 405, ``},
		{"domain", "", "https://my-prefix.auth.eu-central-1.amazoncognito.com/", `{}`, nil, 405, ``},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			header := apiHeader("DescribeUserPool")
			for i := 0; i < len(tc.header); i += 2 {
				header.Set(tc.header[i], tc.header[i+1])
				if tc.header[i] == "-" {
					header = http.Header{"Content-Type": {awsJSON}}
				}
			}
			resp, body := exchange(t, s.Transport(), cmp.Or(tc.method, http.MethodPost), cmp.Or(tc.address, s.URL()+"/"), tc.body, header)
			if resp.StatusCode != tc.status || resp.StatusCode != http.StatusOK && body != tc.want {
				t.Errorf("got %d %s, want %d %s", resp.StatusCode, body, tc.status, tc.want)
			}
			if kind := textAt(t, cmp.Or(body, `{}`), "__type"); kind != "" && (resp.Header.Get("X-Amzn-Errortype") != kind+":" || resp.Header.Get("Content-Type") != awsJSON) {
				t.Errorf("header: got %v, want the type %s", resp.Header, kind)
			}
		})
	}
	twice := apiHeader("DescribeUserPool")
	twice.Add(targetHeader, targetPrefix+"DeleteUserPool")
	if resp, body := exchange(t, s.Transport(), http.MethodPost, s.URL()+"/", `{`+inPool+`}`, twice); resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "UnknownOperationException") {
		t.Errorf("two targets: got %d %s", resp.StatusCode, body)
	}
}

// TestAPIOverTheNetwork checks Host there, where a page of another site could send it.
func TestAPIOverTheNetwork(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(apiPool()))
	for host, want := range map[string]int{"": 200, "localhost": 200, "cognito-idp.eu-central-1.amazonaws.com": 200, "attacker.example": 403} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/", strings.NewReader(`{`+inPool+`}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Host, req.Header = host, apiHeader("DescribeUserPool")
		resp, err := transports(t, s)["network"].RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("Host %q: got %d, want %d", host, resp.StatusCode, want)
		}
	}
}

// TestAPIChangesNothingThatIsNotKept lets the recorder fail under every operation that changes something.
func TestAPIChangesNothingThatIsNotKept(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(apiPool()), WithPool(Pool{Name: "none", ID: "eu-central-1_none"}), WithoutListener(), fixedClock())
	mustCall(t, s, "DeleteUserPoolDomain", `{"UserPoolId":"eu-central-1_none","Domain":"none"}`)
	mustCall(t, s, "AddUserPoolClientSecret", `{`+inPool+`,"ClientId":"direct"}`)
	before := encoded(t, s.store.snapshot())
	recorded := 0
	s.store.recorder = recorderFunc(func(change) error { recorded++; return errors.New("no space in /secret/place") })
	changing := []step{
		{"CreateUserPool", `{"PoolName":"x"}`},
		{"UpdateUserPool", `{` + inPool + `}`},
		{"DeleteUserPool", `{"UserPoolId":"eu-central-1_none"}`},
		{"CreateUserPoolDomain", `{"UserPoolId":"eu-central-1_none","Domain":"x"}`},
		{"DeleteUserPoolDomain", `{` + inPool + `,"Domain":"my-prefix"}`},
		{"CreateResourceServer", `{` + inPool + `,"Identifier":"x","Name":"x"}`},
		{"UpdateResourceServer", `{` + inPool + `,"Identifier":"demo","Name":"x"}`},
		{"DeleteResourceServer", `{` + inPool + `,"Identifier":"demo"}`},
		{"CreateUserPoolClient", `{` + inPool + `,"ClientName":"x"}`},
		{"UpdateUserPoolClient", `{` + inClient + `}`},
		{"DeleteUserPoolClient", `{` + inClient + `}`},
		{"AddUserPoolClientSecret", `{` + inClient + `}`},
		{"DeleteUserPoolClientSecret", `{` + inPool + `,"ClientId":"direct","ClientSecretId":"direct--1795348800000"}`},
	}
	for _, c := range changing {
		resp, body := callAPI(t, s, c.operation, c.body)
		if want := `{"__type":"InternalErrorException","message":"Nothing was changed: the change could not be kept."}`; resp.StatusCode != http.StatusInternalServerError || body != want {
			t.Errorf("%s: got %d %s, want 500 %s", c.operation, resp.StatusCode, body, want)
		}
	}
	if got := encoded(t, s.store.snapshot()); got != before {
		t.Errorf("the model is\n%s\nwant\n%s", got, before)
	}
	if recorded != len(changing) {
		t.Errorf("got %d changes, want %d", recorded, len(changing))
	}
	// The rest only reads.
	for operation := range operations {
		if !slices.ContainsFunc(changing, func(c step) bool { return c.operation == operation }) {
			callAPI(t, s, operation, `{`+inPool+`,"ClientId":"direct","Secret":"`+testSecret+`","Identifier":"demo","Domain":"my-prefix","MaxResults":1}`)
		}
	}
	if recorded != len(changing) {
		t.Errorf("reading was recorded: got %d changes, want %d", recorded, len(changing))
	}
}

// TestAPIErrorsOfTheModel: a pool can be deleted between the look-up and the change.
func TestAPIErrorsOfTheModel(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	p := s.Pool(testPoolID)
	if err := s.store.commit(func() (change, error) { return change{Pool: testPoolID, Delete: true}, nil }); err != nil {
		t.Fatal(err)
	}
	for err, want := range map[error]apiError{
		p.edit(func(*poolRecord) error { return nil }): {"ResourceNotFoundException", "User pool eu-central-1_Ab3dEf9hI does not exist."},
		errClosed: {"InternalErrorException", "Something failed in the emulator."},
	} {
		if got := asAPIError(err); got != want {
			t.Errorf("%v: got %v, want %v", err, got, want)
		}
	}
}
