// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// startOn starts a server without a listener on a state file. The test may close it early.
func startOn(tb testing.TB, path string, opts ...Option) *Server {
	tb.Helper()
	return newServer(tb, append([]Option{WithoutListener(), WithStateFile(path)}, opts...)...)
}

func closeServer(tb testing.TB, s *Server) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

func stateIn(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "state")
}

func TestStateFileKeepsEverything(t *testing.T) {
	t.Parallel()
	path := stateIn(t)
	s := startOn(t, path, WithPool(testPool()), WithPool(Pool{Name: "lazy"}), WithKeys(testKeys()[1]))
	if notices := s.Notices(); len(notices) > 0 {
		t.Errorf("new file: got notices %q, want none", notices)
	}
	token := getToken(t, s, "")
	for round, change := range []func(s *Server) error{
		func(*Server) error { return nil },
		func(s *Server) error { _, err := s.Pool("s2s-test").AddClientSecret(testID); return err },
		func(s *Server) error { return s.Pool("s2s-test").DeleteClientSecret("two-secrets") },
		func(s *Server) error { return s.Pool("s2s-test").RotateKeysTo(testKeys()[2], 1) },
		func(s *Server) error { return s.Pool("s2s-test").RemoveScope("demo/write.file") },
		func(s *Server) error {
			return s.Pool("s2s-test").commit(func() (change, error) { return change{DeletedClients: []string{"web"}}, nil })
		},
		func(s *Server) error { _, err := s.Pool("s2s-test").AddClientSecret("a+b_c"); return err },
		func(s *Server) error {
			return s.store.commit(func() (change, error) { return change{Pool: s.Pool("lazy").ID(), Delete: true}, nil })
		},
		func(s *Server) error { return s.Pool("s2s-test").DropOldKeys() },
	} {
		if err := change(s); err != nil {
			t.Fatalf("change %d: %v", round, err)
		}
		want := encoded(t, s.store.snapshot())
		_, keys := fetchKeys(t, s, s.JWKSURL())
		wantVerified := verify(t, token, keys) == nil
		if round == 3 && !wantVerified {
			t.Fatal("the old key is not there after a rotation")
		}
		closeServer(t, s)
		s = startOn(t, path)
		if got := encoded(t, s.store.snapshot()); got != want {
			t.Fatalf("after change %d and a restart: got\n%s\nwant\n%s", round, got, want)
		}
		_, keys = fetchKeys(t, s, s.JWKSURL())
		if err := verify(t, token, keys); (err == nil) != wantVerified {
			t.Errorf("after change %d and a restart: token: got %v, want it to verify: %v", round, err, wantVerified)
		}
		if notices := s.Notices(); len(notices) > 0 {
			t.Errorf("after change %d and a restart: got notices %q, want none", round, notices)
		}
		getToken(t, s, "demo/read.file")
	}
}

// TestStateFileKeepsLazyKeys has keys that are made by the first token.
func TestStateFileKeepsLazyKeys(t *testing.T) {
	t.Parallel()
	path := stateIn(t)
	s := startOn(t, path) // the demo pool
	token := getToken(t, s, "")
	closeServer(t, s)
	s = startOn(t, path)
	_, keys := fetchKeys(t, s, s.JWKSURL())
	if err := verify(t, token, keys); err != nil {
		t.Errorf("token of before the restart: %v", err)
	}
}

func TestStateFileWinsOverTheConfiguration(t *testing.T) {
	t.Parallel()
	path, config := stateIn(t), filepath.Join(t.TempDir(), "config.json")
	putFile(t, config, []byte(`{"pools": [{"name": "from-file", "domain": "from-file"}]}`))
	opts := []Option{WithPool(testPool()), WithConfigFile(config), WithKeys(testKeys()[1])}
	s := startOn(t, path, opts...)
	if got, want := names(s), "s2s-test from-file"; got != want {
		t.Fatalf("new file: got pools %s, want %s", got, want)
	}
	kid, _, err := s.Pool("from-file").KeyIDs()
	noError(t, err)
	closeServer(t, s)

	putFile(t, config, []byte(`{"pools": [{"name": "another", "domain": "another"}]}`))
	s = startOn(t, path, append(opts[1:2:2], WithKeys(testKeys()[2]))...)
	if got, want := names(s), "s2s-test from-file"; got != want {
		t.Errorf("file and configuration: got pools %s, want %s", got, want)
	}
	if got, _, err := s.Pool("from-file").KeyIDs(); got != kid || err != nil {
		t.Errorf("got key %s, %v, want %s as before", got, err, kid)
	}
	if notices := s.Notices(); len(notices) != 1 || !strings.Contains(notices[0], path) || !strings.Contains(notices[0], "not used") {
		t.Errorf("got notices %q, want one that the configuration is not used", notices)
	}
	closeServer(t, s)
	s = startOn(t, path, WithDisallowedScopes(RejectScopes))
	if notices := s.Notices(); len(notices) != 1 {
		t.Errorf("another handling of scopes: got notices %q, want one", notices)
	}
	closeServer(t, s)

	// A wrong configuration is an error all the same.
	putFile(t, config, []byte(`{"pools": [{"title": "x"}]}`))
	if _, err := NewServer(WithoutListener(), WithStateFile(path), WithConfigFile(config)); err == nil {
		t.Error("wrong configuration: got no error")
	}
}

