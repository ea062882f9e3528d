// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// apiRefusal is one row: what is refused, with which type and message.
type apiRefusal struct {
	name      string
	before    []step
	operation string
	body      string
	kind      string
	message   string
}

func (r apiRefusal) check(t *testing.T, opts ...Option) {
	t.Helper()
	s := newServer(t, append(opts, WithPool(apiPool()), WithoutListener(), fixedClock())...)
	for _, b := range r.before {
		mustCall(t, s, b.operation, b.body)
	}
	before := encoded(t, s.store.snapshot())
	resp, body := callAPI(t, s, r.operation, r.body)
	want := string(rawJSON(apiError{r.kind, r.message}))
	if resp.StatusCode != http.StatusBadRequest || body != want {
		t.Errorf("got %d\n%s\nwant 400\n%s", resp.StatusCode, body, want)
	}
	if got := resp.Header.Get("X-Amzn-Errortype"); got != r.kind+":" {
		t.Errorf("type in the header: got %s, want %s", got, r.kind)
	}
	if strings.Contains(body, testSecret) || strings.Contains(body, "hush") {
		t.Errorf("a secret is in the message: %s", body)
	}
	if got := encoded(t, s.store.snapshot()); got != before {
		t.Errorf("a refused operation changed the model to\n%s\nfrom\n%s", got, before)
	}
}

const (
	invalid       = "InvalidParameterException"
	serialization = "SerializationException"
	missing       = "ResourceNotFoundException"
	limit         = "LimitExceededException"
	flow          = "InvalidOAuthFlowException"

	inOther = `"UserPoolId":"eu-central-1_Other"`
)

func violation(sentences ...string) string {
	if len(sentences) == 1 {
		return "1 validation error detected: " + sentences[0]
	}
	return fmt.Sprintf("%d validation errors detected: %s", len(sentences), strings.Join(sentences, "; "))
}

func failed(place, constraint string) string {
	return "Value " + place + " failed to satisfy constraint: Member must " + constraint
}

func notNull(member string) string { return failed("null at '"+member+"'", "not be null") }

