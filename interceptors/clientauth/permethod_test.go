// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// TestPerMethodOnTheWire: each method's token has what its rule needs, and methods that
// need the same share one.
func TestPerMethodOnTheWire(t *testing.T) {
	t.Parallel()
	l := newWireLab(t, wireSetup{})
	conn := l.dial(t, PerMethod())
	files, writes := filesv1.NewFileReadServiceClient(conn), filesv1.NewFileWriteServiceClient(conn)
	for name, call := range map[string]func() error{
		"StatFile":  func() error { return stat(t.Context(), conn) },
		"ReadFile":  func() error { return read(t.Context(), conn) },
		"ListFiles": func() error { _, err := files.ListFiles(t.Context(), &filesv1.ListFilesRequest{}); return err },
		"WhoAmI":    func() error { _, err := files.WhoAmI(t.Context(), &filesv1.WhoAmIRequest{}); return err },
		"Version":   func() error { return version(t.Context(), conn) },
		"WriteFile": func() error {
			stream, err := writes.WriteFile(t.Context())
			if err == nil {
				_, err = stream.CloseAndRecv()
			}
			return err
		},
		"AppendFile": func() error {
			stream, err := writes.AppendFile(t.Context())
			if err == nil {
				_, _, err = chat(stream, true)
			}
			return err
		},
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var granted []string
	for _, request := range l.cognito.TokenRequests() {
		if !slices.Equal(request.Asked, request.Granted) {
			t.Errorf("asked for %q, got %q", request.Asked, request.Granted)
		}
		granted = append(granted, strings.Join(request.Granted, " "))
	}
	slices.Sort(granted)
	if want := []string{"demo/read.file", "demo/read.file demo/write.file", "demo/write.file"}; !slices.Equal(granted, want) {
		t.Errorf("tokens: got %q, want %q", granted, want)
	}
	if got := slices.DeleteFunc(l.server.sent("authorization"), func(values []string) bool { return len(values) == 1 }); !reflect.DeepEqual(got, [][]string{nil}) {
		t.Errorf("calls without one token: got %d, want the public one alone", len(got))
	}
}

// TestPerMethodSlots: what each method gets under rules of all kinds.
func TestPerMethodSlots(t *testing.T) {
	t.Parallel()
	p, err := policy.New(policy.WithFiles(),
		policy.WithService("x.S", "Either", "Read", "Write", "Both", "Any", "Open", "Bare"), policy.WithService("x.T", "Any", "Bare"), policy.WithService("x.U", "Any", "Wide"),
		policy.WithRule("/x.S/Either", policy.AnyOf("d/write", "d/read")), policy.WithRule("/x.S/Read", policy.AnyOf("d/read")), policy.WithRule("/x.S/Write", policy.AnyOf("d/write")),
		policy.WithRule("/x.S/Both", policy.AllOf("d/write", "d/audit")), policy.WithRule("/x.S/Any", policy.Authenticated()), policy.WithRule("/x.S/Open", policy.Public("a test")),
		policy.WithRule("/x.T/Any", policy.Authenticated()), policy.WithRule("/x.U/Any", policy.Authenticated()), policy.WithRule("/x.U/Wide", policy.AllOf("u/a", "u/b")))
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCarrier(newSource(t, &fakeEndpoint{}), PerMethod(), []Option{WithPolicy(p)})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(c.selected.slots()); got != 4 {
		t.Errorf("got places for %d tokens, want 4", got)
	}
	for method, test := range map[string]struct {
		want   []string
		public bool
		refuse []string
	}{
		"/x.S/Either":      {want: []string{"d/write"}},
		"/x.S/Read":        {want: []string{"d/read"}},
		"/x.S/Write":       {want: []string{"d/write"}},
		"/x.S/Both":        {want: []string{"d/audit", "d/write"}},
		"/x.S/Any":         {want: []string{"d/read"}},
		"/x.U/Any":         {want: []string{"u/a", "u/b"}},
		"/x.S/Open":        {public: true},
		"/x.S/Bare":        {refuse: []string{"/x.S/Bare has no access rule", "option (scopeauth.v1.method)"}},
		"/x.T/Any":         {refuse: []string{"whatever its scopes", "FixedScopes"}},
		"/x.T/Bare":        {refuse: []string{"has no access rule"}},
		"/acme.Unknown/Do": {refuse: []string{"/acme.Unknown/Do is in no descriptor", "WithPolicy"}},
		"nonsense":         {refuse: []string{"is in no descriptor"}},
	} {
		place, err := c.selected.slot(c.policy, method)
		switch {
		case len(test.refuse) > 0:
			wantReason(t, err, ReasonMethod, codes.PermissionDenied)
			for _, want := range test.refuse {
				if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "the call was not sent") {
					t.Errorf("%s: got %v, want %q in it", method, err, want)
				}
			}
		case err != nil || (place == nil) != test.public:
			t.Errorf("%s: got %v, %v", method, place, err)
		case place != nil && !slices.Equal(place.scopes, test.want):
			t.Errorf("%s: got %q, want %q", method, place.scopes, test.want)
		}
	}
	// What is refused is not sent.
	server, endpoint := newFileServer(t, true, nil), &fakeEndpoint{}
	conn := server.dial(t, newSource(t, endpoint), PerMethod(), WithPolicy(p))
	wantReason(t, stat(t.Context(), conn), ReasonMethod, codes.PermissionDenied)
	wantReason(t, read(t.Context(), conn), ReasonMethod, codes.PermissionDenied)
	wantRequests(t, endpoint, 0)
	if got := len(server.sent("")); got != 0 {
		t.Errorf("the server got %d calls, want 0", got)
	}
}

