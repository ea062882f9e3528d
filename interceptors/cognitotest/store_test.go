// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorderFunc is a recorder of one function.
type recorderFunc func(c change) error

func (f recorderFunc) record(c change) error { return f(c) }

// emptyStore is the store of a server that has no pools.
func emptyStore() *store {
	s := &Server{url: memoryURL, host: "cognito.invalid:443", clock: func() time.Time { return testNow }}
	s.store = newStore(s)
	return s.store
}

func encoded(tb testing.TB, v any) string {
	tb.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

// TestChangesAreTheModel records all that can happen as text and makes the same
// model of it again.
func TestChangesAreTheModel(t *testing.T) {
	t.Parallel()
	s := newServer(t, append(twoPools(), WithoutListener(), fixedClock(), WithPool(Pool{Name: "lazy"}))...)
	var log []string
	for _, c := range s.store.snapshot() {
		log = append(log, encoded(t, c))
	}
	s.store.recorder = recorderFunc(func(c change) error {
		log = append(log, encoded(t, c))
		return nil
	})
	p := s.Pool("s2s-test")
	added, err := p.AddClientSecret(testID)
	for _, err := range []error{
		err,
		p.DeleteClientSecret(testID),
		p.RemoveScope("demo/write.file"),
		p.RotateKeysTo(testKeys()[2], 1),
		p.edit(func(r *poolRecord) error {
			r.Name, r.Issuer, r.Domains = "renamed", IssuerUpdated, append(r.Domains, domainRecord{Name: "auth.example.org"})
			return nil
		}),
		p.commit(func() (change, error) {
			return change{DeletedClients: []string{"web"}, DeletedResourceServers: []string{"nothing"}}, nil
		}),
		s.store.commit(func() (change, error) { return change{Pool: "us-gov-west-1_Zz9", Delete: true}, nil }),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Pool("lazy").KeyIDs(); err != nil {
		t.Fatal(err)
	}
	if err := p.DropOldKeys(); err != nil {
		t.Fatal(err)
	}
	want := encoded(t, s.store.snapshot())

	again := emptyStore()
	for _, line := range log {
		var c change
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		if err := again.apply(c); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if err := again.apply(c); err != nil && !c.Delete {
			t.Fatalf("again, %s: %v", line, err)
		}
	}
	if got := encoded(t, again.snapshot()); got != want {
		t.Errorf("replayed\n%s\nwant\n%s", got, want)
	}
	if len(log) != 3+9 {
		t.Errorf("got %d changes, want 12", len(log))
	}
	renamed := again.server.Pool("renamed")
	if c, ok := renamed.checkSecret(testID, added.Secret); !ok || c.name != "sts-test-app-client" {
		t.Error("the secret is not there after a replay")
	}
	kid, _, err1 := renamed.KeyIDs()
	want2, _, err2 := p.KeyIDs()
	if kid != want2 || err1 != nil || err2 != nil {
		t.Errorf("key id after a replay: got %s, want %s (%v, %v)", kid, want2, err1, err2)
	}
	if again.poolByHost("auth.example.org") != renamed || again.poolByDomain("MY-PREFIX") != renamed ||
		again.poolByHost("my-prefix.auth.eu-central-1.amazoncognito.com") != renamed || again.poolByDomain("auth.example.com") != nil {
		t.Error("the domains are not as they were")
	}
}

// TestNothingHappensThatIsNotKept lets the recorder fail.
func TestNothingHappensThatIsNotKept(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithPool(Pool{Name: "lazy"}), WithoutListener())
	p, lazy := s.Pool("s2s-test"), s.Pool("lazy")
	if err := p.RotateKeysTo(testKeys()[2], 1); err != nil {
		t.Fatal(err)
	}
	before := encoded(t, s.store.snapshot())
	full := errors.New("disk full")
	s.store.recorder = recorderFunc(func(change) error { return full })
	_, err := p.AddClientSecret(testID)
	_, _, keys := lazy.KeyIDs()
	for what, err := range map[string]error{
		"AddClientSecret":    err,
		"DeleteClientSecret": p.DeleteClientSecret("two-secrets"),
		"RemoveScope":        p.RemoveScope("demo/read.file"),
		"RotateKeysTo":       p.RotateKeysTo(testKeys()[1], 1),
		"DropOldKeys":        p.DropOldKeys(),
		"keys made lazily":   keys,
		"edit":               p.edit(func(r *poolRecord) error { r.Name = "x"; return nil }),
	} {
		if _, ok := errors.AsType[*recordError](err); !ok || !errors.Is(err, full) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: got %v, want the recorder's error", what, err)
		}
	}
	if got := encoded(t, s.store.snapshot()); got != before {
		t.Errorf("the model is\n%s\nwant\n%s", got, before)
	}
	if resp, body := exchange(t, s.Transport(), http.MethodGet, lazy.JWKSURL(), "", nil); resp.StatusCode != http.StatusInternalServerError || body != "" {
		t.Errorf("keys that cannot be kept: got %d %s, want 500", resp.StatusCode, body)
	}
	s.store.recorder = forget{}
	if _, _, err := lazy.KeyIDs(); err != nil {
		t.Errorf("after the fault: got %v, want keys", err)
	}
}