// TestAPIConstraints has every constraint on single members.
func TestAPIConstraints(t *testing.T) {
	t.Parallel()
	const (
		name       = `satisfy regular expression pattern: [\w\s+=,.@-]+`
		least1     = `have length greater than or equal to 1`
		client     = `{` + inPool + `,"ClientName":"c"`
		server     = `{` + inPool + `,"Identifier":"x","Name":"x"`
		identifier = `satisfy regular expression pattern: [\x21\x23-\x5B\x5D-\x7E]+`
		scopeName  = `satisfy regular expression pattern: [\x21\x23-\x2E\x30-\x5B\x5D-\x7E]+`
		anyScope   = `satisfy constraint: [Member must have length less than or equal to 256, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [\x21\x23-\x5B\x5D-\x7E]+]`
		units      = `satisfy enum value set: [seconds, minutes, hours, days]`
	)
	long := strings.Repeat("a", 257)
	for _, r := range []apiRefusal{
		{"no pool name", nil, "CreateUserPool", `{}`, invalid, violation(notNull("poolName"))},
		{"pool name null", nil, "CreateUserPool", `{"PoolName":null}`, invalid, violation(notNull("poolName"))},
		{"member name in another case", nil, "CreateUserPool", `{"poolName":"x"}`, invalid, violation(notNull("poolName"))},
		{"empty pool name", nil, "CreateUserPool", `{"PoolName":""}`, invalid, violation(failed("'' at 'poolName'", name), failed("'' at 'poolName'", least1))},
		{"bad pool name", nil, "CreateUserPool", `{"PoolName":"a/b"}`, invalid, violation(failed("'a/b' at 'poolName'", name))},
		{"long pool name", nil, "CreateUserPool", `{"PoolName":"` + long[:129] + `"}`, invalid, violation(failed("'"+long[:129]+"' at 'poolName'", "have length less than or equal to 128"))},
		{"pool name is a number", nil, "CreateUserPool", `{"PoolName":1}`, serialization, "NUMBER_VALUE can not be converted to a String"},
		{"pool name is true", nil, "CreateUserPool", `{"PoolName":true}`, serialization, "TRUE_VALUE can not be converted to a String"},
		{"pool name is false", nil, "CreateUserPool", `{"PoolName":false}`, serialization, "FALSE_VALUE can not be converted to a String"},
		{"pool name is a list", nil, "CreateUserPool", `{"PoolName":["x"]}`, serialization, "Start of list found where not expected"},
		{"pool name is a structure", nil, "CreateUserPool", `{"PoolName":{"x":1}}`, serialization, "Start of structure or map found where not expected."},
		{"two wrong types", nil, "CreateUserPool", `{"PoolName":1,"DeletionProtection":[]}`, serialization, "NUMBER_VALUE can not be converted to a String"},
		{"wrong type and value", nil, "CreateUserPool", `{"PoolName":"/","DeletionProtection":[]}`, serialization, "Start of list found where not expected"},
		{"deletion protection", nil, "CreateUserPool", `{"PoolName":"x","DeletionProtection":"YES"}`, invalid, violation(failed("'YES' at 'deletionProtection'", "satisfy enum value set: [ACTIVE, INACTIVE]"))},
		{"tier", nil, "CreateUserPool", `{"PoolName":"x","UserPoolTier":"FREE"}`, invalid, violation(failed("'FREE' at 'userPoolTier'", "satisfy enum value set: [LITE, ESSENTIALS, PLUS]"))},
		{"issuer", nil, "CreateUserPool", `{"PoolName":"x","IssuerConfiguration":{"Type":"EMULATOR"}}`, invalid, violation(failed("'EMULATOR' at 'issuerConfiguration.type'", "satisfy enum value set: [ORIGINAL, UPDATED]"))},
		{"issuer is a text", nil, "CreateUserPool", `{"PoolName":"x","IssuerConfiguration":"UPDATED"}`, serialization, "STRING_VALUE can not be converted to a Structure"},
		{"MFA", nil, "CreateUserPool", `{"PoolName":"x","MfaConfiguration":"on"}`, invalid, violation(failed("'on' at 'mfaConfiguration'", "satisfy enum value set: [OFF, ON, OPTIONAL]"))},
		{"policies are a text", nil, "CreateUserPool", `{"PoolName":"x","Policies":"x"}`, serialization, "STRING_VALUE can not be converted to a Structure"},
		{"attributes are a text", nil, "CreateUserPool", `{"PoolName":"x","AliasAttributes":"email"}`, serialization, "STRING_VALUE can not be converted to a List"},
		{"text that is kept is a number", nil, "CreateUserPool", `{"PoolName":"x","SmsVerificationMessage":5}`, serialization, "NUMBER_VALUE can not be converted to a String"},
		{"too much to keep", nil, "CreateUserPool", `{"PoolName":"x","EmailVerificationMessage":"` + strings.Repeat("a", 66_000) + `"}`, invalid, violation(failed("at 'emailVerificationMessage'", "have length less than or equal to what is left of 65536 bytes for all members that are only kept"))},
		{"no MaxResults", nil, "ListUserPools", `{}`, invalid, violation(notNull("maxResults"))},
		{"MaxResults 61", nil, "ListUserPools", `{"MaxResults":61}`, invalid, violation(failed("'61' at 'maxResults'", "have value less than or equal to 60"))},
		{"MaxResults 0", nil, "ListUserPools", `{"MaxResults":0}`, invalid, violation(failed("'0' at 'maxResults'", "have value greater than or equal to 1"))},
		{"MaxResults is a text", nil, "ListUserPools", `{"MaxResults":"5"}`, serialization, "STRING_VALUE can not be converted to an Integer"},
		{"MaxResults is huge", nil, "ListUserPools", `{"MaxResults":99999999999}`, serialization, "NUMBER_VALUE can not be converted to an Integer"},
		{"MaxResults with a fraction", nil, "ListUserPools", `{"MaxResults":1.5}`, serialization, "NUMBER_VALUE can not be converted to an Integer"},
		{"empty NextToken", nil, "ListUserPools", `{"MaxResults":1,"NextToken":""}`, invalid, violation(failed("'' at 'nextToken'", `satisfy regular expression pattern: [\S]+`), failed("'' at 'nextToken'", least1))},
		{"long NextToken", nil, "ListUserPools", `{"MaxResults":1,"NextToken":"` + strings.Repeat("a", 131073) + `"}`, invalid, violation(failed("'"+strings.Repeat("a", 131073)+"' at 'nextToken'", "have length less than or equal to 131072"))},
		{"NextToken with a space", nil, "ListUserPools", `{"MaxResults":1,"NextToken":"a b"}`, invalid, violation(failed("'a b' at 'nextToken'", `satisfy regular expression pattern: [\S]+`))},
		{"MaxResults of clients", nil, "ListUserPoolClients", `{` + inPool + `,"MaxResults":61}`, invalid, violation(failed("'61' at 'maxResults'", "have value less than or equal to 60"))},
		{"MaxResults of resource servers", nil, "ListResourceServers", `{` + inPool + `,"MaxResults":51}`, invalid, violation(failed("'51' at 'maxResults'", "have value less than or equal to 50"))},
		{"pool id", nil, "DescribeUserPool", `{"UserPoolId":"a b"}`, invalid, violation(failed("'a b' at 'userPoolId'", `satisfy regular expression pattern: [\w-]+_[0-9a-zA-Z]+`))},
		{"empty pool id", nil, "DescribeUserPool", `{"UserPoolId":""}`, invalid, violation(failed("'' at 'userPoolId'", `satisfy regular expression pattern: [\w-]+_[0-9a-zA-Z]+`), failed("'' at 'userPoolId'", least1))},
		{"long pool id", nil, "DescribeUserPool", `{"UserPoolId":"a_` + long[:54] + `"}`, invalid, violation(failed("'a_"+long[:54]+"' at 'userPoolId'", "have length less than or equal to 55"))},

		{"no domain", nil, "CreateUserPoolDomain", `{}`, invalid, violation(notNull("userPoolId"), notNull("domain"))},
		{"long domain", nil, "DescribeUserPoolDomain", `{"Domain":"` + long[:64] + `"}`, invalid, violation(failed("'"+long[:64]+"' at 'domain'", "have length less than or equal to 63"))},
		{"empty domain", nil, "DescribeUserPoolDomain", `{"Domain":""}`, invalid, violation(failed("'' at 'domain'", least1))},
		{"login version", nil, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"x","ManagedLoginVersion":3}`, invalid, violation(failed("'3' at 'managedLoginVersion'", "have value less than or equal to 2"))},
		{"login version 0", nil, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"x","ManagedLoginVersion":0}`, invalid, violation(failed("'0' at 'managedLoginVersion'", "have value greater than or equal to 1"))},
		{"short certificate", nil, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"auth.example.com","CustomDomainConfig":{"CertificateArn":"arn:a:a:a:1:a"}}`, invalid, violation(failed("'arn:a:a:a:1:a' at 'customDomainConfig.certificateArn'", "have length greater than or equal to 20"))},
		{"long certificate", nil, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"auth.example.com","CustomDomainConfig":{"CertificateArn":"arn:a:a:a:1:` + strings.Repeat("a", 2048) + `"}}`, invalid, violation(failed("'arn:a:a:a:1:"+strings.Repeat("a", 2048)+"' at 'customDomainConfig.certificateArn'", "have length less than or equal to 2048"))},
		{"no certificate", nil, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"auth.example.com","CustomDomainConfig":{}}`, invalid, violation(notNull("customDomainConfig.certificateArn"))},
		{"certificate", nil, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"auth.example.com","CustomDomainConfig":{"CertificateArn":"my certificate, really"}}`, invalid, violation(failed("'my certificate, really' at 'customDomainConfig.certificateArn'", `satisfy regular expression pattern: arn:[\w+=/,.@-]+:[\w+=/,.@-]+:([\w+=/,.@-]*)?:[0-9]+:[\w+=/,.@-]+(:[\w+=/,.@-]+)?(:[\w+=/,.@-]+)?`))},

		{"no members of a resource server", nil, "CreateResourceServer", `{}`, invalid, violation(notNull("userPoolId"), notNull("identifier"), notNull("name"))},
		{"identifier with a space", nil, "CreateResourceServer", `{` + inPool + `,"Identifier":"a b","Name":"x"}`, invalid, violation(failed("'a b' at 'identifier'", identifier))},
		{"long identifier", nil, "DescribeResourceServer", `{` + inPool + `,"Identifier":"` + long + `"}`, invalid, violation(failed("'"+long+"' at 'identifier'", "have length less than or equal to 256"))},
		{"server name", nil, "UpdateResourceServer", `{` + inPool + `,"Identifier":"demo","Name":"a/b"}`, invalid, violation(failed("'a/b' at 'name'", name))},
		{"empty identifier and name", nil, "CreateResourceServer", `{` + inPool + `,"Identifier":"","Name":""}`, invalid, violation(failed("'' at 'identifier'", identifier), failed("'' at 'identifier'", least1), failed("'' at 'name'", name), failed("'' at 'name'", least1))},
		{"long server name", nil, "CreateResourceServer", `{` + inPool + `,"Identifier":"x","Name":"` + long + `"}`, invalid, violation(failed("'"+long+"' at 'name'", "have length less than or equal to 256"))},
		{"empty scope name", nil, "CreateResourceServer", server + `,"Scopes":[{"ScopeName":"","ScopeDescription":"d"}]}`, invalid, violation(failed("'' at 'scopes.1.member.scopeName'", scopeName), failed("'' at 'scopes.1.member.scopeName'", least1))},
		{"long scope name", nil, "CreateResourceServer", server + `,"Scopes":[{"ScopeName":"` + long + `","ScopeDescription":"d"}]}`, invalid, violation(failed("'"+long+"' at 'scopes.1.member.scopeName'", "have length less than or equal to 256"))},
		{"scope with a slash", nil, "CreateResourceServer", server + `,"Scopes":[{"ScopeName":"ok","ScopeDescription":"d"},{"ScopeName":"a/b","ScopeDescription":"d"}]}`, invalid, violation(failed("'a/b' at 'scopes.2.member.scopeName'", scopeName))},
		{"scope without description", nil, "CreateResourceServer", server + `,"Scopes":[{"ScopeName":"a"}]}`, invalid, violation(notNull("scopes.1.member.scopeDescription"))},
		{"scope without name", nil, "UpdateResourceServer", server + `,"Scopes":[{"ScopeDescription":"a"}]}`, invalid, violation(notNull("scopes.1.member.scopeName"))},
		{"empty description", nil, "CreateResourceServer", server + `,"Scopes":[{"ScopeName":"a","ScopeDescription":""}]}`, invalid, violation(failed("'' at 'scopes.1.member.scopeDescription'", least1))},
		{"long description", nil, "CreateResourceServer", server + `,"Scopes":[{"ScopeName":"a","ScopeDescription":"` + long + `"}]}`, invalid, violation(failed("'"+long+"' at 'scopes.1.member.scopeDescription'", "have length less than or equal to 256"))},
		{"101 scopes", nil, "CreateResourceServer", server + `,"Scopes":[` + manyJSON(101, `{"ScopeName":"s%d","ScopeDescription":"d"}`) + `]}`, invalid, violation(failed("at 'scopes'", "have length less than or equal to 100"))},
		{"scopes are a text", nil, "CreateResourceServer", server + `,"Scopes":"a"}`, serialization, "STRING_VALUE can not be converted to a List"},
		{"scopes are texts", nil, "CreateResourceServer", server + `,"Scopes":["a"]}`, serialization, "STRING_VALUE can not be converted to a Structure"},
		{"scopes are null", nil, "CreateResourceServer", server + `,"Scopes":[null]}`, serialization, "NULL_VALUE can not be converted to a Structure"},

		{"no client name", nil, "CreateUserPoolClient", `{` + inPool + `}`, invalid, violation(notNull("clientName"))},
		{"client name", nil, "CreateUserPoolClient", `{` + inPool + `,"ClientName":"#"}`, invalid, violation(failed("'#' at 'clientName'", name))},
		{"long client name", nil, "UpdateUserPoolClient", `{` + inClient + `,"ClientName":"` + long[:129] + `"}`, invalid, violation(failed("'"+long[:129]+"' at 'clientName'", "have length less than or equal to 128"))},
		{"short secret", nil, "CreateUserPoolClient", client + `,"ClientSecret":"hush-hush"}`, invalid, violation(failed("at 'clientSecret'", `satisfy regular expression pattern: [\w+]+`), failed("at 'clientSecret'", "have length greater than or equal to 24"))},
		{"long secret", nil, "AddUserPoolClientSecret", `{` + inClient + `,"ClientSecret":"` + strings.Repeat("hush", 17) + `"}`, invalid, violation(failed("at 'clientSecret'", "have length less than or equal to 64"))},
		{"secret is a list", nil, "AddUserPoolClientSecret", `{` + inClient + `,"ClientSecret":["hush"]}`, serialization, "Start of list found where not expected"},
		{"GenerateSecret is a text", nil, "CreateUserPoolClient", client + `,"GenerateSecret":"true"}`, serialization, "STRING_VALUE can not be converted to a Boolean"},
		{"flow", nil, "CreateUserPoolClient", client + `,"AllowedOAuthFlows":["token"]}`, invalid, violation(failed("'[token]' at 'allowedOAuthFlows'", "satisfy constraint: [Member must satisfy enum value set: [implicit, client_credentials, code]]"))},
		{"four flows", nil, "CreateUserPoolClient", client + `,"AllowedOAuthFlows":["code","code","code","code"]}`, invalid, violation(failed("'[code, code, code, code]' at 'allowedOAuthFlows'", "have length less than or equal to 3"))},
		{"flows are a text", nil, "CreateUserPoolClient", client + `,"AllowedOAuthFlows":"code"}`, serialization, "STRING_VALUE can not be converted to a List"},
		{"flows are numbers", nil, "CreateUserPoolClient", client + `,"AllowedOAuthFlows":[1]}`, serialization, "NUMBER_VALUE can not be converted to a String"},
		{"auth flow", nil, "UpdateUserPoolClient", `{` + inClient + `,"ExplicitAuthFlows":["X"]}`, invalid, violation(failed("'[X]' at 'explicitAuthFlows'", "satisfy constraint: [Member must satisfy enum value set: [ADMIN_NO_SRP_AUTH, CUSTOM_AUTH_FLOW_ONLY, USER_PASSWORD_AUTH, ALLOW_ADMIN_USER_PASSWORD_AUTH, ALLOW_CUSTOM_AUTH, ALLOW_USER_PASSWORD_AUTH, ALLOW_USER_SRP_AUTH, ALLOW_REFRESH_TOKEN_AUTH, ALLOW_USER_AUTH, ALLOW_CLIENT_TOKEN_AUTH]]"))},
		{"scope with a space", nil, "CreateUserPoolClient", client + `,"AllowedOAuthScopes":["demo/read.file demo/write.file"]}`, invalid, violation(failed("'[demo/read.file demo/write.file]' at 'allowedOAuthScopes'", anyScope))},
		{"empty scope", nil, "CreateUserPoolClient", client + `,"AllowedOAuthScopes":[""]}`, invalid, violation(failed("'[]' at 'allowedOAuthScopes'", anyScope))},
		{"51 scopes", nil, "UpdateUserPoolClient", `{` + inClient + `,"AllowedOAuthScopes":[` + manyJSON(51, `"s%d"`) + `]}`, invalid, violation(failed("'["+strings.ReplaceAll(manyJSON(51, `s%d`), ",", ", ")+"]' at 'allowedOAuthScopes'", "have length less than or equal to 50"))},
		{"validity 0", nil, "CreateUserPoolClient", client + `,"AccessTokenValidity":0}`, invalid, violation(failed("'0' at 'accessTokenValidity'", "have value greater than or equal to 1"))},
		{"validity 86401", nil, "CreateUserPoolClient", client + `,"AccessTokenValidity":86401}`, invalid, violation(failed("'86401' at 'accessTokenValidity'", "have value less than or equal to 86400"))},
		{"unit", nil, "CreateUserPoolClient", client + `,"TokenValidityUnits":{"AccessToken":"weeks"}}`, invalid, violation(failed("'weeks' at 'tokenValidityUnits.accessToken'", units))},
		{"unit of ID tokens", nil, "CreateUserPoolClient", client + `,"TokenValidityUnits":{"IdToken":"x"}}`, invalid, violation(failed("'x' at 'tokenValidityUnits.idToken'", units))},
		{"unit of refresh tokens", nil, "CreateUserPoolClient", client + `,"TokenValidityUnits":{"RefreshToken":"x"}}`, invalid, violation(failed("'x' at 'tokenValidityUnits.refreshToken'", units))},
		{"session validity", nil, "CreateUserPoolClient", client + `,"AuthSessionValidity":2}`, invalid, violation(failed("'2' at 'authSessionValidity'", "have value greater than or equal to 3"))},
		{"revocation is a text", nil, "CreateUserPoolClient", client + `,"EnableTokenRevocation":"x"}`, serialization, "STRING_VALUE can not be converted to a Boolean"},
		{"existence errors", nil, "CreateUserPoolClient", client + `,"PreventUserExistenceErrors":"x"}`, invalid, violation(failed("'x' at 'preventUserExistenceErrors'", "satisfy enum value set: [LEGACY, ENABLED]"))},
		{"client id is a secret by mistake", nil, "DescribeUserPoolClient", `{` + inPool + `,"ClientId":"hush-hush"}`, invalid, violation(failed("at 'clientId'", `satisfy regular expression pattern: [\w+]+`))},
		{"empty client id", nil, "DescribeUserPoolClient", `{` + inPool + `,"ClientId":""}`, invalid, violation(failed("at 'clientId'", `satisfy regular expression pattern: [\w+]+`), failed("at 'clientId'", least1))},
		{"long client id", nil, "DescribeUserPoolClient", `{` + inPool + `,"ClientId":"` + long[:129] + `"}`, invalid, violation(failed("at 'clientId'", "have length less than or equal to 128"))},
		{"empty secret id", nil, "DeleteUserPoolClientSecret", `{` + inClient + `,"ClientSecretId":""}`, invalid, violation(failed("'' at 'clientSecretId'", least1))},
		{"refresh token of more than ten years", nil, "CreateUserPoolClient", client + `,"RefreshTokenValidity":315360001}`, invalid, violation(failed("'315360001' at 'refreshTokenValidity'", "have value less than or equal to 315360000"))},
		{"session validity 16", nil, "CreateUserPoolClient", client + `,"AuthSessionValidity":16}`, invalid, violation(failed("'16' at 'authSessionValidity'", "have value less than or equal to 15"))},
		{"no client id", nil, "DeleteUserPoolClient", `{` + inPool + `}`, invalid, violation(notNull("clientId"))},
		{"no secret id", nil, "DeleteUserPoolClientSecret", `{` + inClient + `}`, invalid, violation(notNull("clientSecretId"))},
		{"long secret id", nil, "DeleteUserPoolClientSecret", `{` + inClient + `,"ClientSecretId":"` + long[:129] + `"}`, invalid, violation(failed("'"+long[:129]+"' at 'clientSecretId'", "have length less than or equal to 128"))},

		{"no credentials", nil, "GetClientToken", `{}`, invalid, violation(notNull("clientId"), notNull("secret"))},
		{"empty secret", nil, "GetClientToken", `{"ClientId":"direct","Secret":""}`, invalid, violation(failed("at 'secret'", least1))},
		{"long credentials", nil, "GetClientToken", `{"ClientId":"direct","Secret":"` + strings.Repeat("hush", 17) + `"}`, invalid, violation(failed("at 'secret'", "have length less than or equal to 64"))},
		{"scopes of a token are a text", nil, "GetClientToken", `{"ClientId":"direct","Secret":"` + testSecret + `","Scopes":"demo/read.file"}`, serialization, "STRING_VALUE can not be converted to a List"},
		{"a list of scopes as one", nil, "GetClientToken", `{"ClientId":"direct","Secret":"` + testSecret + `","Scopes":["a b"]}`, invalid, violation(failed("'[a b]' at 'scopes'", anyScope))},
		{"metadata is a list", nil, "GetClientToken", `{"ClientId":"direct","Secret":"` + testSecret + `","ClientMetadata":[]}`, serialization, "Start of list found where not expected"},
		{"metadata is no text", nil, "GetClientToken", `{"ClientId":"direct","Secret":"` + testSecret + `","ClientMetadata":{"a":1}}`, serialization, "NUMBER_VALUE can not be converted to a String"},
	} {
		t.Run(r.operation+" "+r.name, func(t *testing.T) {
			t.Parallel()
			r.check(t)
		})
	}
}