// manySets returns a policy whose methods need n different sets of scopes.
func manySets(t *testing.T, n int) *policy.Policy {
	t.Helper()
	names := []string{"Bare"}
	opts := []policy.Option{policy.WithFiles()}
	for i := range n {
		names = append(names, fmt.Sprintf("M%d", i))
		opts = append(opts, policy.WithRule(fmt.Sprintf("/x.S/M%d", i), policy.AnyOf(fmt.Sprintf("d/s%d", i))))
	}
	p, err := policy.New(append(opts, policy.WithService("x.S", names...))...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestTooManyScopeSets is an error at the start, whatever the source is.
func TestTooManyScopeSets(t *testing.T) {
	t.Parallel()
	own := func(opts ...Option) TokenSource { return newSource(t, &fakeEndpoint{}, opts...) }
	users := sourceFunc(func(context.Context, Request) (Token, error) { return Token{}, errReset })
	for name, test := range map[string]struct {
		src  TokenSource
		sets int
		want string
	}{
		"16":                             {src: own(), sets: 16},
		"17":                             {src: own(), sets: 17, want: "17 different sets"},
		"a source of one's own, 16":      {src: users, sets: 16},
		"a source of one's own, 17":      {src: users, sets: 17, want: "room for the tokens of 16"},
		"the source has room for more":   {src: own(MaxScopeSets(17)), sets: 17},
		"the source has room for less":   {src: own(MaxScopeSets(2)), sets: 3, want: "room for the tokens of 2"},
		"no rule with scopes at all":     {src: own(), sets: 0, want: "no method that the policy knows has a rule with scopes"},
		"the error says what else to do": {src: own(), sets: 17, want: "policy.WithFiles"},
	} {
		_, err := DialOptions(test.src, PerMethod(), WithPolicy(manySets(t, test.sets)))
		if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, test.want)
		}
	}
	// Connections share a source, and so its room.
	full := own(MaxScopeSets(2))
	if _, err := DialOptions(full, PerMethod(), WithPolicy(manySets(t, 2))); err != nil {
		t.Fatal(err)
	}
	if _, err := DialOptions(full, FixedScopes("d/s0")); err != nil {
		t.Errorf("a set that is there: %v", err)
	}
	_, err := DialOptions(full, FixedScopes("d/other"))
	wantReason(t, err, ReasonScopeSets, codes.Internal)
}

