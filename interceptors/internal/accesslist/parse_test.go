// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package accesslist

import (
	"fmt"
	"strings"
	"testing"
)

// refusedFiles maps a content to what the error says: place, fault and remedy.
var refusedFiles = map[string]string{
	// Not one JSON object.
	"":                       "line 1, column 1: unexpected end of JSON input: write one complete JSON object",
	"deny: id1":              "line 1, column 1: invalid character 'd'",
	"{\n \"deny\": [\n  id":  "line 3, column 3: invalid character 'i'",
	broken:                   "line 1, column 23: unexpected end",
	`{"deny": []} {}`:        "line 1, column 14: invalid character '{'",
	`{"deny": []} x`:         "line 1, column 14: invalid character 'x'",
	`{"deny": [],}`:          "line 1, column 13: invalid character '}'",
	"\ufeff" + empty:         "line 1, column 1: invalid character",
	"{\n\"d\xff\": 1}":       "line 2, column 3: not UTF-8: save the file in that encoding",
	"{\"\ufffdx\": \"\xc3(":  "line 1, column 11: not UTF-8",
	strings.Repeat("[", 1e5): "line 1, column 10001: invalid character '[' exceeded max depth",
	`null`:                   "the file: got null: write an object with allow, deny",
	`[]`:                     "the file: got a list: write an object",

	// Members.
	`{"Deny": []}`:                                                          `unknown member "Deny": write allow, deny`,
	`{"deny": [], "allow": [], "deny": []}`:                                 "deny: comes twice: write it once",
	`{"deny": [], "d\u0065ny": []}`:                                         "deny: comes twice",
	`{"deny": [{"clients": ["a"], "clients": ["b"]}]}`:                      "deny[0].clients: comes twice",
	`{"deny": [{"client": ["a"]}]}`:                                         `deny[0]: unknown member "client": write clients, issuer, methods, reason, token_ids`,
	`{"allow": [{"clients": ["a"], "methods": ["p.S"], "token_ids": []}]}`:  `allow[0]: unknown member "token_ids": write clients, issuer, methods`,
	`{"deny": [{"clients": ["a"]}], "` + strings.Repeat("x", 200) + `": 1}`: `unknown member "` + strings.Repeat("x", 100) + `"...: write`,

	// Types.
	`{"deny": null}`:                                 "deny: got null: write a list of entries",
	`{"deny": {}}`:                                   "deny: got an object: write a list of entries",
	`{"allow": {}}`:                                  "allow: got an object: write a list of entries",
	`{"deny": ["a"]}`:                                "deny[0]: got a string: write an object with clients",
	`{"allow": ["a"]}`:                               "allow[0]: got a string: write an object with clients",
	`{"deny": [{"clients": "a"}]}`:                   "deny[0].clients: got a string: write a list of strings",
	`{"deny": [{"clients": [["a"]]}]}`:               "deny[0].clients[0]: got a list: write a string",
	`{"deny": [{"clients": ["a", 1e999]}]}`:          "deny[0].clients[1]: got a number: write a string",
	`{"deny": [{"methods": [true]}]}`:                "deny[0].methods[0]: got a boolean: write a string",
	`{"deny": [{"methods": [false]}]}`:               "deny[0].methods[0]: got a boolean: write a string",
	`{"deny": [{"token_ids": [null]}]}`:              "deny[0].token_ids[0]: got null: write a string",
	`{"deny": [{"clients": ["a"], "reason": null}]}`: "deny[0].reason: got null: write a string",

	// Empty and blank.
	`{"deny": [{"clients": []}]}`:                                           "deny[0].clients: empty list: write at least one value, or remove the entry",
	`{"deny": [{}, {"clients": ["b"]}]}`:                                    "deny[0]: denies nobody or everybody: write clients, methods or token_ids",
	`{"deny": [{"reason": "why"}]}`:                                         "deny[0]: denies nobody or everybody",
	`{"deny": [{"issuer": "https://i.test/p"}]}`:                            "deny[0]: denies nobody or everybody",
	`{"deny": [{"clients": ["a"]}, {"clients": ["b"]}, {"clients": [""]}]}`: "deny[2].clients[0]: empty or blank: write a value, or remove it",
	`{"deny": [{"token_ids": [" \t"]}]}`:                                    "deny[0].token_ids[0]: empty or blank",
	`{"deny": [{"methods": ["p.S", ""]}]}`:                                  "deny[0].methods[1]: empty or blank",
	`{"deny": [{"clients": ["a"], "reason": "\u00a0"}]}`:                    "deny[0].reason: empty or blank",
	`{"deny": [{"clients": ["a"], "issuer": ""}]}`:                          "deny[0].issuer: empty or blank",
	`{"allow": [{}]}`:                                                       "allow[0]: no clients: write those who may call nothing but the methods",
	`{"allow": [{"methods": ["p.S"]}]}`:                                     "allow[0]: no clients",
	`{"allow": [{"clients": ["a"]}]}`:                                       "allow[0]: no methods: write those that the clients may call",
	`{"allow": [{"clients": ["a"], "methods": []}]}`:                        "allow[0].methods: empty list",
	`{"allow": [{"clients": [" "], "methods": ["p.S"]}]}`:                   "allow[0].clients[0]: empty or blank",

	// Members that do not go together.
	`{"deny": [{"token_ids": ["t"], "clients": ["a"]}]}`:             "deny[0]: token_ids beside clients or methods: write two entries",
	`{"deny": [{"token_ids": ["t"], "methods": ["p.S"]}]}`:           "deny[0]: token_ids beside clients or methods",
	`{"deny": [{"token_ids": ["t"], "issuer": "https://i.test/p"}]}`: "deny[0].issuer: without clients: write the clients of this issuer",
	`{"deny": [{"methods": ["p.S"], "issuer": "https://i.test/p"}]}`: "deny[0].issuer: without clients",

	// Identifiers that no token has.
	`{"allow": [{"clients": ["id1 "], "methods": ["p.S"]}]}`: "allow[0].clients[0]: spaces around it",
	`{"deny": [{"clients": ["id1 "]}]}`:                      "deny[0].clients[0]: spaces around it: write it without",
	`{"deny": [{"clients": ["\tid1"]}]}`:                     "deny[0].clients[0]: spaces around it",
	`{"deny": [{"clients": ["id\u200b1"]}]}`:                 "deny[0].clients[0]: holds a character that is not printable: type it anew",
	`{"deny": [{"clients": ["id\ud800"]}]}`:                  "deny[0].clients[0]: holds a character that is not printable",
	`{"deny": [{"token_ids": ["a\u0000"]}]}`:                 "deny[0].token_ids[0]: holds a character that is not printable",
	`{"deny": [{"token_ids": ["eyJh.eyJi.c2ln"]}]}`:          "deny[0].token_ids[0]: this is a token: write its jti claim",
}