// TestReadersDoNotWaitForTheDisk asks for tokens while a change is written.
func TestReadersDoNotWaitForTheDisk(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	writing, written := make(chan struct{}), make(chan struct{})
	s.store.recorder = recorderFunc(func(change) error {
		close(writing)
		<-written
		return nil
	})
	p := s.Pool("s2s-test")
	done := make(chan error)
	go func() {
		_, err := p.AddClientSecret(testID)
		done <- err
	}()
	<-writing
	getToken(t, s, "demo/read.file")
	if n := len(p.client(testID).record.Secrets); n != 1 {
		t.Errorf("before the change is kept: got %d secrets, want 1", n)
	}
	if _, body := exchange(t, s.Transport(), http.MethodGet, p.JWKSURL(), "", nil); !strings.Contains(body, "RS256") {
		t.Errorf("got %s, want the keys", body)
	}
	close(written)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := len(p.client(testID).record.Secrets); n != 2 {
		t.Errorf("afterwards: got %d secrets, want 2", n)
	}
}

func TestDeletedPoolsDoNoHarm(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	p := s.Pool("s2s-test")
	getToken(t, s, "")
	tokenURL, jwksURL := p.TokenURL(), p.JWKSURL()
	if err := s.store.commit(func() (change, error) { return change{Pool: p.ID(), Delete: true}, nil }); err != nil {
		t.Fatal(err)
	}
	_, secret := p.AddClientSecret(testID)
	_, token := p.Mint(MintSpec{})
	_, signature := p.Sign(nil)
	for what, err := range map[string]error{
		"AddClientSecret":    secret,
		"DeleteClientSecret": p.DeleteClientSecret("two-secrets"),
		"RemoveScope":        p.RemoveScope("demo/read.file"),
		"RotateKeysTo":       p.RotateKeysTo(testKeys()[1], 1),
		"Mint":               token,
		"Sign":               signature,
		"edit":               p.edit(func(*poolRecord) error { return nil }),
		"replay":             s.store.apply(change{Pool: p.ID(), Clients: []*clientRecord{{ID: "x"}}}),
		"deleted twice":      s.store.commit(func() (change, error) { return change{Pool: p.ID(), Delete: true}, nil }),
	} {
		if err == nil {
			t.Errorf("%s: got no error", what)
		}
	}
	if err := p.DropOldKeys(); err != nil { // there are none
		t.Error(err)
	}
	p.SetFault(TokenEndpoint)
	for what, got := range map[string]string{
		"Server.TokenURL": s.TokenURL(), "Server.Issuer": s.Issuer(), "Server.JWKSURL": s.JWKSURL(),
		"TokenURL": p.TokenURL(), "CognitoTokenURL": p.CognitoTokenURL(), "Client": p.Client(testID).Secret, "ClientNames": strings.Join(p.ClientNames(), ","),
	} {
		if got != "" {
			t.Errorf("%s: got %s, want nothing", what, got)
		}
	}
	if s.Pool("s2s-test") != nil || s.Pool(p.ID()) != nil || len(s.Pools()) != 0 || len(s.store.clients) != 0 || s.store.hasRegion("eu-central-1") {
		t.Error("the pool is still found")
	}
	if p.ID() != testPoolID || p.Name() != "s2s-test" || p.Counts().TokensIssued != 1 || s.Counts().TokensIssued != 1 {
		t.Errorf("got %s %s %+v %+v, want what was", p.ID(), p.Name(), p.Counts(), s.Counts())
	}
	for address, want := range map[string]int{tokenURL: 405, s.URL() + tokenPath: 404, jwksURL: 400} {
		method := http.MethodPost
		if address == jwksURL {
			method = http.MethodGet
		}
		if resp, body := exchange(t, s.Transport(), method, address, cc, basic()); resp.StatusCode != want {
			t.Errorf("%s: got %d %s, want %d", address, resp.StatusCode, body, want)
		}
	}
}

// TestKeysAreMadeOnceAndForOnePool asks two pools at once, many times.
func TestKeysAreMadeOnceAndForOnePool(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(Pool{Name: "one"}), WithPool(Pool{Name: "two"}), WithoutListener())
	var mu sync.Mutex
	var made []string
	s.store.recorder = recorderFunc(func(c change) error {
		mu.Lock()
		defer mu.Unlock()
		for _, k := range c.Keys {
			made = append(made, k.AccessToken.N.String(), k.IDToken.N.String())
		}
		return nil
	})
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			if _, _, err := s.Pools()[i%2].KeyIDs(); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	slices.Sort(made)
	if len(made) != 4 || len(slices.Compact(made)) != 4 {
		t.Errorf("got %d keys, want 4 different ones", len(made))
	}
}

