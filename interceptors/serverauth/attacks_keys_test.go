// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// The rows about keys, as a request meets them: raw frames to a real server, whose
// issuer's keys come from an endpoint that does what the test says. Nothing is
// remembered of tokens here (for that see the tests of the cache), so each call shows
// what a new token meets.

// keysEndpoint serves an issuer's keys, unless behave says otherwise.
type keysEndpoint struct {
	*testIssuer

	behave atomic.Pointer[roundTripper]
	asked  atomic.Int64
}

func newKeysEndpoint() *keysEndpoint { return &keysEndpoint{testIssuer: newMemoryIssuer()} }

// RoundTrip implements http.RoundTripper.
func (e *keysEndpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	e.asked.Add(1)
	if f := e.behave.Load(); f != nil {
		return (*f)(r)
	}
	return e.testIssuer.RoundTrip(r)
}

func (e *keysEndpoint) now(f roundTripper) { e.behave.Store(&f) }
func (e *keysEndpoint) well()              { e.behave.Store(nil) }

// setup has no TLS, which the many calls here would spend their time on: plaintext is
// safe in memory.
func (e *keysEndpoint) setup() setup {
	return setup{memory: true, insecure: true, verifier: []serverauth.VerifierOption{
		serverauth.WithHTTPClient(&http.Client{Transport: e}), serverauth.WithoutCache(),
	}}
}

func keysAnswer(r *http.Request, code int, body io.Reader, fields ...string) (*http.Response, error) {
	resp := &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(body), Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	for i := 0; i < len(fields); i += 2 {
		resp.Header.Set(fields[i], fields[i+1])
	}
	return resp, nil
}

func keysFail(err error) roundTripper {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

func keysHang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// newHeader is that of a token of a key that is unknown at first.
const newHeader = `{"kid":"new","alg":"RS256"}`

// newToken is signed with that key.
func (e *keysEndpoint) newToken() string {
	return sign(e.stranger, b64(newHeader)+"."+b64(goodClaims))
}

// publishNew makes the endpoint serve the new key beside the two.
func (e *keysEndpoint) publishNew() {
	e.publish(otherKeyID, e.id, goodKeyID, e.access, "new", e.stranger)
}

// keysLab is a lab with such an endpoint.
type keysLab struct {
	*lab

	endpoint *keysEndpoint
}

func newKeysLab(t *testing.T, e *keysEndpoint) keysLab {
	t.Helper()
	return keysLab{newLab(t, e.setup()), e}
}

// meets expects what a call ends with, and how many requests for keys it caused.
func (l keysLab) meets(t *testing.T, what, token string, code codes.Code, fine, wire serverauth.Reason, fetches int64) {
	t.Helper()
	asked, ran := l.endpoint.asked.Load(), l.files.ran.Load()
	got := l.call(t, whoAmI, bearer(token))
	if got.code != code || got.reason != wire {
		t.Errorf("%s: got %v %s, want %v %s", what, got.code, got.reason, code, wire)
	}
	if refusal := l.lastRefusal(); fine != "" && (refusal == nil || refusal.Reason() != fine) {
		t.Errorf("%s: got %v, want %s", what, refusal, fine)
	}
	if n := l.endpoint.asked.Load() - asked; n != fetches {
		t.Errorf("%s: %d fetches of keys, want %d", what, n, fetches)
	}
	if passed := l.files.ran.Load() != ran; passed != (code == ok) {
		t.Errorf("%s: the handler ran: %v", what, passed)
	}
}

func (l keysLab) passes(t *testing.T, what, token string, fetches int64) {
	t.Helper()
	l.meets(t, what, token, ok, "", "", fetches)
}

func (l keysLab) unavailable(t *testing.T, what, token string, fetches int64) {
	t.Helper()
	l.meets(t, what, token, codes.Unavailable, serverauth.ReasonKeysUnavailable, serverauth.ReasonKeysUnavailable, fetches)
}

func (l keysLab) refuses(t *testing.T, what, token string, fine serverauth.Reason, fetches int64) {
	t.Helper()
	l.meets(t, what, token, u, fine, serverauth.ReasonTokenInvalid, fetches)
}

// keysFaults are the ways in which an endpoint can fail.
var keysFaults = map[string]roundTripper{
	"503": func(r *http.Request) (*http.Response, error) {
		return keysAnswer(r, http.StatusServiceUnavailable, strings.NewReader("later"))
	},
	"404": func(r *http.Request) (*http.Response, error) {
		return keysAnswer(r, http.StatusNotFound, strings.NewReader("<html>"))
	},
	"refused": keysFail(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}),
	"DNS":     keysFail(&net.DNSError{Err: "no such host", Name: "keys.test", IsNotFound: true}),
	"TLS":     keysFail(x509.UnknownAuthorityError{}),
	"hanging": keysHang,
}

