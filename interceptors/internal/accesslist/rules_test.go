// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package accesslist

import (
	"fmt"
	"testing"
)

const everyKind = `{
  "deny": [
    {"clients": ["out", "both"], "reason": "key leaked"},
    {"clients": ["out1"], "issuer": "https://issuer.test/pool1", "reason": "left"},
    {"clients": ["narrow", "reader", "both"], "methods": ["/demo.files.v1.FileWriteService/DeleteFile"], "reason": "no deletes"},
    {"clients": ["narrow1"], "issuer": "https://issuer.test/pool1", "methods": ["demo.files.v1.FileWriteService"]},
    {"methods": ["/acme.v1.Admin/Purge", "acme.v1.Old"], "reason": "incident"},
    {"token_ids": ["stolen"], "reason": "seen in a log"},
    {"clients": ["reader"], "issuer": "https://issuer.test/pool2"},
    {"clients": ["narrow1"], "issuer": "https://issuer.test/pool1", "methods": ["/acme.v1.Admin/List"]}
  ],
  "allow": [
    {"clients": ["reader", "out"], "methods": ["demo.files.v1.FileReadService", "acme.v1.Old"]},
    {"clients": ["reader"], "issuer": "https://issuer.test/pool1", "methods": ["/demo.files.v1.FileWriteService/WriteFile", "/demo.files.v1.FileWriteService/DeleteFile"]},
    {"clients": ["writer1"], "issuer": "https://issuer.test/pool1", "methods": ["/demo.files.v1.FileWriteService/WriteFile"]},
    {"clients": ["reader"], "methods": ["acme.v1.Other"]}
  ]
}`

func TestDecide(t *testing.T) {
	t.Parallel()
	l := newFile(t, everyKind).open(Config{})
	ok := Decision{Verdict: Permitted}
	token := func(entry, reason string) Decision { return Decision{TokenDenied, entry, reason} }
	method := func(entry, reason string) Decision { return Decision{MethodDenied, entry, reason} }
	for _, tt := range []struct {
		name, issuer, client, method string
		want                         Decision
	}{
		{"a client that nobody names", issuer1, "other", readMethod, ok},
		{"a client id in another case", issuer1, "OUT", readMethod, ok},
		{"a denied client", issuer1, "out", readMethod, token("deny[0]", "key leaked")},
		{"a denied client of any issuer", issuer2, "out", readMethod, token("deny[0]", "key leaked")},
		{"deny wins over allow", issuer1, "out", readMethod, token("deny[0]", "key leaked")},
		{"everything beats some methods", issuer1, "both", deleteMethod, token("deny[0]", "key leaked")},
		{"a denied client of one issuer", issuer1, "out1", readMethod, token("deny[1]", "left")},
		{"its namesake of another issuer", issuer2, "out1", readMethod, ok},
		{"a denied method", issuer2, "narrow", deleteMethod, method("deny[2]", "no deletes")},
		{"the method beside it", issuer2, "narrow", writeMethod, ok},
		{"a denied service", issuer1, "narrow1", writeMethod, method("deny[3]", "")},
		{"a method of a second entry", issuer1, "narrow1", "/acme.v1.Admin/List", method("deny[7]", "")},
		{"the service beside it", issuer1, "narrow1", readMethod, ok},
		{"a service denied to the namesake", issuer2, "narrow1", writeMethod, ok},
		{"a service with the denied one's name in front", issuer1, "narrow1", "/demo.files.v1.FileWriteService2/M", ok},
		{"a method closed to all", issuer2, "other", "/acme.v1.Admin/Purge", method("deny[4]", "incident")},
		{"the method beside the closed one", issuer2, "other", "/acme.v1.Admin/List", ok},
		{"a service closed to all", issuer2, "other", "/acme.v1.Old/Any", method("deny[4]", "incident")},
		{"a closed service wins over allow", issuer1, "reader", "/acme.v1.Old/Any", method("deny[4]", "incident")},
		{"an allowed service", issuer1, "reader", readMethod, ok},
		{"a service of a second allow entry", issuer1, "reader", "/acme.v1.Other/M", ok},
		{"an allowed method of this issuer", issuer1, "reader", writeMethod, ok},
		{"an allowed method that is denied", issuer1, "reader", deleteMethod, method("deny[2]", "no deletes")},
		{"a method in no allow entry", issuer1, "reader", "/acme.v1.Admin/List", method("allow[0]", "")},
		{"an allow entry of another issuer", "https://issuer.test/pool3", "reader", writeMethod, method("allow[0]", "")},
		{"denied for one issuer, allowed for all", issuer2, "reader", readMethod, token("deny[6]", "")},
		{"the only allow entry, of this issuer", issuer1, "writer1", writeMethod, ok},
		{"beside the only allow entry, of this issuer", issuer1, "writer1", readMethod, method("allow[2]", "")},
		{"the only allow entry, of another issuer", issuer2, "writer1", readMethod, ok},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := l.Decide(Caller{tt.issuer, tt.client, "jti"}, tt.method); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if got, want := l.Decide(Caller{tt.issuer, tt.client, ""}, tt.method), tt.want; got != want {
				t.Errorf("without a token id: got %+v, want %+v", got, want)
			}
			stolen := l.Decide(Caller{tt.issuer, tt.client, "stolen"}, tt.method)
			if want := token("deny[5]", "seen in a log"); stolen != want {
				t.Errorf("with a stolen token: got %+v, want %+v", stolen, want)
			}
		})
	}
}

