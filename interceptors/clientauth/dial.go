// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"crypto/tls"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// NewClient returns a connection to target whose calls carry a token with the
// selected scopes. It uses TLS with the system's root certificates, unless the dial
// options hold grpc.WithTransportCredentials; a token is not sent over plaintext.
//
// It is not for grpc.WithCredentialsBundle, which gRPC refuses beside transport
// credentials; nor for grpc.WithPerRPCCredentials under the same metadata key, since
// the call would carry two values; nor for a second [DialOptions]: each call would
// fail with [ReasonTwice]. In these cases, and to set options of this package, use
// [DialOptions] with grpc.NewClient.
//
// Errors in the selection come out here. NewClient makes no request.
func NewClient(target string, src TokenSource, scopes Selection, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	own, err := DialOptions(src, scopes)
	if err != nil {
		return nil, err
	}
	all := []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12}))}
	all = append(all, own...)
	return grpc.NewClient(target, append(all, opts...)...)
}

// DialOptions returns the interceptors for unary calls and for streams, which share
// the selection, and for [RetryStreams] a default service config. What comes later among
// the dial options is inside: an interceptor of the program's own that follows these
// runs twice if a call is repeated with another token, and sees both attempts; one that
// comes before runs once and sees the outcome.
//
// A selection that the policy does not bear out is an error.
func DialOptions(src TokenSource, scopes Selection, opts ...Option) ([]grpc.DialOption, error) {
	c, err := newCarrier(src, scopes, opts)
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(c.unary),
		grpc.WithChainStreamInterceptor(c.stream),
	}
	if len(c.replayed) > 0 {
		text, err := serviceConfig(c.replayed)
		if err != nil {
			return nil, err
		}
		options = append(options, grpc.WithDefaultServiceConfig(text))
	}
	return options, nil
}

// UnaryClientInterceptor returns an interceptor that gives unary calls a token. A
// call that the server refuses with the ErrorInfo reason TOKEN_INVALID,
// TOKEN_EXPIRED or TOKEN_REVOKED of the domain scopeauth.v1, and with the called
// method in its metadata "method", is repeated once if there is another token. Without
// the method it may be the refusal of a call that the server itself made. If there is
// no other token, or no time, the server's error stands.
//
// Where gRPC's own retry repeats a call and the server refuses it before its message is
// sent again, gRPC 1.85 returns io.EOF in place of the status. The caller gets the status
// all the same if it has details, and else UNKNOWN.
//
// The targets of grpc.Header, grpc.Trailer and grpc.Peer tell of the last attempt that
// was sent. A function of grpc.OnFinish runs once for each attempt, also for one that
// found no token, and gets its error.
func UnaryClientInterceptor(src TokenSource, scopes Selection, opts ...Option) (grpc.UnaryClientInterceptor, error) {
	c, err := newCarrier(src, scopes, opts)
	if err != nil {
		return nil, err
	}
	return c.unary, nil
}

// StreamClientInterceptor returns an interceptor that gives streams a token when
// they are opened; a live stream outlives its token.
//
// A server stream (the client sends one message) that the server refuses as
// [UnaryClientInterceptor] says is opened once more with another token, unless the
// caller has got a message of it or has called its Header or Context. What is
// said there of the options holds here too. Other streams whose token is refused are
// not repeated, for which see [RetryStreams]; the next call gets another token.
func StreamClientInterceptor(src TokenSource, scopes Selection, opts ...Option) (grpc.StreamClientInterceptor, error) {
	c, err := newCarrier(src, scopes, opts)
	if err != nil {
		return nil, err
	}
	return c.stream, nil
}

// PerRPCCredentials returns the credentials alone, for grpc.WithPerRPCCredentials or
// grpc.PerRPCCredentials, without the repetition of refused calls. Do not use them
// together with the interceptors: the call would carry two tokens. [RetryStreams] and
// [ExistingReplace] are errors here.
func PerRPCCredentials(src TokenSource, scopes Selection, opts ...Option) (credentials.PerRPCCredentials, error) {
	c, err := newCarrier(src, scopes, opts)
	if err != nil {
		return nil, err
	}
	if len(c.replayed) > 0 || c.existing == ExistingReplace {
		return nil, usageError("clientauth: PerRPCCredentials: RetryStreams and ExistingReplace need the interceptors: use DialOptions")
	}
	return c, nil
}