// D1: without keys a server does not start, unless it is told to; then calls that need
// a token end UNAVAILABLE, load balancers are told, and all is well with the first keys.
func TestD1NoKeysAtStart(t *testing.T) {
	t.Parallel()
	for name, fault := range keysFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				e := newKeysEndpoint()
				e.now(fault)
				issuer := serverauth.Issuer{URL: issuerURL, JWKSURL: "https://keys.test/keys", Clients: serverauth.AnyClient()}
				begin := time.Now()
				_, err := serverauth.NewVerifier(t.Context(), []serverauth.Issuer{issuer},
					serverauth.WithHTTPClient(&http.Client{Transport: e}), serverauth.WithLogger(nil))
				if err == nil || !strings.Contains(err.Error(), issuerURL) {
					t.Errorf("NewVerifier: got %v, want an error that names the issuer", err)
				}
				if took := time.Since(begin); took > 10*time.Second {
					t.Errorf("NewVerifier took %v, want 10 s at most", took)
				}
				s := e.setup()
				s.verifier = append(s.verifier, serverauth.LazyStart())
				checks := health.NewServer()
				s.register = func(srv *grpc.Server) { healthpb.RegisterHealthServer(srv, checks) }
				s.options = []serverauth.Option{serverauth.PublicHealth(), serverauth.HealthServer(checks)}
				l := keysLab{newLab(t, s), e}
				time.Sleep(3 * time.Second) // the first fetch fails by then
				l.unavailableAnyway(t, e.good())
				if l.verifier.Ready() || l.health(t) != healthpb.HealthCheckResponse_NOT_SERVING {
					t.Error("the server is said to be ready")
				}
				if got := l.call(t, version); got.code != ok {
					t.Errorf("a public method: got %v, want OK", got.code)
				}
				if got := l.call(t, whoAmI, bearer("junk")); got.code != u {
					t.Errorf("junk: got %v, want UNAUTHENTICATED", got.code)
				}
				e.well()
				time.Sleep(6 * time.Minute) // the longest back-off, and some
				l.passes(t, "with keys", e.good(), 0)
				if !l.verifier.Ready() || l.health(t) != healthpb.HealthCheckResponse_SERVING {
					t.Error("the server is said not to be ready")
				}
			})
		})
	}
}

// unavailableAnyway does not count fetches: those that follow failures have jitter.
func (l keysLab) unavailableAnyway(t *testing.T, token string) {
	t.Helper()
	if got := l.call(t, whoAmI, bearer(token)); got.code != codes.Unavailable || got.reason != serverauth.ReasonKeysUnavailable {
		t.Errorf("got %v %s, want UNAVAILABLE KEYS_UNAVAILABLE", got.code, got.reason)
	}
}

// health asks the server for its status, as a load balancer does.
func (l keysLab) health(t *testing.T) healthpb.HealthCheckResponse_ServingStatus {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return l.memory.Dial() }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	resp, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Errorf("health: %v", err)
	}
	return resp.GetStatus()
}

// D2 and D3: an endpoint that fails later, in whatever way, does no harm to tokens of
// known keys, and nobody waits for it who has one. After 24 hours nothing passes.
func TestD2D3EndpointFailsLater(t *testing.T) {
	t.Parallel()
	for name, fault := range keysFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				e := newKeysEndpoint()
				l := newKeysLab(t, e)
				e.now(fault)
				const life = 24 * 3600
				lasts := l.issuer.token(goodHeader, with("iat", at(life-3600), "exp", at(life+3600)))
				for hour := range 23 {
					token := l.issuer.token(goodHeader, with("iat", at(int64(hour*3600)), "exp", at(int64(hour*3600+1800))))
					begin := time.Now()
					if got := l.call(t, whoAmI, bearer(token)); got.code != ok {
						t.Errorf("after %d hours: got %v %s, want OK", hour, got.code, got.reason)
					}
					if took := time.Since(begin); took != 0 {
						t.Errorf("after %d hours: a call of a known key took %v", hour, took)
					}
					time.Sleep(time.Hour)
				}
				time.Sleep(time.Hour - time.Second)
				if got := l.call(t, whoAmI, bearer(lasts)); got.code != ok {
					t.Errorf("in the last second: got %v %s, want OK", got.code, got.reason)
				}
				if age := l.verifier.Stats().Issuers[0].KeyAge; age != 24*time.Hour-time.Second {
					t.Errorf("the keys' age: got %v", age)
				}
				time.Sleep(2 * time.Second)
				l.unavailableAnyway(t, lasts)
				if got := l.call(t, whoAmI, bearer("junk")); got.code != u {
					t.Errorf("junk: got %v, want UNAUTHENTICATED", got.code)
				}
				e.well()
				time.Sleep(6 * time.Minute) // the longest back-off, and some
				l.passes(t, "when keys are back", lasts, 0)
			})
		})
	}
}

