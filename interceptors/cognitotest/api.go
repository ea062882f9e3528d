// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// APIEndpoint is the management API, all its operations together, for
// [Server.SetFault]. GetClientToken is one of them: a fault of [TokenEndpoint]
// does not reach it, as in an outage of a domain. Pools have no faults of it.
const APIEndpoint Endpoint = "api"

const (
	awsJSON      = "application/x-amz-json-1.1"
	targetHeader = "X-Amz-Target"
	targetPrefix = "AWSCognitoIdentityProviderService."

	// apiBodyLimit is above what the longest allowed resource server needs.
	apiBodyLimit = 256 << 10
)

// operations is the management API (Amazon Cognito user pools API reference).
// Each function reads and checks the input; what it returns does the work, and
// runs only if nothing was wrong with the input.
var operations = map[string]func(in *input) action{
	"CreateUserPool":   createUserPool,
	"DescribeUserPool": describeUserPool,
	"ListUserPools":    listUserPools,
	"UpdateUserPool":   updateUserPool,
	"DeleteUserPool":   deleteUserPool,

	"CreateUserPoolDomain":   createUserPoolDomain,
	"DescribeUserPoolDomain": describeUserPoolDomain,
	"DeleteUserPoolDomain":   deleteUserPoolDomain,

	"CreateResourceServer":   createResourceServer,
	"DescribeResourceServer": describeResourceServer,
	"ListResourceServers":    listResourceServers,
	"UpdateResourceServer":   updateResourceServer,
	"DeleteResourceServer":   deleteResourceServer,

	"CreateUserPoolClient":   createUserPoolClient,
	"DescribeUserPoolClient": describeUserPoolClient,
	"ListUserPoolClients":    listUserPoolClients,
	"UpdateUserPoolClient":   updateUserPoolClient,
	"DeleteUserPoolClient":   deleteUserPoolClient,

	"AddUserPoolClientSecret":    addUserPoolClientSecret,
	"ListUserPoolClientSecrets":  listUserPoolClientSecrets,
	"DeleteUserPoolClientSecret": deleteUserPoolClientSecret,

	getClientTokenOperation: getClientToken,
}

// action does the work of an operation. What it returns is the body of the
// answer; nil is an empty one.
type action func(a *apiCall) (any, error)

// apiCall is one request to the management API.
type apiCall struct {
	server  *Server
	request *http.Request
	region  string // of the host; empty on the server's own host, which has the pools of all regions
	token   clientTokenCall
}

// isAPI reports whether a request means the management API. Any signature will
// do, and none: the emulator has no accounts.
func (in *inbound) isAPI() bool {
	return in.method == http.MethodPost && in.path == "/" && len(in.header.Values(targetHeader)) > 0
}

// serveAPI answers a request of the management API (Smithy documentation, "AWS JSON 1.1 protocol").
func (s *Server) serveAPI(ctx context.Context, in *inbound, region string) (reply, error) {
	if reason := s.foreign(in.request); reason != "" { // before it uses up a fault
		return apiAnswer(nil, apiErrorf("ForbiddenException", "%s", reason), new(TokenRequest)), nil
	}
	operation, known := strings.CutPrefix(in.header.Get(targetHeader), targetPrefix)
	a := &apiCall{server: s, request: in.request.WithContext(ctx), region: region}
	a.token.entry.Time = s.clock()
	finish := func(status int) {
		if known && operation == getClientTokenOperation {
			a.token.finish(s, status)
		}
	}
	produce := func() reply {
		out, err := a.run(in, operation, known)
		r := apiAnswer(out, err, &a.token.entry)
		finish(r.status)
		return r
	}
	return s.faults.next(APIEndpoint).around(ctx, produce, func(status int) {
		a.token.entry.Fault = true
		finish(status)
	})
}

