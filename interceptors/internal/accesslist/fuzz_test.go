// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package accesslist

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// plainFile and plainEntry are what encoding/json reads of a file.
type plainFile struct {
	Deny  []plainEntry `json:"deny,omitempty"`
	Allow []plainEntry `json:"allow,omitempty"`
}

type plainEntry struct {
	Clients  []string `json:"clients,omitempty"`
	Issuer   string   `json:"issuer,omitempty"`
	Methods  []string `json:"methods,omitempty"`
	TokenIDs []string `json:"token_ids,omitempty"`
	Reason   string   `json:"reason,omitempty"`
}

// FuzzParse: what is accepted means to the standard library what it means here, also
// when it is written anew, and each call is decided as by a search through all entries.
// The seeds are in testdata.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, content []byte, issuer, client, tokenID, method string) {
		doc, err := parse(content, known{})
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" || len(err.Error()) > 1000 {
				t.Fatalf("got an error of %d bytes", len(err.Error()))
			}
			return
		}
		plain := decodePlain(t, content)
		wantSame(t, doc, plain)
		again, err := json.Marshal(plain)
		if err != nil {
			t.Fatal(err)
		}
		if copied, err := parse(again, known{}); err != nil || !reflect.DeepEqual(copied, doc) {
			t.Fatalf("written anew as %s: got %+v, %v, want %+v", again, copied, err, doc)
		}
		compiled, err := compile(doc)
		if err != nil {
			if len(content) < 2*512*4 { // no shorter file has so many pairs
				t.Fatal(err)
			}
			return
		}
		for _, q := range questions(plain, Caller{issuer, client, tokenID}, method) {
			got, want := compiled.decide(q.caller, q.method), search(plain, q.caller, q.method)
			if got.Verdict != want {
				t.Fatalf("%+v: got %+v, want %v", q, got, want)
			}
			checkOrigin(t, doc, plain, q, got)
		}
	})
}

// decodePlain reads content with the standard library at its strictest.
func decodePlain(t *testing.T, content []byte) plainFile {
	t.Helper()
	var plain plainFile
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&plain); err != nil {
		t.Fatalf("accepted what encoding/json does not: %v", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		t.Fatalf("accepted bytes behind the end: %v", err)
	}
	return plain
}

func wantSame(t *testing.T, doc *document, plain plainFile) {
	t.Helper()
	for _, list := range []struct {
		got  []entry
		want []plainEntry
	}{{doc.deny, plain.Deny}, {doc.allow, plain.Allow}} {
		if len(list.got) != len(list.want) {
			t.Fatalf("got %d entries, want %d", len(list.got), len(list.want))
		}
		for i, e := range list.got {
			got := plainEntry{e.clients, e.issuer, e.methods, e.tokenIDs, e.reason}
			if !reflect.DeepEqual(got, list.want[i]) {
				t.Fatalf("%s: got %+v, want %+v", e.place, got, list.want[i])
			}
		}
	}
}

type question struct {
	caller Caller
	method string
}

// questions returns calls by and to whom the file names, and by and to strangers.
func questions(plain plainFile, stranger Caller, method string) []question {
	issuers, clients, tokens, methods := []string{stranger.Issuer}, []string{stranger.ClientID}, []string{stranger.TokenID}, []string{method}
	for _, e := range slices.Concat(plain.Deny, plain.Allow) {
		issuers, clients, tokens = append(issuers, e.Issuer), append(clients, e.Clients...), append(tokens, e.TokenIDs...)
		for _, m := range e.Methods {
			methods = append(methods, m, "/"+m+"/Method", strings.TrimRight(m, "abcdefghijklmnopqrstuvwxyz")+"Other")
		}
	}
	const most = 10 // of each, or a large file takes minutes
	var all []question
	for _, issuer := range issuers[:min(most, len(issuers))] {
		for _, client := range clients[:min(most, len(clients))] {
			for _, token := range tokens[:min(most, len(tokens))] {
				for _, method := range methods[:min(most, len(methods))] {
					all = append(all, question{Caller{issuer, client, token}, method})
				}
			}
		}
	}
	return all
}

var fullMethodForm = regexp.MustCompile(`^/([^/]+)/[^/]+$`)

// search decides with a look at every entry.
func search(plain plainFile, c Caller, method string) Verdict {
	parts := fullMethodForm.FindStringSubmatch(method)
	if c.ClientID == "" || c.Issuer == "" || parts == nil {
		return Undecided
	}
	names := func(e plainEntry) bool {
		return slices.Contains(e.Clients, c.ClientID) && (e.Issuer == "" || e.Issuer == c.Issuer)
	}
	covers := func(e plainEntry) bool {
		return slices.Contains(e.Methods, method) || slices.Contains(e.Methods, parts[1])
	}
	for _, e := range plain.Deny {
		if slices.Contains(e.TokenIDs, c.TokenID) || names(e) && len(e.Methods) == 0 {
			return TokenDenied
		}
	}
	for _, e := range plain.Deny {
		if covers(e) && (names(e) || len(e.Clients) == 0) {
			return MethodDenied
		}
	}
	restricted := slices.ContainsFunc(plain.Allow, names)
	if restricted && !slices.ContainsFunc(plain.Allow, func(e plainEntry) bool { return names(e) && covers(e) }) {
		return MethodDenied
	}
	return Permitted
}

// checkOrigin fails unless the entry that decided does so alone, and the reason is
// its own.
func checkOrigin(t *testing.T, doc *document, plain plainFile, q question, got Decision) {
	t.Helper()
	if got.Verdict == Undecided || got.Verdict == Permitted {
		if got.Entry != "" {
			t.Fatalf("%+v: got %+v, want no entry", q, got)
		}
		return
	}
	var alone plainFile
	if i := slices.IndexFunc(doc.deny, func(e entry) bool { return e.place == got.Entry }); i >= 0 {
		alone.Deny = plain.Deny[i : i+1]
	}
	if i := slices.IndexFunc(doc.allow, func(e entry) bool { return e.place == got.Entry }); i >= 0 {
		alone.Allow = plain.Allow[i : i+1]
	}
	reasons := slices.Concat(alone.Deny, alone.Allow)
	if len(reasons) != 1 || reasons[0].Reason != got.Reason || search(alone, q.caller, q.method) != got.Verdict {
		t.Fatalf("%+v: got %+v, which the entry alone, %+v, does not say", q, got, alone)
	}
}