// D3: an unknown key is waited for, 2 seconds at most, and only by who needs it.
func TestD3OnlyTheUnknownKeyWaits(t *testing.T) {
	t.Parallel()
	drip := func(r *http.Request) (*http.Response, error) {
		return keysAnswer(r, http.StatusOK, dripping{r.Context()})
	}
	for name, fault := range map[string]roundTripper{"hanging": keysHang, "dripping": drip} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				e := newKeysEndpoint()
				l := newKeysLab(t, e)
				e.now(fault)
				begin := time.Now()
				waiting := l.dial(t)
				defer waiting.close()
				waiting.open(t, readFile, bearer(e.newToken()))
				waiting.send(t, nil)
				waiting.closeSend(t)
				synctest.Wait()
				for range 20 {
					l.passes(t, "a known key meanwhile", l.issuer.good(), 0)
				}
				if took := time.Since(begin); took != 0 {
					t.Errorf("calls of a known key took %v", took)
				}
				got := waiting.finish(t)
				if took := time.Since(begin); got.code != codes.Unavailable || got.reason != serverauth.ReasonKeysUnavailable || took != 2*time.Second {
					t.Errorf("an unknown key: got %v %s after %v, want UNAVAILABLE KEYS_UNAVAILABLE after 2 s", got.code, got.reason, took)
				}
				time.Sleep(time.Second + time.Nanosecond) // the fetch has failed by now
				if s := l.verifier.Stats().Issuers[0]; s.Failures != 1 || s.KIDFetches != 1 {
					t.Errorf("%d failures and %d fetches for an unknown kid, want one of one, after 3 s", s.Failures, s.KIDFetches)
				}
			})
		})
	}
}

// dripping is a body that gives a byte each second.
type dripping struct{ ctx context.Context }