func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	for content, want := range refusedFiles {
		t.Run(fmt.Sprintf("%.80s", content), func(t *testing.T) {
			t.Parallel()
			wantRefused(t, content, want)
			f := newFile(t, content)
			f.refuses("accesslist: " + f.path + ": " + want)
		})
	}
}

func wantRefused(t *testing.T, content, want string) {
	t.Helper()
	doc, err := parse([]byte(content), known{})
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%.200s: got %v, error\n     %v\nwant %s", content, doc, err, want)
	}
}

// TestRefusedIssuers: an issuer that no server can have makes an entry without effect.
func TestRefusedIssuers(t *testing.T) {
	t.Parallel()
	const notOne, slash, upper = "not an issuer: write the iss claim, https://host/path", "ends with a slash", "has upper case"
	for issuer, want := range map[string]string{
		"pool1": notOne, "issuer.test/pool1": notOne, "https:///pool1": notOne, "ftp://issuer.test/p": notOne,
		"http://issuer.test/p": notOne, "http://127.0.0.1.issuer.test": notOne, "http://8.8.8.8/p": notOne,
		"https://user@issuer.test/p": notOne, "https://issuer.test/p?": notOne, "https://issuer.test/p?a=b": notOne,
		"https://issuer.test/p#": notOne, "https://issuer.test:port/p": notOne, "https:issuer.test/p": notOne,
		"https://issuer.test/p/": slash, "https://issuer.test/": slash,
		"https://Issuer.test/p": upper, "HTTPS://issuer.test/p": upper,
		"\thttps://issuer.test/p": "spaces around it",
	} {
		for _, form := range []string{`{"deny": [{"clients": ["a"], "issuer": %q}]}`, `{"allow": [{"clients": ["a"], "methods": ["p.S"], "issuer": %q}]}`} {
			wantRefused(t, fmt.Sprintf(form, issuer), "[0].issuer: "+want)
		}
	}
	for _, issuer := range []string{
		issuer1, "https://issuer.test", "https://issuer.test:8443/Pool_1", "http://localhost:1/p", "http://127.0.0.1:1/p", "http://[::1]:1/p",
		"https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example",
	} {
		if _, err := parse(fmt.Appendf(nil, `{"deny": [{"clients": ["a"], "issuer": %q}]}`, issuer), known{}); err != nil {
			t.Errorf("%s: got %v, want it accepted", issuer, err)
		}
	}
}

