// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// callConfig is what a connection's options say about its calls.
type callConfig struct {
	existing     ExistingAuthorization
	retryStreams []string
}

// ExistingAuthorization says what happens to a call that has a value under the
// connection's metadata key already, or call credentials of its own
// (grpc.PerRPCCredentials). gRPC adds values and never replaces them, and a server
// refuses a call with two.
//
// What a connection has by grpc.WithPerRPCCredentials beside the interceptors cannot
// be seen: the server gets both values and refuses the call with UNAUTHENTICATED and
// the reason AUTHORIZATION_DUPLICATED. Give such credentials another key or leave
// them out.
type ExistingAuthorization int

const (
	// ExistingRespect leaves the call alone: it goes out with its own value and
	// without the connection's token, which is not even fetched. It is the default.
	ExistingRespect ExistingAuthorization = iota
	// ExistingReplace removes the values from the call's metadata and sends the
	// connection's token, also in place of the call's own credentials. A call of a
	// public method goes out without a value in its metadata; credentials of its own
	// stay. It is for services that forward the
	// metadata of incoming calls as it is. What an interceptor adds inside of this
	// package's cannot be removed and fails the call as [ExistingFail] does.
	ExistingReplace
	// ExistingFail fails the call with INTERNAL and [ReasonExisting] before anything
	// is sent, also that of a public method.
	ExistingFail
)

// WithExistingAuthorization sets what a connection does with calls that have a value
// under the metadata key already. The default is [ExistingRespect]. [ExistingReplace]
// needs the interceptors: credentials alone cannot take a value away.
func WithExistingAuthorization(existing ExistingAuthorization) Option {
	return option("WithExistingAuthorization", forConnection, func(cfg *config) error {
		if existing < ExistingRespect || existing > ExistingFail {
			return usageErrorf("unknown choice %d", existing)
		}
		cfg.calls.existing = existing
		return nil
	})
}

// refuseExisting is the error for a value that must not be there, or nil.
func (c *carrier) refuseExisting() error {
	if c.existing == ExistingRespect {
		return nil
	}
	return &Error{
		reason: ReasonExisting, code: codes.Internal,
		text: "the call was not sent: it has a value under " + c.key + " or call credentials already",
		hint: "leave " + c.key + " out of the metadata that is forwarded, or choose another ExistingAuthorization",
	}
}

// RetryStreams lets gRPC open the named client-streaming and bidirectional streams
// once more when the server answers UNAUTHENTICATED before it has sent headers or a
// message. gRPC replays what was sent, up to 256 KiB (grpc.MaxRetryRPCBufferSize); the
// second attempt asks the source for another token, waits for it 1 s at most and half
// of the call's time, and goes out with the old one if there is none. Without this
// option a refused stream fails, and the next call gets another token.
//
// gRPC decides by the code alone: name methods whose handlers do nothing lasting
// before they return UNAUTHENTICATED. An attempt that gRPC repeats for another cause,
// such as a connection that ended before the stream reached the server, asks for
// another token too; the limit of one such fetch in 60 s holds.
//
// [DialOptions] makes it work by grpc.WithDefaultServiceConfig, of which a connection
// has one: the last. A resolver's or an xDS server's service config takes its place, and
// the interceptors alone have none. Then, and beside a service config of the program's
// own, that must have for these methods
//
//	"retryPolicy": {"maxAttempts": 2, "initialBackoff": "0.01s", "maxBackoff": "0.01s",
//	  "backoffMultiplier": 1, "retryableStatusCodes": ["UNAUTHENTICATED"]}
//
// and grpc.WithDisableRetry must not be set. A method that is in no descriptor that
// the policy has read, or that is no client stream, is an error: unary calls and
// server streams are repeated without this option.
func RetryStreams(fullMethods ...string) Option {
	fullMethods = slices.Clone(fullMethods)
	return option("RetryStreams", forConnection, func(cfg *config) error {
		if len(fullMethods) == 0 {
			return usageError("it names no method")
		}
		cfg.calls.retryStreams = append(cfg.calls.retryStreams, fullMethods...)
		return nil
	})
}

// replayedStreams checks the methods of RetryStreams.
func replayedStreams(p *policy.Policy, methods []string) (map[string]bool, error) {
	var errs []error
	replayed := map[string]bool{}
	for _, method := range methods {
		_, known := p.Rule(method)
		switch {
		case !known:
			errs = append(errs, usageErrorf("clientauth: RetryStreams: %q is in no descriptor that the policy has read; it must be like /package.Service/Method", printable(method, 200)))
		case !clientStreams(method):
			errs = append(errs, usageErrorf("clientauth: RetryStreams: %s is no client stream: leave it out, its calls are repeated without the option", method))
		}
		replayed[method] = true
	}
	return replayed, errors.Join(errs...)
}

// clientStreams is false if the method's linked descriptor says that the client sends
// one message.
func clientStreams(method string) bool {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", "."))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return true
	}
	descriptor, ok := found.(protoreflect.MethodDescriptor)
	return ok && descriptor.IsStreamingClient()
}

// serviceConfig returns the service config that RetryStreams needs.
func serviceConfig(methods map[string]bool) (string, error) {
	type name struct {
		Service string `json:"service"`
		Method  string `json:"method"`
	}
	names := []name{}
	for method := range methods {
		service, short, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
		names = append(names, name{Service: service, Method: short})
	}
	text, err := json.Marshal(map[string]any{"methodConfig": []any{map[string]any{
		"name": names,
		"retryPolicy": map[string]any{
			"maxAttempts": 2, "initialBackoff": "0.01s", "maxBackoff": "0.01s", "backoffMultiplier": 1,
			"retryableStatusCodes": []string{"UNAUTHENTICATED"},
		},
	}}})
	return string(text), err
}
