// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/oauth2"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// keyPairs are the signing keys of this test binary: to make them takes long.
var keyPairs = sync.OnceValues(func() ([]cognitotest.KeyPair, error) {
	var pairs []cognitotest.KeyPair
	for range 4 {
		pair, err := cognitotest.GenerateKeys()
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair)
	}
	return pairs, nil
})

func keyPair(t *testing.T, i int) cognitotest.KeyPair {
	t.Helper()
	pairs, err := keyPairs()
	if err != nil {
		t.Fatal(err)
	}
	return pairs[i]
}

// newPools starts a server with the blog's user pool, whose issuer has the given
// form, and another one.
func newPools(t *testing.T, form cognitotest.IssuerForm, opts ...cognitotest.Option) (server *cognitotest.Server, pool, other *cognitotest.UserPool) {
	t.Helper()
	own, stranger := cognitotest.DemoPool(), cognitotest.DemoPool()
	own.Issuer, own.Region, own.Keys = form, "eu-central-1", keyPair(t, 0)
	own.Clients = append(own.Clients, cognitotest.Client{Name: "another-client", AllowedOAuthScopes: []string{"demo/read.file"}})
	stranger.Name, stranger.Issuer, stranger.Region, stranger.Keys = "another-pool", form, "eu-central-1", keyPair(t, 1)
	server, err := cognitotest.NewServer(append(opts, cognitotest.WithPool(own), cognitotest.WithPool(stranger))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return server, server.Pool(own.Name), server.Pool(stranger.Name)
}

// wayTo is how code that knows the issuer's URL reaches it: over the network, or, for
// an issuer below amazonaws.com, in memory.
func wayTo(server *cognitotest.Server, form cognitotest.IssuerForm) *http.Client {
	if form == cognitotest.IssuerEmulator {
		return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	return &http.Client{Transport: server.Transport()}
}

var issuerForms = []cognitotest.IssuerForm{cognitotest.IssuerEmulator, cognitotest.IssuerOriginal, cognitotest.IssuerUpdated}

// eachVerifier runs a test for each library and form of the issuer.
func eachVerifier(t *testing.T, test func(t *testing.T, form cognitotest.IssuerForm, verifier string)) {
	t.Helper()
	for _, form := range issuerForms {
		for name := range verifiers {
			t.Run(name+"/"+string(form), func(t *testing.T) {
				t.Parallel()
				test(t, form, name)
			})
		}
	}
}

// Tokens that a stranger's client got, by both ways of client authentication, are
// right for strangers' verifiers.
func TestVerifiersAccept(t *testing.T) {
	t.Parallel()
	eachVerifier(t, func(t *testing.T, form cognitotest.IssuerForm, name string) {
		server, pool, _ := newPools(t, form)
		check := verifiers[name](t, wayTo(server, form), pool.Issuer())
		for style, authStyle := range map[string]oauth2.AuthStyle{"client_secret_basic": oauth2.AuthStyleInHeader, "client_secret_post": oauth2.AuthStyleInParams} {
			token, err := oauth2Token(t, server, authStyle)
			if err != nil {
				t.Fatal(err)
			}
			claims, err := check(token.AccessToken)
			if err != nil {
				t.Fatalf("%s: %v", style, err)
			}
			if err := claims.check(pool.Client(appClient).ID); err != nil || claims.Scope != "demo/read.file demo/write.file" {
				t.Errorf("%s: got %v and scope %q", style, err, claims.Scope)
			}
		}
	})
}

func quoted(s string) json.RawMessage { return json.RawMessage(strconv.Quote(s)) }

// wrongTokens are refused for one reason each.
func wrongTokens(t *testing.T, form cognitotest.IssuerForm, pool, other *cognitotest.UserPool) map[string]wrongToken {
	t.Helper()
	forms := map[cognitotest.IssuerForm]cognitotest.IssuerForm{
		cognitotest.IssuerEmulator: cognitotest.IssuerOriginal, cognitotest.IssuerOriginal: cognitotest.IssuerUpdated, cognitotest.IssuerUpdated: cognitotest.IssuerOriginal,
	}
	iss := func(issuer string) map[string]json.RawMessage {
		return map[string]json.RawMessage{"iss": quoted(issuer)}
	}
	return map[string]wrongToken{
		"expired":                      {pool, cognitotest.MintSpec{Expired: true}, errExpired},
		"of another client":            {pool, cognitotest.MintSpec{Client: "another-client"}, errClient},
		"an ID token":                  {pool, cognitotest.MintSpec{IDToken: true}, errTokenUse},
		"of another pool":              {other, cognitotest.MintSpec{}, errSignature},
		"of another pool, same issuer": {other, cognitotest.MintSpec{Claims: iss(pool.Issuer())}, errSignature},
		"another issuer":               {pool, cognitotest.MintSpec{Claims: iss(other.Issuer())}, errIssuer},
		"the other form of the issuer": {pool, cognitotest.MintSpec{Claims: iss(pool.CognitoIssuer(forms[form]))}, errIssuer},
		"no issuer":                    {pool, cognitotest.MintSpec{Claims: map[string]json.RawMessage{"iss": nil}}, errIssuer},
		"signed by somebody else":      {pool, cognitotest.MintSpec{Key: keyPair(t, 1).AccessToken}, errSignature},
		"a broken signature":           {pool, cognitotest.MintSpec{Signature: cognitotest.SignatureBroken}, errSignature},
		"no signature":                 {pool, cognitotest.MintSpec{Signature: cognitotest.SignatureEmpty}, errSignature},
		"alg none":                     {pool, cognitotest.MintSpec{Alg: "none", Signature: cognitotest.SignatureEmpty}, errSignature},
		"an unknown kid":               {pool, cognitotest.MintSpec{Header: map[string]json.RawMessage{"kid": quoted("unknown")}}, errSignature},
	}
}

type wrongToken struct {
	pool *cognitotest.UserPool
	spec cognitotest.MintSpec
	want error
}

func TestVerifiersRefuse(t *testing.T) {
	t.Parallel()
	eachVerifier(t, func(t *testing.T, form cognitotest.IssuerForm, name string) {
		server, pool, other := newPools(t, form)
		check := verifiers[name](t, wayTo(server, form), pool.Issuer())
		for what, wrong := range wrongTokens(t, form, pool, other) {
			token, err := wrong.pool.Mint(wrong.spec)
			if err != nil {
				t.Fatal(err)
			}
			claims, err := check(token)
			if err == nil {
				err = claims.check(pool.Client(appClient).ID)
			}
			if !errors.Is(err, wrong.want) {
				t.Errorf("%s: got %v, want it refused for its %v", what, err, wrong.want)
			}
		}
	})
}

// A new key is taken as soon as a token carries its id; what left the JWKS is
// forgotten with the next fetch.
func TestVerifiersFollowRotation(t *testing.T) {
	t.Parallel()
	eachVerifier(t, func(t *testing.T, form cognitotest.IssuerForm, name string) {
		keyPair(t, 0) // they are made outside of the bubble, for all
		synctest.Test(t, func(t *testing.T) { followRotation(t, form, verifiers[name]) })
	})
}

func followRotation(t *testing.T, form cognitotest.IssuerForm, verifier func(*testing.T, *http.Client, string) verify) {
	t.Helper()
	server, pool, _ := newPools(t, form, cognitotest.WithoutListener())
	check := verifier(t, &http.Client{Transport: server.Transport()}, pool.Issuer())
	expect := func(step, token string, want error) {
		t.Helper()
		if _, err := check(token); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", step, err, want)
		}
		synctest.Wait() // go-oidc answers before it has stored the keys
	}
	mint := func() string {
		t.Helper()
		token, err := pool.Mint(cognitotest.MintSpec{})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	rotate := func(pair, keep int) {
		t.Helper()
		if err := pool.RotateKeysTo(keyPair(t, pair), keep); err != nil {
			t.Fatal(err)
		}
	}
	first := mint()
	expect("before", first, nil)
	rotate(2, 1)
	second := mint()
	expect("the new key", second, nil)
	expect("the old key, still published", first, nil)
	rotate(3, 0)
	expect("the newest key", mint(), nil)
	expect("a key that is gone", first, errSignature)
	expect("another key that is gone", second, errSignature)
	if got := server.Counts().JWKSRequests; got < 3 {
		t.Errorf("the keys were fetched %d times, want at least 3: the library has them from elsewhere", got)
	}
}