// manyJSON repeats a format with a number, with commas between.
func manyJSON(n int, format string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(items, ",")
}

// TestAPIRefusals has every refusal that looks at several members or at the model.
func TestAPIRefusals(t *testing.T) {
	t.Parallel()
	const (
		client  = `{` + inPool + `,"ClientName":"c"`
		machine = client + `,"GenerateSecret":true,"AllowedOAuthFlowsUserPoolClient":true,"AllowedOAuthFlows":["client_credentials"]`
		secret2 = `"ClientSecret":"aaaaaaaaaaaa+bbbbbbbbbbbb"`
		custom  = `"CustomDomainConfig":{"CertificateArn":"arn:aws:acm:us-east-1:123456789012:certificate/1"}`
		noPool  = "User pool eu-central-1_Other does not exist."
	)
	freeDomain := []step{{"DeleteUserPoolDomain", `{` + inPool + `,"Domain":"my-prefix"}`}}
	rows := []apiRefusal{
		{"protected", []step{{"UpdateUserPool", `{` + inPool + `,"DeletionProtection":"ACTIVE"}`}}, "DeleteUserPool", `{` + inPool + `}`, invalid, "The user pool cannot be deleted because deletion protection is activated. Deletion protection must be inactivated first."},
		{"domain", nil, "DeleteUserPool", `{` + inPool + `}`, invalid, "User pool cannot be deleted. It has a domain configured that should be deleted first."},
		{"token of another list", nil, "ListUserPools", `{"MaxResults":1,"NextToken":"eA"}`, invalid, "Invalid pagination token."},
		{"token that is no base64", nil, "ListUserPools", `{"MaxResults":1,"NextToken":"!"}`, invalid, "Invalid pagination token."},

		{"reserved word", freeDomain, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"my-amazon-x"}`, invalid, "Domain cannot contain reserved word: amazon"},
		{"capital letter", freeDomain, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"My"}`, invalid, `The domain name contains an invalid character. Domain names can only contain lower-case letters, numbers, and hyphens. Please enter a different name that follows this format: ^[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?$`},
		{"custom domain without certificate", freeDomain, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"auth.example.com"}`, invalid, `The domain name contains an invalid character. Domain names can only contain lower-case letters, numbers, and hyphens. Please enter a different name that follows this format: ^[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?$`},
		{"prefix with certificate", freeDomain, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"prefix",` + custom + `}`, invalid, "Custom domain is not a valid subdomain: prefix"},
		{"custom domain that is another pool's host", nil, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"second.auth.eu-central-1.amazoncognito.com",` + custom + `}`, invalid, "Custom domain is not a valid subdomain: second.auth.eu-central-1.amazoncognito.com"},
		{"custom domain that is the API's host", nil, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"cognito-idp.eu-central-1.amazonaws.com",` + custom + `}`, invalid, "Custom domain is not a valid subdomain: cognito-idp.eu-central-1.amazonaws.com"},
		{"custom domain that is the API's other host", nil, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"cognito-idp.eu-central-1.api.aws",` + custom + `}`, invalid, "Custom domain is not a valid subdomain: cognito-idp.eu-central-1.api.aws"},
		{"certificate of another region", nil, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"auth.example.com","CustomDomainConfig":{"CertificateArn":"arn:aws:acm:eu-west-1:123456789012:certificate/1"}}`, invalid, "The certificate of a custom domain must be one of AWS Certificate Manager in us-east-1."},
		{"domain that is taken", []step{{"DeleteUserPoolDomain", `{` + inPool + `,"Domain":"my-prefix"}`}, {"CreateUserPoolDomain", `{"UserPoolId":"eu-central-1_Second","Domain":"my-prefix"}`}}, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"my-prefix"}`, invalid, "Domain already associated with another user pool."},
		{"second prefix", nil, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"second"}`, invalid, "User pool already has a domain configured."},
		{"second custom domain", []step{{"CreateUserPoolDomain", `{` + inPool + `,"Domain":"auth.example.com",` + custom + `}`}}, "CreateUserPoolDomain", `{` + inPool + `,"Domain":"auth2.example.com",` + custom + `}`, invalid, "User pool already has a domain configured."},
		{"no such domain", nil, "DeleteUserPoolDomain", `{` + inPool + `,"Domain":"nobody"}`, invalid, "No such domain or user pool exists."},
		{"domain of another pool", []step{{"CreateUserPoolDomain", `{"UserPoolId":"eu-central-1_Second","Domain":"second"}`}}, "DeleteUserPoolDomain", `{` + inPool + `,"Domain":"second"}`, invalid, "No such domain or user pool exists."},

		{"identifier that is taken", nil, "CreateResourceServer", `{` + inPool + `,"Identifier":"demo","Name":"x"}`, invalid, "demo already exists in user pool eu-central-1_Ab3dEf9hI."},
		{"scope twice", nil, "CreateResourceServer", `{` + inPool + `,"Identifier":"x","Name":"x","Scopes":[{"ScopeName":"a","ScopeDescription":"d"},{"ScopeName":"a","ScopeDescription":"d"}]}`, invalid, "Scope a is there twice."},
		{"no such server", nil, "DescribeResourceServer", `{` + inPool + `,"Identifier":"x"}`, missing, "Resource server x does not exist."},
		{"no such server", nil, "UpdateResourceServer", `{` + inPool + `,"Identifier":"x","Name":"x"}`, missing, "Resource server x does not exist."},
		{"no such server", nil, "DeleteResourceServer", `{` + inPool + `,"Identifier":"x"}`, missing, "Resource server x does not exist."},

		{"two secrets at once", nil, "CreateUserPoolClient", client + `,"GenerateSecret":true,` + secret2 + `}`, invalid, "ClientSecret cannot be given if GenerateSecret is true."},
		{"client_credentials without secret", nil, "CreateUserPoolClient", client + `,"AllowedOAuthFlows":["client_credentials"]}`, flow, "client_credentials flow can not be selected if client does not have a client secret."},
		{"client_credentials without secret", nil, "UpdateUserPoolClient", `{` + inPool + `,"ClientId":"public","AllowedOAuthFlows":["client_credentials"]}`, flow, "client_credentials flow can not be selected if client does not have a client secret."},
		{"client_credentials and code", nil, "CreateUserPoolClient", client + `,"GenerateSecret":true,"AllowedOAuthFlows":["code","client_credentials"]}`, flow, "client_credentials flow can not be selected along with code flow or implicit flow."},
		{"OAuth without scopes", nil, "CreateUserPoolClient", machine + `}`, invalid, "AllowedOAuthFlows and AllowedOAuthScopes are required if user pool client is allowed to use OAuth flows."},
		{"OAuth without flows", nil, "UpdateUserPoolClient", `{` + inClient + `,"AllowedOAuthFlowsUserPoolClient":true,"AllowedOAuthScopes":["demo/read.file"]}`, invalid, "AllowedOAuthFlows and AllowedOAuthScopes are required if user pool client is allowed to use OAuth flows."},
		{"scope that does not exist", nil, "CreateUserPoolClient", machine + `,"AllowedOAuthScopes":["demo/read.file","demo/admin"]}`, "ScopeDoesNotExistException", "Invalid scope requested: demo/admin"},
		{"scope that is gone", []step{{"UpdateResourceServer", `{` + inPool + `,"Identifier":"demo","Name":"x"}`}}, "UpdateUserPoolClient", `{` + inClient + `,"AllowedOAuthScopes":["demo/read.file"]}`, "ScopeDoesNotExistException", "Invalid scope requested: demo/read.file"},
		{"scope without a server", nil, "CreateUserPoolClient", machine + `,"AllowedOAuthScopes":["read.file"]}`, "ScopeDoesNotExistException", "Invalid scope requested: read.file"},
		{"standard scope", nil, "CreateUserPoolClient", machine + `,"AllowedOAuthScopes":["demo/read.file","openid"]}`, flow, "openid is not supported with client_credentials flow"},
		{"GetClientToken and users", nil, "CreateUserPoolClient", client + `,"GenerateSecret":true,"ExplicitAuthFlows":["ALLOW_CLIENT_TOKEN_AUTH","ALLOW_REFRESH_TOKEN_AUTH"]}`, invalid, "ALLOW_CLIENT_TOKEN_AUTH must be the only authentication flow of an app client."},
		{"GetClientToken without secret", nil, "CreateUserPoolClient", client + `,"ExplicitAuthFlows":["ALLOW_CLIENT_TOKEN_AUTH"]}`, invalid, "ALLOW_CLIENT_TOKEN_AUTH can not be selected if client does not have a client secret."},
		{"old and new flows", nil, "UpdateUserPoolClient", `{` + inClient + `,"ExplicitAuthFlows":["ALLOW_USER_AUTH","USER_PASSWORD_AUTH"]}`, invalid, "Legacy authentication flows can not be selected along with those that begin with ALLOW_."},
		{"299 seconds", nil, "CreateUserPoolClient", client + `,"AccessTokenValidity":299,"TokenValidityUnits":{"AccessToken":"seconds"}}`, invalid, "Invalid range for token validity."},
		{"25 hours", nil, "CreateUserPoolClient", client + `,"AccessTokenValidity":25}`, invalid, "Invalid range for token validity."},
		{"2 days", nil, "UpdateUserPoolClient", `{` + inClient + `,"AccessTokenValidity":2,"TokenValidityUnits":{"AccessToken":"days"}}`, invalid, "Invalid range for token validity."},
		{"ID token of 4 minutes", nil, "CreateUserPoolClient", client + `,"IdTokenValidity":4,"TokenValidityUnits":{"IdToken":"minutes"}}`, invalid, "Invalid range for token validity."},
		{"refresh token of 59 minutes", nil, "CreateUserPoolClient", client + `,"RefreshTokenValidity":59,"TokenValidityUnits":{"RefreshToken":"minutes"}}`, invalid, "Invalid range for token validity."},
		{"refresh token of 3651 days", nil, "CreateUserPoolClient", client + `,"RefreshTokenValidity":3651}`, invalid, "Invalid range for token validity."},

		{"public client", nil, "AddUserPoolClientSecret", `{` + inPool + `,"ClientId":"public"}`, invalid, "The app client does not have a client secret."},
		{"third secret", []step{{"AddUserPoolClientSecret", `{` + inClient + `}`}}, "AddUserPoolClientSecret", `{` + inClient + `}`, limit, "An app client has at most 2 active secrets."},
		{"the same secret", nil, "AddUserPoolClientSecret", `{` + inClient + `,"ClientSecret":"` + testSecret + `"}`, invalid, "The app client has this secret already."},
		{"last secret", nil, "DeleteUserPoolClientSecret", `{` + inClient + `,"ClientSecretId":"` + testID + `--1795348800000"}`, invalid, "The last client secret cannot be deleted."},
		{"no such secret", nil, "DeleteUserPoolClientSecret", `{` + inClient + `,"ClientSecretId":"x"}`, missing, "Client secret x does not exist."},

		{"wrong secret", nil, "GetClientToken", `{"ClientId":"direct","Secret":"hush"}`, "NotAuthorizedException", "Client authentication failed."},
		{"unknown client", nil, "GetClientToken", `{"ClientId":"nobody","Secret":"` + testSecret + `"}`, "NotAuthorizedException", "Client authentication failed."},
		{"public client", nil, "GetClientToken", `{"ClientId":"public","Secret":"hush"}`, "NotAuthorizedException", "Client authentication failed."},
		{"client without the flow", nil, "GetClientToken", `{"ClientId":"` + testID + `","Secret":"` + testSecret + `"}`, "NotAuthorizedException", "Client authentication failed."},
		{"flow that was taken away", []step{{"UpdateUserPoolClient", `{` + inPool + `,"ClientId":"direct"}`}}, "GetClientToken", `{"ClientId":"direct","Secret":"` + testSecret + `"}`, "NotAuthorizedException", "Client authentication failed."},
		{"no scope that the client has", nil, "GetClientToken", `{"ClientId":"direct","Secret":"` + testSecret + `","Scopes":["demo/admin","openid"]}`, invalid, "Invalid scope requested: demo/admin openid"},
		{"no scope left", []step{{"DeleteResourceServer", `{` + inPool + `,"Identifier":"demo"}`}}, "GetClientToken", `{"ClientId":"direct","Secret":"` + testSecret + `"}`, invalid, "The app client has no scope."},
	}
	// Every operation on a pool that is not there, and on a client.
	const all = `,"ClientId":"nobody","ClientName":"c","Domain":"x","Identifier":"x","Name":"x","ClientSecretId":"x"}`
	for operation := range operations {
		switch operation {
		case "CreateUserPool", "ListUserPools", "DescribeUserPoolDomain", getClientTokenOperation:
			continue
		}
		rows = append(rows, apiRefusal{"no such pool", nil, operation, `{` + inOther + all, missing, noPool})
		if strings.Contains(operation, "ClientSecret") || strings.HasSuffix(operation, "PoolClient") && operation != "CreateUserPoolClient" {
			rows = append(rows, apiRefusal{"no such client", nil, operation, `{` + inPool + all, missing, "User pool client nobody does not exist."})
		}
	}
	second := WithPool(Pool{Name: "second", ID: "eu-central-1_Second", Domain: "to-be-deleted"})
	for _, r := range rows {
		r.before = append([]step{{"DeleteUserPoolDomain", `{"UserPoolId":"eu-central-1_Second","Domain":"to-be-deleted"}`}}, r.before...)
		t.Run(r.operation+" "+r.name, func(t *testing.T) {
			t.Parallel()
			r.check(t, second)
		})
	}
}