func names(s *Server) string {
	var out []string
	for _, p := range s.Pools() {
		out = append(out, p.Name())
	}
	return strings.Join(out, " ")
}

// TestStateFileWithoutPools is not seeded again.
func TestStateFileWithoutPools(t *testing.T) {
	t.Parallel()
	path := stateIn(t)
	s := startOn(t, path)
	noError(t, s.store.commit(func() (change, error) { return change{Pool: s.Pools()[0].ID(), Delete: true}, nil }))
	closeServer(t, s)
	for range 2 { // the second time it has been written anew
		s = startOn(t, path)
		if n := len(s.Pools()); n != 0 {
			t.Errorf("got %d pools, want none: they were deleted", n)
		}
		s.journal.slack = 0
		s.journal.tidy()
		closeServer(t, s)
	}
	if got := string(getFile(t, path)); got != journalHeader {
		t.Errorf("written anew: got %q, want no entries", got)
	}
}

func TestStateFileIsWrittenAnew(t *testing.T) {
	t.Parallel()
	path := stateIn(t)
	s := startOn(t, path, WithPool(testPool()))
	s.journal.slack = 1000
	p := s.Pool("s2s-test")
	longest := int64(0)
	for range 100 {
		_, err := p.AddClientSecret(testID)
		noError(t, err)
		noError(t, p.DeleteClientSecret(testID))
		longest = max(longest, s.journal.end)
	}
	want := encoded(t, s.store.snapshot())
	if content := int64(len(want)); longest > 3*content+2000 {
		t.Errorf("got up to %d bytes for a content of %d", longest, content)
	}
	closeServer(t, s)
	s = startOn(t, path)
	if got := encoded(t, s.store.snapshot()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestStateFileIsTidiedAtStart has a file that an earlier run has left long.
func TestStateFileIsTidiedAtStart(t *testing.T) {
	t.Parallel()
	path := stateIn(t)
	pool := []byte(encoded(t, testPool().completed(DropScopes, 0).change(testNow)))
	var payloads [][]byte
	for length := 0; length < journalSlack+3*len(pool); length += len(pool) {
		payloads = append(payloads, pool)
	}
	data, _, err := encodeJournal(payloads)
	noError(t, err)
	putFile(t, path, data)
	closeServer(t, startOn(t, path))
	want, _, err := encodeJournal(payloads[:1])
	noError(t, err)
	if got := getFile(t, path); !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want the %d of one pool", len(got), len(want))
	}
}

func TestStateFileOfOneServer(t *testing.T) {
	t.Parallel()
	path := stateIn(t)
	first := newServer(t, WithStateFile(path)) // with a listener
	_, err := NewServer(WithStateFile(path))
	if err == nil || !strings.Contains(err.Error(), "in use by another server") {
		t.Fatalf("second server: got %v, want that the file is in use", err)
	}
	getToken(t, first, "")
	closeServer(t, first)
	if _, err := first.Pools()[0].AddClientSecret("sts-test-app-client"); !errors.Is(err, errJournalClosed) {
		t.Errorf("change after Close: got %v, want %v", err, errJournalClosed)
	}
	second := newServer(t, WithStateFile(path))
	if n := len(second.store.snapshot()[0].Clients[0].Secrets); n != 1 {
		t.Errorf("got %d secrets, want 1", n)
	}
}

// TestStateFileOfAFailedStart must not be there: it would win over the
// configuration that is put right.
func TestStateFileOfAFailedStart(t *testing.T) {
	t.Parallel()
	taken := newServer(t)
	addr := strings.TrimPrefix(taken.URL(), "http://")
	path := stateIn(t)
	for name, opts := range map[string][]Option{
		"address in use":      {WithAddr(addr)},
		"wrong configuration": {WithPool(Pool{ID: "x"})},
		"pools with the same": {WithPool(testPool()), WithPool(testPool())},
	} {
		s, err := NewServer(append(opts, WithStateFile(path))...)
		if err == nil {
			closeServer(t, s)
			t.Errorf("%s: got no error", name)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want no file", name, err)
		}
	}
	// The other way round, the port is given back. A free port can be anybody's the
	// next moment: then another one is tried.
	closeServer(t, taken)
	putFile(t, path, []byte("something else\n"))
	tries := 0
	for !portGivenBack(t, path) {
		if tries++; tries == 5 {
			t.Fatal("wrong file: the port is still taken")
		}
	}
	noError(t, os.Remove(path))
	startOn(t, path) // the lock was given back
}

// portGivenBack lets a start on a free port fail for the state file, and reports
// whether the port is free again.
func portGivenBack(t *testing.T, wrongFile string) bool {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	addr := ln.Addr().String()
	noError(t, ln.Close())
	_, err = NewServer(WithAddr(addr), WithStateFile(wrongFile))
	if err == nil {
		t.Fatal("wrong file: got no error")
	}
	if !strings.Contains(err.Error(), "no state file of cognitotest") {
		return false // the port was taken already
	}
	if ln, err = net.Listen("tcp", addr); err != nil {
		return false
	}
	noError(t, ln.Close())
	return true
}

// TestStateThatCannotBeWritten refuses the change and keeps serving.
func TestStateThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	path := stateIn(t)
	var reported []error
	s := startOn(t, path, WithPool(testPool()), WithStateErrors(func(err error) { reported = append(reported, err) }))
	before := encoded(t, s.store.snapshot())
	full := errors.New("no space left on device")
	works := s.journal.file
	s.journal.file = &faultyFile{journalFile: works, write: full, half: true}
	_, err := s.Pool("s2s-test").AddClientSecret(testID)
	if !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
	if got := encoded(t, s.store.snapshot()); got != before {
		t.Errorf("got\n%s\nwant what was there before\n%s", got, before)
	}
	getToken(t, s, "demo/read.file")
	s.journal.file = works
	if len(reported) != 1 || !errors.Is(reported[0], full) {
		t.Errorf("got reports %v, want one of %v", reported, full)
	}
	if _, err := s.Pool("s2s-test").AddClientSecret(testID); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
	if len(reported) != 1 {
		t.Errorf("got reports %v, want none of what was kept", reported)
	}
	want := encoded(t, s.store.snapshot())
	closeServer(t, s)
	s = startOn(t, path)
	if got := encoded(t, s.store.snapshot()); got != want || len(s.Notices()) > 0 {
		t.Errorf("after a restart: got\n%s\n%q, want\n%s", got, s.Notices(), want)
	}
}