func (d dripping) Read(b []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return copy(b[:1], "{"), nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

// keysDocument is a document of these entries.
func keysDocument(entries ...any) string {
	doc, err := json.Marshal(map[string]any{"keys": entries})
	if err != nil {
		panic(err)
	}
	return string(doc)
}

// entry is the entry of a key, with members replaced or taken away (by an empty value).
func entry(kid string, key *rsa.PublicKey, pairs ...string) map[string]string {
	members := jwk(kid, key)
	for i := 0; i < len(pairs); i += 2 {
		if members[pairs[i]] = pairs[i+1]; pairs[i+1] == "" {
			delete(members, pairs[i])
		}
	}
	return members
}

// D4 to D8 and D12: documents that are not taken. The keys stay as they were, and a
// token of a new key cannot be decided about, by our fault.
func TestD4ToD12RejectedDocuments(t *testing.T) {
	t.Parallel()
	bubbleKeys := testKeys()
	good := []any{entry(goodKeyID, &bubbleKeys[0].PublicKey), entry("new", &bubbleKeys[2].PublicKey)}
	all := keysDocument(good...)
	elsewhere := func(code int) roundTripper {
		return func(r *http.Request) (*http.Response, error) {
			if r.URL.Path != "/keys" {
				return keysAnswer(r, http.StatusOK, strings.NewReader(all))
			}
			return keysAnswer(r, code, strings.NewReader(all), "Location", "https://keys.test/elsewhere")
		}
	}
	body := func(doc string, fields ...string) roundTripper {
		return func(r *http.Request) (*http.Response, error) {
			return keysAnswer(r, http.StatusOK, strings.NewReader(doc), fields...)
		}
	}
	for name, fault := range map[string]roundTripper{
		"D4/too large": body(all + strings.Repeat(" ", 256<<10)),
		"D4/endless": func(r *http.Request) (*http.Response, error) {
			return keysAnswer(r, http.StatusOK, io.MultiReader(strings.NewReader(all), spaces{}))
		},
		"D4/compressed":        body("\x1f\x8b", "Content-Encoding", "gzip"),
		"D5/301":               elsewhere(http.StatusMovedPermanently),
		"D5/302":               elsewhere(http.StatusFound),
		"D5/307":               elsewhere(http.StatusTemporaryRedirect),
		"D6/HTML":              body("<html>sign in</html>"),
		"D6/empty":             body(""),
		"D6/truncated":         body(all[:len(all)/2]),
		"D6/trailing bytes":    body(all + "x"),
		"D6/second document":   body(all + all),
		"D6/duplicate keys":    body(`{"keys":[],` + all[1:]),
		"D6/byte order mark":   body("\ufeff" + all),
		"D7/no key":            body(keysDocument()),
		"D7/null":              body(`{"keys":null}`),
		"D7/none usable":       body(keysDocument(entry("new", &bubbleKeys[2].PublicKey, "use", "enc"))),
		"D8/two of one kid":    body(keysDocument(append(good, entry("new", &bubbleKeys[0].PublicKey))...)),
		"D12/symmetric key":    body(keysDocument(append(good, map[string]string{"kty": "oct", "kid": "s", "k": "AAAA"})...)),
		"D12/private exponent": body(keysDocument(append(good, entry("x", &bubbleKeys[1].PublicKey, "d", "AQAB"))...)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				var rejected atomic.Int64
				e := newKeysEndpoint()
				s := e.setup()
				s.verifier = append(s.verifier, serverauth.OnKeysRejected(func(string, error) { rejected.Add(1) }))
				l := keysLab{newLab(t, s), e}
				e.now(fault)
				l.unavailable(t, "a token of a new key", e.newToken(), 1)
				l.unavailable(t, "another", sign(e.stranger, b64(newHeader)+"."+b64(with("jti", `"2"`))), 0) // back-off
				l.passes(t, "a token of a key from before", e.good(), 0)
				synctest.Wait() // who waits for a key is told of a failure before the hook is
				stats := l.verifier.Stats().Issuers[0]
				if want := !strings.HasPrefix(name, "D5"); (rejected.Load() == 1) != want || (stats.Rejected == 1) != want || stats.Failures != 1 {
					t.Errorf("%d calls of OnKeysRejected, %+v", rejected.Load(), stats)
				}
				e.well()
				e.publishNew()
				time.Sleep(10 * time.Second) // back-off
				l.passes(t, "a token of the new key, with a good document", e.newToken(), 0)
			})
		})
	}
}

// spaces is a body without an end.
type spaces struct{}

func (spaces) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte(" "), len(b))), nil }

// D9 to D11: entries that are of no use. Those beside them serve, and a token that
// names them is refused for good: the document was taken.
func TestD9ToD11UnusableEntries(t *testing.T) {
	t.Parallel()
	stranger := &testKeys()[2].PublicKey
	even := new(big.Int).Lsh(stranger.N, 1)
	for name, unusable := range map[string]map[string]string{
		"D9/unknown kty":        {"kty": "AKP", "kid": "new", "pub": "AAAA"},
		"D9/unknown curve":      {"kty": "EC", "kid": "new", "crv": "P-999", "x": "AAAA", "y": "AAAA"},
		"D9/unknown alg":        entry("new", stranger, "alg", "RS999"),
		"D10/1024 bits":         entry("new", &rsa.PublicKey{N: new(big.Int).Rsh(stranger.N, 1024)}),
		"D10/2047 bits":         entry("new", &rsa.PublicKey{N: new(big.Int).Rsh(stranger.N, 1)}),
		"D10/8193 bits":         entry("new", &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 8192)}),
		"D10/even":              entry("new", &rsa.PublicKey{N: even}),
		"D10/e is 1":            entry("new", stranger, "e", "AQ"),
		"D10/e is even":         entry("new", stranger, "e", "AQAA"),
		"D10/e is too large":    entry("new", stranger, "e", "AQAAAAE"),
		"D11/for encryption":    entry("new", stranger, "use", "enc"),
		"D11/RSA-OAEP":          entry("new", stranger, "alg", "RSA-OAEP"),
		"D11/of another digest": entry("new", stranger, "alg", "RS512"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				e := newKeysEndpoint()
				l := newKeysLab(t, e)
				doc := keysDocument(entry(otherKeyID, &e.id.PublicKey), unusable, entry(goodKeyID, &e.access.PublicKey))
				e.document.Store(&doc)
				l.refuses(t, "a token of the entry", e.newToken(), serverauth.ReasonKeyNotFound, 1)
				l.passes(t, "a token of a key beside it", e.good(), 0)
				if s := l.verifier.Stats().Issuers[0]; s.IgnoredKeys != 1 || s.Failures != 0 || len(s.KeyIDs) != 2 {
					t.Errorf("%d ignored, %d failures, keys %q, want one, none and two", s.IgnoredKeys, s.Failures, s.KeyIDs)
				}
			})
		})
	}
}