func TestRefusedMethods(t *testing.T) {
	t.Parallel()
	const notOne, wildcard = "not a method: write /pkg.Service/Method, or pkg.Service for all its methods", "wildcards mean nothing: write pkg.Service"
	for method, want := range map[string]string{
		"pkg.Svc/M": notOne, "/pkg.Svc": notOne, "/pkg.Svc/": notOne, "//pkg.Svc/M": notOne, "/pkg.Svc//M": notOne, "/pkg.Svc/M/": notOne,
		"pkg.Svc.": notOne, ".pkg.Svc": notOne, "pkg..Svc": notOne, "/": notOne, "pkg Svc": notOne, " pkg.Svc": notOne, "pkg.Svc\n": notOne,
		"/pkg.Svc/M.N": notOne, "/pkg.1Svc/M": notOne, "/pkg.Svc/%4d": notOne, "/pkg.Svc/M|N": notOne, "/pkg.Svc/1M": notOne, "pkg.Svc/M, pkg.Svc/N": notOne,
		"*": wildcard, "pkg.*": wildcard, "/pkg.Svc/*": wildcard, "/pkg.Svc/Get?": wildcard,
	} {
		for _, form := range []string{`{"deny": [{"methods": ["p.S", %q]}]}`, `{"allow": [{"clients": ["a"], "methods": ["p.S", %q]}]}`} {
			wantRefused(t, fmt.Sprintf(form, method), "[0].methods[1]: "+want)
		}
	}
	for _, method := range []string{"pkg.Svc", "Svc", "/Svc/M", "/a_1.B2.C_/D_3", readMethod} {
		if _, err := parse(fmt.Appendf(nil, `{"deny": [{"methods": [%q]}]}`, method), known{}); err != nil {
			t.Errorf("%s: got %v, want it accepted", method, err)
		}
	}
}

// TestUnknownMethods: what the server does not have is refused in either list.
func TestUnknownMethods(t *testing.T) {
	t.Parallel()
	has := func(name string) bool { return name == "p.S" || name == "/p.S/M" }
	for _, form := range []string{`{"deny": [{"methods": ["p.S", "/p.S/M", %q]}]}`, `{"allow": [{"clients": ["a"], "methods": ["p.S", "/p.S/M", %q]}]}`} {
		for _, unknown := range []string{"p.T", "/p.S/m", "/p.S/" + strings.Repeat("M", 200)} {
			_, err := parse(fmt.Appendf(nil, form, unknown), known{method: has})
			want := fmt.Sprintf("[0].methods[2]: no registered method or service %.*q", 100, unknown)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), ": check its spelling") {
				t.Errorf("%s: got %v, want %s", unknown, err, want)
			}
		}
		if _, err := parse(fmt.Appendf(nil, form, "p.S"), known{method: has}); err != nil {
			t.Errorf("got %v, want known names accepted", err)
		}
	}
}