// TestAPIQuotas fills a server up to the last place of each kind.
func TestAPIQuotas(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(Pool{ID: testPoolID, Name: "full", Domain: "x"}), WithoutListener(), fixedClock())
	const certificate = `"CustomDomainConfig":{"CertificateArn":"arn:aws:acm:us-east-1:123456789012:certificate/1"}`
	pools := []string{testPoolID}
	for range maxPools - 1 {
		pools = append(pools, textAt(t, mustCall(t, s, "CreateUserPool", `{"PoolName":"full"}`), "UserPool", "Id"))
	}
	for i := range maxClients {
		mustCall(t, s, "CreateUserPoolClient", fmt.Sprintf(`{`+inPool+`,"ClientName":"c%d"}`, i))
	}
	for i := range maxResourceServers {
		mustCall(t, s, "CreateResourceServer", fmt.Sprintf(`{`+inPool+`,"Identifier":"s%d","Name":"x"}`, i))
	}
	for i, id := range pools[:maxCustomDomains] {
		mustCall(t, s, "CreateUserPoolDomain", fmt.Sprintf(`{"UserPoolId":%q,"Domain":"auth%d.example.com",`+certificate+`}`, id, i))
	}
	for _, r := range []struct{ operation, body, message string }{
		{"CreateUserPool", `{"PoolName":"x"}`, "An account has at most 1000 user pools."},
		{"CreateUserPoolClient", `{` + inPool + `,"ClientName":"x"}`, "A user pool has at most 1000 app clients."},
		{"CreateResourceServer", `{` + inPool + `,"Identifier":"x","Name":"x"}`, "A user pool has at most 25 resource servers."},
		{"CreateUserPoolDomain", fmt.Sprintf(`{"UserPoolId":%q,"Domain":"auth.example.com",`+certificate+`}`, pools[maxCustomDomains]), "An account has at most 4 custom domains."},
	} {
		resp, body := callAPI(t, s, r.operation, r.body)
		if want := string(rawJSON(apiError{limit, r.message})); resp.StatusCode != http.StatusBadRequest || body != want {
			t.Errorf("%s: got %d %s, want 400 %s", r.operation, resp.StatusCode, body, want)
		}
	}
}