// D13: a kid comes back with other material, and its old tokens end.
func TestD13KidReused(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		old, next := e.good(), sign(e.stranger, b64(goodHeader)+"."+b64(goodClaims))
		l.refuses(t, "the new key's token before", next, serverauth.ReasonSignatureInvalid, 0)
		e.publish(goodKeyID, e.stranger)
		l.passes(t, "the old key's token before anybody knows", old, 0)
		time.Sleep(pastTheTimer)
		l.refuses(t, "the old key's token", old, serverauth.ReasonSignatureInvalid, 0)
		l.passes(t, "the new key's token", next, 0)
	})
}

// D14: a new key is fetched for its first token, or was by the timer.
func TestD14KeyAdded(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		e.publishNew()
		l.passes(t, "the first token of the new key", e.newToken(), 1)
		l.passes(t, "the next one", e.newToken(), 0)
		l.passes(t, "a token of the old key", e.good(), 0)
		e.publish(goodKeyID, e.access, "new", e.stranger, "newer", e.id)
		time.Sleep(pastTheTimer)
		l.passes(t, "a token of a key that the timer brought", sign(e.id, b64(`{"kid":"newer","alg":"RS256"}`)+"."+b64(goodClaims)), 0)
	})
}

// D15: tokens of a key that was removed end with the next refresh.
func TestD15KeyRemoved(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		e.publish(otherKeyID, e.id)
		l.passes(t, "before anybody knows", e.good(), 0)
		time.Sleep(pastTheTimer)
		l.refuses(t, "afterwards", e.good(), serverauth.ReasonKeyNotFound, 1) // an unknown kid by now
		l.refuses(t, "again", e.good(), serverauth.ReasonKeyNotFound, 0)      // that answer is final for 10 s
	})
}

// crowd sends so many calls at once, each with its own token, and waits until all are
// answered or wait for a key.
func (l keysLab) crowd(t *testing.T, n int, token func(i int) string) []*rawCall {
	t.Helper()
	calls := make([]*rawCall, n)
	for i := range calls {
		calls[i] = l.dial(t)
		t.Cleanup(calls[i].close)
		calls[i].open(t, readFile, bearer(token(i)))
		calls[i].send(t, nil)
		calls[i].closeSend(t)
	}
	synctest.Wait()
	return calls
}

// D16: at a rotation no token of the old key fails, and all first tokens of the new one
// wait for one fetch.
func TestD16RotationUnderTraffic(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		release := make(chan struct{})
		e.now(func(r *http.Request) (*http.Response, error) {
			<-release
			return e.testIssuer.RoundTrip(r)
		})
		e.publishNew()
		asked := e.asked.Load()
		calls := l.crowd(t, 60, func(i int) string {
			if i%2 == 0 {
				return e.newToken()
			}
			return e.good()
		})
		if n := e.asked.Load() - asked; n != 1 {
			t.Errorf("%d fetches, want one", n)
		}
		for i, c := range calls { // those of the old key were answered already
			if i%2 == 1 {
				if got := c.finish(t); got.code != ok {
					t.Errorf("a token of the old key: got %v %s, want OK", got.code, got.reason)
				}
			}
		}
		close(release)
		for i, c := range calls {
			if i%2 == 0 {
				if got := c.finish(t); got.code != ok {
					t.Errorf("a token of the new key: got %v %s, want OK", got.code, got.reason)
				}
			}
		}
		if n := e.asked.Load() - asked; n != 1 {
			t.Errorf("%d fetches, want one", n)
		}
	})
}

