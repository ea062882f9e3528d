// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// getClientToken is the operation that is called where there is no domain (API
// reference, GetClientToken). It speaks AWS JSON 1.1 and evaluates no signature: the
// secret is in the body.
const (
	getClientToken = "AWSCognitoIdentityProviderService.GetClientToken"
	awsJSON        = "application/x-amz-json-1.1"
)

// UserPoolAPI returns the Cognito user pools API of a region (AWS General Reference,
// "Amazon Cognito Identity endpoints and quotas"), for [Config]. FIPS, dual-stack and
// China endpoints have another form: write them out.
//
// A region that is empty or has other characters than a-z, 0-9 and "-" gives "", which
// is an error where an API is needed.
func UserPoolAPI(region string) string {
	if !dnsName(region) {
		return ""
	}
	return "https://cognito-idp." + region + ".amazonaws.com"
}

// newAPIEndpoint checks Config.UserPoolAPI. It is a host and nothing more.
func newAPIEndpoint(raw string) (endpoint, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		// The error of url.Parse quotes the URL, which may hold a password here.
		return endpoint{}, apiEndpointError("it cannot be parsed")
	case u.User != nil:
		return endpoint{}, apiEndpointError("it holds a user name or password; the secret belongs in Config.Secret")
	case strings.HasSuffix(strings.ToLower(u.Hostname()), ".amazoncognito.com"):
		return endpoint{}, apiEndpointError("it is the domain of a user pool, whose token endpoint belongs in Config.TokenURL")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "":
		return endpoint{}, apiEndpointError("it has more than a host")
	}
	target, err := newEndpoint(u.Scheme + "://" + u.Host + "/")
	if err != nil {
		return endpoint{}, apiEndpointError("its host is malformed, or it is not https (http is taken for loopback hosts only)")
	}
	return target, nil
}

func apiEndpointError(why string) error {
	return usageErrorf("clientauth: Config.UserPoolAPI must be like https://cognito-idp.REGION.amazonaws.com: %s", why)
}

// isUserPoolAPI reports whether a token URL is the API of a region by mistake.
func isUserPoolAPI(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return strings.HasPrefix(host, "cognito-idp") && (strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".api.aws"))
}

// clientTokenRequest is the input of GetClientToken.
type clientTokenRequest struct {
	ClientID string   `json:"ClientId"`         //nolint:tagliatelle // the API's name
	Secret   string   `json:"Secret"`           //nolint:tagliatelle // the API's name
	Scopes   []string `json:"Scopes,omitempty"` //nolint:tagliatelle // the API's name
}

func (x *exchange) clientTokenRequest(ctx context.Context, secret string, scopes []string) (*http.Request, error) {
	body, err := json.Marshal(clientTokenRequest{ClientID: x.clientID, Secret: secret, Scopes: scopes}) //nolint:gosec // the secret goes to the API, over TLS
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.endpoint.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// Nothing may replay the body.
	req.GetBody = nil
	req.Header.Set("Content-Type", awsJSON)
	req.Header.Set("X-Amz-Target", getClientToken)
	req.Header.Set("User-Agent", "scopeauth")
	return req, nil
}

// tokenBody returns a successful answer in the form of RFC 6749, section 5.1.
func (x *exchange) tokenBody(body []byte) []byte {
	if !x.api {
		return body
	}
	members, err := object(body)
	if err != nil {
		return nil
	}
	result, err := object(members["ClientAuthenticationResult"])
	if err != nil {
		return nil
	}
	grant := map[string]json.RawMessage{}
	for oauth, member := range map[string]string{"access_token": "AccessToken", "expires_in": "ExpiresIn", "token_type": "TokenType"} {
		if value, ok := result[member]; ok {
			grant[oauth] = value
		}
	}
	body, err = json.Marshal(grant)
	if err != nil {
		return nil
	}
	return body
}

// isJSON reports whether an answer's media type is the one of the protocol.
func (x *exchange) isJSON(mediaType string) bool {
	return mediaType == "application/json" || x.api && mediaType == awsJSON
}

// apiErrorType returns the type of an error of the API, such as
// "NotAuthorizedException", or "" (Smithy documentation, "AWS JSON 1.1 protocol",
// "Operation error serialization"). Only what looks like one is one: the text goes into
// errors and logs.
func apiErrorType(header http.Header, body []byte, isJSON bool) string {
	name := header.Get("X-Amzn-Errortype")
	if members, err := object(body); name == "" && isJSON && err == nil {
		if json.Unmarshal(members["__type"], &name) != nil {
			return ""
		}
	}
	name, _, _ = strings.Cut(name, ":")
	name = name[strings.LastIndexByte(name, '#')+1:]
	if len(name) > 60 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return ""
	}
	return name
}

// apiFailure says what an error type means that came with a status from 400 to 499. The
// API throttles with status 400, under names of which the AWS SDK for Go has a list
// (aws/retry, DefaultThrottleErrorCodes). What is not known is the client's fault, as in
// the status.
func apiFailure(errorType string) Reason {
	switch errorType {
	case "TooManyRequestsException", "ThrottlingException", "Throttling", "ThrottledException", "RequestThrottled", "RequestThrottledException", "RequestLimitExceeded", "LimitExceededException":
		return ReasonThrottled
	case "ForbiddenException", // of a web ACL, as a firewall's page is
		"InternalErrorException", "InternalServerException", "InternalFailure", "ServiceUnavailable", "ServiceUnavailableException",
		"RequestTimeout", "RequestTimeoutException", "UnexpectedLambdaException":
		return ReasonHTTPStatus
	default:
		return ReasonRefused
	}
}

func hintAPI(errorType string, scopes []string) string {
	switch errorType {
	case "NotAuthorizedException":
		return "check the client id, the secret, and that ExplicitAuthFlows of the app client has ALLOW_CLIENT_TOKEN_AUTH and nothing else"
	case "ResourceNotFoundException":
		return "check the client id, and that the API is the one of this client's region"
	case "InvalidParameterException":
		if len(scopes) == 0 {
			return "the app client needs a secret and a scope of a resource server"
		}
		return "each scope must belong to a resource server of the user pool: " + printable(strings.Join(scopes, " "), 1000)
	case "UnknownOperationException":
		return "the API at this address has no GetClientToken; it must be like https://cognito-idp.REGION.amazonaws.com"
	case "ForbiddenException":
		return "a web ACL of AWS WAF stands before the user pool"
	}
	if apiFailure(errorType) == ReasonThrottled {
		return hintThrottled
	}
	return ""
}
