// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// coldTokens is how many tokens one verifier sees before it is replaced.
const coldTokens = 1024

// signed is a token in the parts that a check of the signature needs.
type signed struct {
	input     []byte
	signature []byte
}

func (l *lab) signed(tb testing.TB) signed {
	tb.Helper()
	token := l.mint(tb, 1)[0]
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	must(tb, err)
	return signed{[]byte(token[:dot]), signature}
}

// bareRSA is the least that any verifier must do for a token that it does not know.
func (l *lab) bareRSA(tb testing.TB) batch {
	tb.Helper()
	s := l.signed(tb)
	return func(n int) {
		for range n {
			sum := sha256.Sum256(s.input)
			if err := rsa.VerifyPKCS1v15(l.key, crypto.SHA256, sum[:], s.signature); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

// peers are the two other libraries, without gRPC.
func (l *lab) peers(b *testing.B) map[string]peer {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	golangJWT, err := newGolangJWT(ctx, l.provider())
	must(b, err)
	jwx, err := newJWX(ctx, l.provider())
	must(b, err)
	return map[string]peer{"golang-jwt": golangJWT, "jwx": jwx}
}

// ours is a verifier in the shape of a peer.
func ours(v *serverauth.Verifier) peer {
	return func(ctx context.Context, token string) (string, string, error) {
		_, err := v.Verify(ctx, token)
		return "", "", err
	}
}

var peerRows = []string{"golang-jwt", "jwx"}

// BenchmarkVerifyCold checks tokens that each come for the first time. "rsa" is the
// least that any verifier must do. Ours sees each token once: when the tokens are used
// up, a new verifier takes the place of the one that remembers them. What remembering
// costs is in it.
func BenchmarkVerifyCold(b *testing.B) {
	l := newLab(b)
	bare := l.bareRSA(b)
	b.Run("rsa", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			bare(1)
		}
	})
	b.Run("scopeauth", func(b *testing.B) {
		tokens := l.mint(b, sized(coldTokens, 1))
		v, next := l.verifier(b), 0
		b.Cleanup(func() { must(b, v.Close()) })
		replace := func() {
			must(b, v.Close())
			v, next = l.verifier(b), 0
		}
		verify := func(n int) {
			for range n {
				if _, err := v.Verify(b.Context(), tokens[next]); err != nil {
					b.Fatal(err)
				}
				next++
			}
		}
		b.ReportAllocs()
		for b.Loop() {
			if next == len(tokens) {
				b.StopTimer()
				replace()
				b.StartTimer()
			}
			verify(1)
		}
		// Short turns, so that both meet the same noise, and their sums, so that what the
		// garbage collector does later counts.
		const turn = 50
		var timeBare, timeVerify float64
		for range sized(rounds, 1) {
			replace()
			for len(tokens)-next >= min(turn, len(tokens)) {
				timeBare += perOp(bare, min(turn, len(tokens)))
				timeVerify += perOp(verify, min(turn, len(tokens)))
			}
		}
		b.ReportMetric(timeVerify/timeBare, "x-rsa")
	})
	peers := l.peers(b)
	v := l.verifier(b, serverauth.WithoutCache())
	b.Cleanup(func() { must(b, v.Close()) })
	peers["scopeauth-without-cache"] = ours(v)
	for _, name := range append([]string{"scopeauth-without-cache"}, peerRows...) {
		b.Run(name, func(b *testing.B) {
			verify, token := peers[name], l.mint(b, 1)[0]
			check := func(n int) {
				for range n {
					if _, _, err := verify(b.Context(), token); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				check(1)
			}
			b.ReportMetric(ratio(bare, check), "x-rsa")
		})
	}
}

// BenchmarkRefuse refuses tokens whose signature need not be looked at to know that they
// are no good; all but the one with the unknown key are signed right.
func BenchmarkRefuse(b *testing.B) {
	l := newLab(b)
	bare := l.bareRSA(b)
	b.Run("rsa", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			bare(1)
		}
	})
	peers := l.peers(b)
	v := l.verifier(b)
	b.Cleanup(func() { must(b, v.Close()) })
	peers["scopeauth"] = ours(v)
	for _, wrong := range []struct {
		name string
		spec cognitotest.MintSpec
	}{
		{"expired", cognitotest.MintSpec{Expired: true}},
		{"issuer", cognitotest.MintSpec{Claims: raw("iss", "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Another")}},
		{"token-use", cognitotest.MintSpec{Claims: raw("token_use", "id")}},
		{"unknown-key", cognitotest.MintSpec{Header: raw("kid", "of no key that was ever published")}},
	} {
		token := l.wrong(b, wrong.spec)
		b.Run(wrong.name, func(b *testing.B) {
			for _, name := range append([]string{"scopeauth"}, peerRows...) {
				b.Run(name, func(b *testing.B) {
					refuse := func(n int) {
						for range n {
							if _, _, err := peers[name](b.Context(), token); err == nil {
								b.Fatal("accepted")
							}
						}
					}
					refuse(1) // the first of an unknown key may fetch keys
					b.ReportAllocs()
					for b.Loop() {
						refuse(1)
					}
					b.ReportMetric(ratio(bare, refuse), "x-rsa")
				})
			}
		})
	}
}

// raw is one member of a JSON object.
func raw(name, value string) map[string]json.RawMessage {
	text, err := json.Marshal(value)
	if err != nil {
		return nil // strings cannot fail
	}
	return map[string]json.RawMessage{name: text}
}