// D17: unknown kids cause one fetch in 10 seconds, 256 calls wait for it at most, and
// good traffic does not notice.
func TestD17UnknownKids(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		release := make(chan struct{})
		e.now(func(r *http.Request) (*http.Response, error) {
			<-release
			return e.testIssuer.RoundTrip(r)
		})
		asked, begin := e.asked.Load(), time.Now()
		good := e.good()
		signature := good[strings.LastIndexByte(good, '.'):] // nobody will look at it
		stray := func(i int) string {
			return b64(fmt.Sprintf(`{"kid":"stray %d","alg":"RS256"}`, i)) + "." + b64(goodClaims) + signature
		}
		calls := l.crowd(t, 270, stray)
		for range 5 {
			if got := l.call(t, whoAmI, bearer(e.good())); got.code != ok || time.Since(begin) != 0 {
				t.Errorf("good traffic: got %v %s after %v, want OK at once", got.code, got.reason, time.Since(begin))
			}
		}
		if log := strings.Count(l.log.String(), "256 callers wait"); log == 0 {
			t.Error("nobody was turned away")
		}
		close(release)
		verdicts := map[serverauth.Reason]int{}
		for _, c := range calls {
			verdicts[c.finish(t).reason]++
		}
		if verdicts[serverauth.ReasonTokenInvalid] != 256 || verdicts[serverauth.ReasonKeysUnavailable] != 14 {
			t.Errorf("got %v, want 256 that waited and 14 that could not", verdicts)
		}
		for i := range 20 {
			l.refuses(t, "within 10 seconds", stray(1000+i), serverauth.ReasonKeyNotFound, 0)
		}
		if n := e.asked.Load() - asked; n != 1 {
			t.Errorf("%d fetches, want one", n)
		}
		time.Sleep(10 * time.Second)
		l.refuses(t, "after 10 seconds", stray(2000), serverauth.ReasonKeyNotFound, 1)
	})
}

// D18: a bad signature under a known kid causes no fetch.
func TestD18BadSignatures(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		for i := range 20 {
			forged := sign(e.stranger, b64(goodHeader)+"."+b64(with("jti", fmt.Sprintf(`"%d"`, i))))
			l.refuses(t, "a bad signature", forged, serverauth.ReasonSignatureInvalid, 0)
		}
		l.passes(t, "a good one", e.good(), 0)
	})
}

// D19: unknown kids cause no storm while the endpoint is down.
func TestD19UnknownKidsWhileDown(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		e.down.Store(true)
		token, good := e.newToken(), e.good()
		l.unavailable(t, "the first", token, 1)
		for range 20 {
			l.unavailable(t, "one at the same time", token, 0)
		}
		for range 30 {
			time.Sleep(2 * time.Second)
			l.unavailableAnyway(t, token)
			if got := l.call(t, whoAmI, bearer(good)); got.code != ok {
				t.Errorf("good traffic: got %v %s, want OK", got.code, got.reason)
			}
		}
		if s := l.verifier.Stats().Issuers[0]; s.KIDFetches != 1 {
			t.Errorf("%d fetches for unknown kids, want one", s.KIDFetches)
		}
	})
}

// D20: the fetch goes on when the call that caused it has gone.
func TestD20FirstWaiterLeaves(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		release := make(chan struct{})
		e.now(func(r *http.Request) (*http.Response, error) {
			select {
			case <-release:
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
			return e.testIssuer.RoundTrip(r)
		})
		e.publishNew()
		asked := e.asked.Load()
		first := l.crowd(t, 1, func(int) string { return e.newToken() })[0]
		second := l.crowd(t, 1, func(int) string { return e.newToken() })[0]
		first.close()
		synctest.Wait()
		if refusal := l.lastRefusal(); refusal == nil || refusal.Code() != codes.Canceled {
			t.Errorf("who left: got %v, want CANCELED", refusal)
		}
		close(release)
		if got := second.finish(t); got.code != ok {
			t.Errorf("who stayed: got %v %s, want OK", got.code, got.reason)
		}
		if n := e.asked.Load() - asked; n != 1 {
			t.Errorf("%d fetches, want one", n)
		}
	})
}