// TestStateThatIsNotOurs has files whose lines are whole.
func TestStateThatIsNotOurs(t *testing.T) {
	t.Parallel()
	const pool = `{"pool":"eu-west-1_a","put":{"id":"eu-west-1_a"}}`
	for name, tc := range map[string]struct{ line, want string }{
		"not JSON":            {`hello`, "not a change"},
		"a later version":     {`{"pool":"eu-west-1_a","put":{"id":"eu-west-1_a","mfa":true}}`, `unknown field "mfa"`},
		"no such pool":        {`{"pool":"eu-west-1_b","delete":true}`, "there is no user pool eu-west-1_b"},
		"a client is null":    {`{"pool":"eu-west-1_a","clients":[null]}`, "null"},
		"a server is null":    {`{"pool":"eu-west-1_a","resource_servers":[null]}`, "null"},
		"two changes":         {pool + pool, "more than one"},
		"nothing":             {``, "not a change"},
		"keys that are wrong": {`{"pool":"eu-west-1_a","keys":[["AAAA","AAAA"]]}`, "key pair 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := stateIn(t)
			data, _, err := encodeJournal([][]byte{[]byte(pool), []byte(tc.line)})
			noError(t, err)
			putFile(t, path, data)
			_, err = NewServer(WithoutListener(), WithStateFile(path))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path+", line 3: ") {
				t.Errorf("got %v, want %q and %q", err, tc.want, path+", line 3: ")
			}
			if !bytes.Equal(getFile(t, path), data) {
				t.Error("the file was changed")
			}
			// The lock was given back.
			putFile(t, path, nil)
			startOn(t, path, WithKeys(testKeys()[0]))
		})
	}
}

func TestClientIDs(t *testing.T) {
	t.Parallel()
	p := newServer(t, WithoutListener(), WithPool(testPool())).Pools()[0]
	ids, names := p.ClientIDs(), p.ClientNames()
	if len(ids) != len(names) || ids[0] != testID || ids[len(ids)-1] != "a+b_c" {
		t.Errorf("got %q for %q, want the id of each in the same order", ids, names)
	}
}

func TestNoticesAreCopies(t *testing.T) {
	t.Parallel()
	path := stateIn(t)
	closeServer(t, startOn(t, path))
	s := startOn(t, path, WithPool(testPool()))
	s.Notices()[0] = ""
	if s.Notices()[0] == "" {
		t.Error("the server's own slice was changed")
	}
}