// TestDroppedScopesAreReportedAtOnce: Cognito leaves out what the app client may not
// have, without a word.
func TestDroppedScopesAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	names := func(t *testing.T, l *wireLab, text string) {
		t.Helper()
		for _, want := range []string{"demo/write.file", "AllowedOAuthScopes of app client " + l.client.ID} {
			if !strings.Contains(text, want) {
				t.Errorf("got %q, want %q in it", text, want)
			}
		}
	}
	t.Run("a warning", func(t *testing.T) {
		t.Parallel()
		logs := &logBuffer{}
		l := newWireLab(t, wireSetup{scopes: []string{"demo/read.file"}, source: []Option{WithLogger(logs.logger())}})
		if err := l.src.Warm(t.Context(), "demo/read.file", "demo/write.file"); err != nil {
			t.Fatal(err)
		}
		if err := l.src.Close(); err != nil { // the record is written by then
			t.Fatal(err)
		}
		names(t, l, logs.String())
		if got := strings.Count(logs.String(), "level=WARN"); got != 1 {
			t.Errorf("got %d warnings, want 1", got)
		}
	})
	t.Run("an error", func(t *testing.T) {
		t.Parallel()
		l := newWireLab(t, wireSetup{scopes: []string{"demo/read.file"}, source: []Option{RequireGrantedScopes()}})
		conn := l.dial(t, ForMethods(statFile, appendFile))
		for range 2 {
			err := stat(t.Context(), conn)
			wantReason(t, err, ReasonScopeNotGranted, codes.Unauthenticated)
			names(t, l, err.Error())
		}
		l.wantIssued(t, 1, 0)
		// Least privilege: what the client may have is not affected.
		if err := stat(t.Context(), l.dial(t, PerMethod())); err != nil {
			t.Error(err)
		}
	})
	t.Run("refused as a whole", func(t *testing.T) {
		t.Parallel()
		l := newWireLab(t, wireSetup{scopes: []string{"demo/read.file"}})
		err := l.src.Warm(t.Context(), "demo/write.file")
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		names(t, l, err.Error())
	})
	t.Run("an opaque token, and the answer's scope", func(t *testing.T) {
		t.Parallel()
		// RFC 6749, section 5.1. Cognito does not send it, as far as is known.
		for scope, missing := range map[string]bool{"": false, `,"scope":"demo/read.file demo/write.file"`: false, `,"scope":"demo/read.file"`: true, `,"scope":""`: true} {
			endpoint := &fakeEndpoint{answer: func(int, request) reply {
				return reply{body: `{"access_token":"opaque","expires_in":3600,"token_type":"Bearer"` + scope + `}`}
			}}
			logs := &logBuffer{}
			src := newSource(t, endpoint, WithLogger(logs.logger()))
			if err := src.Warm(t.Context(), "demo/read.file", "demo/write.file"); err != nil {
				t.Fatal(err)
			}
			_ = src.Close()
			if got := strings.Contains(logs.String(), "demo/write.file"); got != missing {
				t.Errorf("scope %q: got the records %q, want demo/write.file in it: %v", scope, logs.String(), missing)
			}
		}
	})
	t.Run("the token's claim counts", func(t *testing.T) {
		t.Parallel()
		endpoint := &fakeEndpoint{answer: func(int, request) reply {
			return reply{body: fmt.Sprintf(`{"access_token":%q,"expires_in":3600,"token_type":"Bearer","scope":"demo/read.file demo/write.file"}`, jwt(map[string]any{"scope": "demo/read.file"}))}
		}}
		src := newSource(t, endpoint, RequireGrantedScopes())
		wantReason(t, src.Warm(t.Context(), "demo/read.file", "demo/write.file"), ReasonScopeNotGranted, codes.Unauthenticated)
	})
}