func TestChangesThatContradictTheModel(t *testing.T) {
	t.Parallel()
	store := emptyStore()
	record := func(id, domain string) *poolRecord {
		return &poolRecord{ID: id, Domains: []domainRecord{{Name: domain}}}
	}
	if err := store.apply(change{Pool: testPoolID, Put: record(testPoolID, "taken")}); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]change{
		"there is no user pool eu-west-1_a":                   {Pool: "eu-west-1_a"},
		"there is no user pool eu-west-1_b":                   {Pool: "eu-west-1_b", Delete: true},
		"contradicts itself":                                  {Pool: "eu-west-1_c", Put: record("eu-west-1_d", "x")},
		"the change of user pool x":                           {Pool: "x", Put: record("x", "x")},
		"eu-central-1_Ab3dEf9hI contradicts":                  {Pool: testPoolID, Delete: true, Put: record(testPoolID, "x")},
		`"taken" belongs to user pool eu-central-1_Ab3dEf9hI`: {Pool: "eu-west-1_e", Put: record("eu-west-1_e", "taken")},
	} {
		if err := store.apply(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(testKeys()[0].AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	twice := base64.StdEncoding.EncodeToString(der)
	for text, want := range map[string]string{
		`{"keys": 1}`:                                   "cannot unmarshal",
		`{"keys": [["!", "!"]]}`:                        "illegal base64",
		`{"keys": [["AAAA", "AAAA"]]}`:                  "key pair 0 cannot be read",
		`{"keys": [[]]}`:                                "key pair 0 cannot be read",
		`{"keys": [["` + twice + `","` + twice + `"]]}`: "key pair 0: the keys of a pair are two keys",
	} {
		var c change
		if err := json.Unmarshal([]byte(text), &c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %q", text, err, want)
		}
	}
	if _, err := json.Marshal(keyPairs{{AccessToken: &rsa.PrivateKey{}, IDToken: &rsa.PrivateKey{}}}); err == nil {
		t.Error("a key that cannot be encoded: got no error")
	}
}

func TestChangesPrintNoSecrets(t *testing.T) {
	t.Parallel()
	c := testPool().completed(DropScopes, 0).change(testNow)
	private := c.Keys[0].AccessToken.D.String()
	for _, v := range []any{c, &c, c.Clients[0], c.Clients[0].Secrets, c.Keys} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, testSecret) || strings.Contains(text, private) {
				t.Errorf("%T with %s: a secret is in it", v, verb)
			}
		}
	}
}

func TestSecretsHaveAnIDEach(t *testing.T) {
	t.Parallel()
	secrets := testPool().completed(DropScopes, 0).change(testNow).Clients[1].Secrets
	if len(secrets) != 2 || secrets[0].ID != "twosecrets--1795348800000" || secrets[1].ID != "twosecrets--1795348800001" || !secrets[0].Created.Equal(testNow) {
		t.Errorf("got %+v, want ids of the client and the time of creation, each its own", secrets)
	}
}

// TestClientsOfTwoPools has the same client id in two pools, as a configuration may.
func TestClientsOfTwoPools(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithoutListener(), WithPool(Pool{Name: "one", Clients: testPool().Clients[4:5]}), WithPool(Pool{Name: "two", Clients: testPool().Clients[4:5]}))
	one, two := s.Pools()[0], s.Pools()[1]
	if got := s.store.poolsOfClient("public"); !slices.Equal(got, []*UserPool{one, two}) {
		t.Errorf("got %v, want both pools", got)
	}
	if err := one.commit(func() (change, error) { return change{DeletedClients: []string{"public"}}, nil }); err != nil {
		t.Fatal(err)
	}
	if got := s.store.poolsOfClient("public"); !slices.Equal(got, []*UserPool{two}) {
		t.Errorf("got %v, want the second pool", got)
	}
}

// TestClientsThatAreNotThere: the methods of a pool say so.
func TestClientsThatAreNotThere(t *testing.T) {
	t.Parallel()
	p := newServer(t, WithPool(testPool()), WithoutListener()).Pool("s2s-test")
	_, unknown := p.AddClientSecret("nobody")
	_, public := p.AddClientSecret("public")
	for want, err := range map[string]error{
		`pool s2s-test has no client "nobody"`:          unknown,
		"a public client cannot get a secret":           public,
		`cognitotest: pool s2s-test has no client "x"`:  p.DeleteClientSecret("x"),
		"the last secret of a client cannot be deleted": p.DeleteClientSecret("web"),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if c, ok := p.checkSecret("public", ""); c == nil || !ok {
		t.Error("a public client without a secret is refused")
	}
	if c, ok := p.checkSecret("public", testSecret); c == nil || ok {
		t.Error("a public client with a secret is accepted")
	}
}