// TestUnknownIssuers: an entry for an issuer that the server does not have would do
// nothing.
func TestUnknownIssuers(t *testing.T) {
	t.Parallel()
	has := known{issuer: func(issuer string) bool { return issuer == issuer1 }}
	for _, form := range []string{`{"deny": [{"clients": ["a"], "issuer": %q}]}`, `{"allow": [{"clients": ["a"], "methods": ["p.S"], "issuer": %q}]}`} {
		_, err := parse(fmt.Appendf(nil, form, "https://other.test/p"), has)
		if want := `[0].issuer: the server takes no tokens of "https://other.test/p": check its spelling`; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, err := parse(fmt.Appendf(nil, form, issuer1), has); err != nil {
			t.Errorf("got %v, want the server's issuer accepted", err)
		}
	}
}

// TestErrorsShowNoToken: a token in the wrong place does not get into the log.
func TestErrorsShowNoToken(t *testing.T) {
	t.Parallel()
	token := "eyJ" + strings.Repeat("a", 120) + ".eyJ" + strings.Repeat("b", 600) + ".signature"
	for _, form := range []string{
		`{"deny": [{"token_ids": [%q]}]}`, `{"deny": [{"methods": [%q]}]}`, `{"deny": [{"clients": ["a"], "issuer": %q}]}`,
		`{"deny": [{"clients": %q}]}`, `{"deny": [{%q: 1}]}`, `{%q: 1}`, `%q`, `{"deny": [%q }`,
	} {
		_, err := parse(fmt.Appendf(nil, form, token), known{method: func(string) bool { return false }})
		if err == nil || strings.Contains(err.Error(), "bbb") || strings.Contains(err.Error(), "signature") {
			t.Errorf("%s: got error %v, want one without the token", form, err)
		}
	}
}

// TestAcceptedFiles: what else is fine.
func TestAcceptedFiles(t *testing.T) {
	t.Parallel()
	for content, entries := range map[string]int{
		`{}`:           0,
		empty:          0,
		"\r\n\t{ }\n":  0,
		`{"allow":[]}`: 0,
		deniesID:       1,
		`{"deny": [{"clients": ["a b", "ü", "a"], "reason": " two\nlines "}, {"token_ids": ["eyJ.x"], "reason": "r"}]}`: 2,
		`{"deny": [{"methods": ["p.S"], "reason": "r"}], "allow": [{"methods": ["p.S"], "clients": ["a"]}]}`:            2,
		`{"deny": [{"token_ids": ["a.eyJ.x", "eyJ.a.b.c"]}]}`:                                                           1,
	} {
		doc, err := parse([]byte(content), known{})
		if err != nil || len(doc.deny)+len(doc.allow) != entries {
			t.Errorf("%s: got %+v, %v, want %d entries", content, doc, err, entries)
		}
	}
}

// TestTooManyPairs: a small file cannot fill the memory.
func TestTooManyPairs(t *testing.T) {
	t.Parallel()
	list := func(n int, form string) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(form, i)
		}
		return strings.Join(all, ",")
	}
	clients := `"clients": [` + list(512, `"c%d"`) + `]`
	methods := `"methods": [` + list(512, `"s.S%d"`) + `]`
	if l := newFile(t, `{"deny": [{`+clients+`,`+methods+`}, {`+clients+`}, {`+methods+`}]}`).open(Config{}); l.Stats().Entries != 3 {
		t.Errorf("got %+v, want MaxPairs accepted", l.Stats())
	}
	const want = "names more than 262144 pairs of a client and a method: write services instead of methods"
	newFile(t, `{"deny": [{`+clients+`,`+methods+`}], "allow": [{"clients": ["a"], "methods": ["p.S"]}]}`).refuses("allow[0]: from here on the file " + want)
	newFile(t, `{"deny": [{"clients": ["a"], "methods": ["p.S"]}, {`+clients+`,`+methods+`}]}`).refuses("deny[1]: from here on the file " + want)
}