// D20: a call's own deadline ends its waiting, with its own code.
func TestD20WaiterWithADeadline(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		e.now(keysHang)
		begin := time.Now()
		// gRPC answers, or resets the stream: both have the same deadline.
		got, err := l.tryCall(whoAmI, bearer(e.newToken()), header{"grpc-timeout", "500m"})
		if took := time.Since(begin); took != 500*time.Millisecond || err == nil && got.code != codes.DeadlineExceeded && got.code != codes.Canceled {
			t.Errorf("got %v, %v after %v, want the end of the call after 500 ms", got.code, err, took)
		}
		synctest.Wait()
		if refusal := l.lastRefusal(); refusal == nil || refusal.Code() != codes.DeadlineExceeded && refusal.Code() != codes.Canceled {
			t.Errorf("got %v, want the end of the call itself", refusal)
		}
	})
}

// D21: a kid is looked up among the keys of the token's own issuer.
func TestD21SameKidOfTwoIssuers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		const otherURL = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Other"
		mine, others := newKeysEndpoint(), newKeysEndpoint()
		others.publish(goodKeyID, others.stranger, "theirs", others.id) // the same kid, another key
		both := roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "other.test" {
				return others.RoundTrip(r)
			}
			return mine.RoundTrip(r)
		})
		s := mine.setup()
		s.verifier = append(s.verifier, serverauth.WithHTTPClient(&http.Client{Transport: both}))
		s.issuers = func(base serverauth.Issuer) []serverauth.Issuer {
			return []serverauth.Issuer{base, {URL: otherURL, JWKSURL: "https://other.test/keys", Clients: serverauth.AnyClient()}}
		}
		l := keysLab{newLab(t, s), mine}
		claims := with("iss", `"`+otherURL+`"`)
		l.passes(t, "mine", mine.good(), 0)
		l.passes(t, "the other's", sign(mine.stranger, b64(goodHeader)+"."+b64(claims)), 0)
		l.refuses(t, "the other's claims, my key", mine.token(goodHeader, claims), serverauth.ReasonSignatureInvalid, 0)
		l.refuses(t, "my claims, the other's key", sign(mine.stranger, b64(goodHeader)+"."+b64(goodClaims)), serverauth.ReasonSignatureInvalid, 0)
		// A kid of the other's is unknown among mine: my keys are fetched, the other's are not.
		asked := others.asked.Load()
		l.refuses(t, "my claims, a kid of the other's", sign(mine.id, b64(`{"kid":"theirs","alg":"RS256"}`)+"."+b64(goodClaims)), serverauth.ReasonKeyNotFound, 1)
		if others.asked.Load() != asked {
			t.Error("the other issuer's keys were fetched")
		}
	})
}

// D22: a step of the wall clock changes what is expired, and not when keys are fetched.
func TestD22WallClockSteps(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var step atomic.Int64
		e := newKeysEndpoint()
		s := e.setup()
		begin := time.Now()
		s.verifier = append(s.verifier, serverauth.WithClock(func() time.Time {
			return testNow().Add(time.Since(begin) + time.Duration(step.Load()))
		}))
		l := keysLab{newLab(t, s), e}
		token := e.good()
		l.passes(t, "before", token, 0)
		step.Store(int64(2 * time.Hour))
		l.refuses(t, "after a step of 2 hours", token, serverauth.ReasonTokenExpired, 0)
		step.Store(int64(-2 * time.Hour))
		l.refuses(t, "after a step back", token, serverauth.ReasonTokenNotYetValid, 0)
		step.Store(int64(48 * time.Hour)) // far beyond the life of keys
		late := e.token(goodHeader, with("iat", at(48*3600), "exp", at(49*3600)))
		l.passes(t, "a token of that time", late, 0)
		step.Store(0)
		l.passes(t, "put right", token, 0)
		if !errors.Is(l.verifier.Stats().Issuers[0].LastError, nil) {
			t.Error("a fetch failed")
		}
	})
}

// D23: after a failure the next attempts come at times of their own, further and further
// apart, whatever calls there are.
func TestD23BackoffUnderTraffic(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		e.down.Store(true)
		token := e.newToken()
		l.unavailable(t, "the first", token, 1)
		for range 120 {
			time.Sleep(5 * time.Second)
			if got := l.call(t, whoAmI, bearer(token)); got.code != codes.Unavailable {
				t.Fatalf("got %v %s, want UNAVAILABLE", got.code, got.reason)
			}
		}
		// Without growth there would be some 1,200 in 10 minutes, or 600 of a fixed second.
		if n := e.asked.Load(); n < 3 || n > 200 {
			t.Errorf("%d fetches in 10 minutes", n)
		}
	})
}