// TestIncompleteQuestions: what the entries cannot be compared with is not permitted.
func TestIncompleteQuestions(t *testing.T) {
	t.Parallel()
	l := newFile(t, empty).open(Config{})
	if got, want := l.Decide(caller("a"), readMethod), (Decision{Verdict: Permitted}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	for _, c := range []Caller{{}, {Issuer: issuer1, TokenID: "t"}, {ClientID: "a", TokenID: "t"}} {
		if got, want := l.Decide(c, readMethod), (Decision{Reason: "the caller has no client id or no issuer"}); got != want {
			t.Errorf("Decide(%+v): got %+v, want %+v", c, got, want)
		}
	}
	for _, method := range []string{"", "/", "//", "/pkg.Svc", "/pkg.Svc/", "//M", "pkg.Svc/M", "x/pkg.Svc/M", "//pkg.Svc/M", "/pkg.Svc//M", "/pkg.Svc/M/", "/x/../pkg.Svc/M"} {
		if got, want := l.Decide(caller("a"), method), (Decision{Reason: "the method is not of the form /pkg.Service/Method"}); got != want {
			t.Errorf("Decide(%q): got %+v, want %+v", method, got, want)
		}
	}
}

// TestNoList: neither nil nor the zero value permits anything.
func TestNoList(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]*List{"nil": nil, "zero": {}} {
		if got, want := l.Decide(caller("a"), readMethod), (Decision{Reason: "no access list is in effect"}); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
		if got := l.Generation(); got != 0 {
			t.Errorf("%s: got generation %d", name, got)
		}
		if got, want := l.Stats(), (Stats{LastError: errNoList}); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
		if err := l.Close(); err != nil {
			t.Errorf("%s: Close: %v", name, err)
		}
	}
	var d Decision
	if d.Verdict == Permitted {
		t.Error("the zero Decision permits")
	}
}

func TestVerdictNames(t *testing.T) {
	t.Parallel()
	for v, want := range map[Verdict]string{
		Undecided: "UNDECIDED", Permitted: "PERMITTED", TokenDenied: "TOKEN_DENIED", MethodDenied: "METHOD_DENIED", 99: "UNDECIDED",
	} {
		if got := v.String(); got != want {
			t.Errorf("%d: got %s, want %s", v, got, want)
		}
		if got := fmt.Sprint(Decision{Verdict: v}); got != want {
			t.Errorf("%d: got %s, want %s", v, got, want)
		}
	}
}

// TestDecideAllocatesNothing needs a build without the race detector, which allocates
// by itself.
func TestDecideAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates on its own")
	}
	l := newFile(t, everyKind).open(Config{})
	got := testing.AllocsPerRun(100, func() {
		for _, client := range []string{"other", "out", "narrow", "reader", ""} {
			for _, method := range []string{readMethod, deleteMethod, "/acme.v1.Admin/List", "/acme.v1.Old/Any", ""} {
				if d := l.Decide(Caller{issuer1, client, "stolen?"}, method); d.Verdict == Permitted && d.Entry != "" {
					t.Error("an entry permits")
				}
			}
		}
		if d := l.Decide(Caller{issuer1, "other", "stolen"}, readMethod); d.Verdict != TokenDenied {
			t.Error("a stolen token passes")
		}
	})
	if got != 0 {
		t.Errorf("Decide makes %v allocations, want 0", got)
	}
}