func (a *apiCall) run(in *inbound, operation string, known bool) (any, error) {
	if t, _, err := mime.ParseMediaType(in.header.Get("Content-Type")); err != nil || t != awsJSON {
		return nil, apiErrorf("UnknownOperationException", "Content-Type must be %s", awsJSON)
	}
	read := operations[operation]
	if !known || read == nil || len(in.header.Values(targetHeader)) > 1 {
		return nil, apiErrorf("UnknownOperationException", "this emulator has no such operation")
	}
	if in.tooLong {
		return nil, apiErrorf("RequestEntityTooLargeException", "at most %d bytes", apiBodyLimit)
	}
	input, err := parseInput(in.body)
	if err != nil {
		return nil, err
	}
	do := read(input)
	if err := input.found.err(); err != nil {
		return nil, err
	}
	return do(a)
}

// apiAnswer makes the reply, and tells the entry the type of an error.
func apiAnswer(out any, err error, entry *TokenRequest) reply {
	status := http.StatusOK
	if err != nil {
		problem := asAPIError(err)
		entry.Error = problem.Type
		out, status = problem, problem.status()
	}
	r := reply{status: status, header: http.Header{}, body: []byte{}}
	if out != nil {
		r = jsonReply(status, out)
	}
	r.chunked = false
	r.header.Set("Content-Type", awsJSON)
	r.header.Set("X-Amzn-Requestid", newUUID())
	if problem, ok := out.(apiError); ok {
		r.header.Set("X-Amzn-Errortype", problem.Type+":")
	}
	return r
}

// Error returns the type and the message.
func (e apiError) Error() string { return e.Type + ": " + e.Message }

func apiErrorf(kind, format string, args ...any) error {
	return apiError{Type: kind, Message: fmt.Sprintf(format, args...)}
}

func invalidParameter(format string, args ...any) error {
	return apiErrorf("InvalidParameterException", format, args...)
}

func notFound(format string, args ...any) error {
	return apiErrorf("ResourceNotFoundException", format, args...)
}

// asAPIError finds the type of an error. What the recorder says stays inside.
func asAPIError(err error) apiError {
	if e, ok := errors.AsType[apiError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*goneError](err); ok {
		return apiError{"ResourceNotFoundException", fmt.Sprintf(noSuchPool, e.id)}
	}
	if _, ok := errors.AsType[*recordError](err); ok {
		return apiError{"InternalErrorException", "Nothing was changed: the change could not be kept."}
	}
	return apiError{"InternalErrorException", "Something failed in the emulator."}
}

func (e apiError) status() int {
	switch e.Type {
	case "InternalErrorException":
		return http.StatusInternalServerError
	case "ForbiddenException":
		return http.StatusForbidden
	case "RequestEntityTooLargeException":
		return http.StatusRequestEntityTooLarge
	default:
		return http.StatusBadRequest
	}
}

const (
	noSuchPool   = "User pool %s does not exist."
	noSuchClient = "User pool client %s does not exist."
)

// pool finds a pool that the host of the request has.
func (a *apiCall) pool(id string) (*UserPool, error) {
	p, ok := a.server.store.pool(id)
	if !ok || !a.sees(p) {
		return nil, notFound(noSuchPool, id)
	}
	return p, nil
}

func (a *apiCall) sees(p *UserPool) bool { return a.region == "" || a.region == p.Region() }

func (a *apiCall) now() time.Time { return a.server.clock() }

// credentialScope is where a signature names the region (Signature Version 4).
var credentialScope = regexp.MustCompile(`Credential=[^/,]*/\d{8}/([a-z0-9-]+)/cognito-idp/aws4_request`)

// newRegion is where pools are created: the region of the host, or the one for
// which the request is signed, whatever the signature, or us-east-1.
func (a *apiCall) newRegion() string {
	if a.region != "" {
		return a.region
	}
	if m := credentialScope.FindStringSubmatch(a.request.Header.Get("Authorization")); m != nil && regionPattern.MatchString(m[1]) {
		return m[1]
	}
	return defaultRegion
}

// structure is an output structure. Its members come in alphabetical order.
type structure = map[string]any

// epoch is a time as AWS JSON has it: seconds, with a fraction.
type epoch time.Time

// MarshalJSON writes whole milliseconds.
func (e epoch) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Time(e).UnixMilli())/1000, 'f', -1, 64), nil
}

var _ json.Marshaler = epoch{}
