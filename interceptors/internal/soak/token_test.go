// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package soak_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/soak/model"
)

const (
	scopeCall   = "echo/call"
	scopeStream = "echo/stream"
)

var bothScopes = []string{scopeCall, scopeStream}

// token is what a call sends, how it was made, and what happened to it.
type token struct {
	model.Token

	kind   event    // counted for each call with it, unless ""
	values []string // of the authorization metadata

	// offered is when each server got it first, in nanoseconds since the soak began.
	offered []atomic.Int64

	answer  atomic.Int64 // a model.Answer, what the function for revocation says now
	mine    sync.Mutex   // held by whoever revokes the token now
	watched bool         // whether looks are kept
	mu      sync.Mutex
	looks   []model.Look
}

// look is what the servers' function for revocation does.
func (t *token) look() model.Answer {
	at := time.Now()
	answer := model.Answer(t.answer.Load())
	if t.watched {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.looks = append(t.looks, model.Look{At: at, Answer: answer})
	}
	return answer
}

// revoke changes what is said about the token.
func (t *token) revoke(answer model.Answer) {
	change := t.Revocation.Begin(answer, time.Now())
	t.answer.Store(int64(answer))
	change.Done(time.Now())
}

// recipe says how to make a token. The zero values are those of a good one.
type recipe struct {
	made    string
	kind    event
	issuer  *issuer
	held    heldKey // the key and the key id; no key: a random signature
	client  string
	scopes  []string
	expires time.Time // default: in an hour
	header  map[string]any
	claims  map[string]any
	// refused says that the header or claims make the token unacceptable.
	refused bool
	foreign bool // of an issuer that no server accepts
	form    model.Form
	// wrap makes the metadata values of the compact token.
	wrap      func(compact string) []string
	revocable bool
	watched   bool
}

func (s *soak) make(r recipe) *token {
	now := time.Now()
	if r.expires.IsZero() {
		r.expires = now.Add(time.Hour)
	}
	if r.scopes == nil {
		r.scopes = bothScopes
	}
	r.expires = r.expires.Truncate(time.Second)
	id := "t" + strconv.FormatInt(s.tokens.Add(1), 10)
	t := &token{
		Token: model.Token{
			Made: r.made, Form: r.form, Unacceptable: r.refused, Issuer: r.issuer.index, KeyID: r.held.kid,
			ClientID: r.client, TokenID: id, Scopes: r.scopes, Expires: r.expires,
		},
		kind:    r.kind,
		offered: make([]atomic.Int64, len(s.servers)),
		watched: r.watched,
	}
	if r.foreign {
		t.Issuer = model.Foreign
	}
	if r.revocable {
		t.Revocation = model.NewHistory(model.NotRevoked)
	}
	if r.held.key != nil {
		t.SignedWith = r.held.key.name
	}
	header := map[string]any{"alg": "RS256", "kid": r.held.kid}
	maps.Copy(header, r.header)
	claims := map[string]any{
		"iss": r.issuer.url, "sub": r.client, "client_id": r.client, "token_use": "access", "version": 2, "jti": id,
		"scope": strings.Join(r.scopes, " "), "iat": now.Unix(), "auth_time": now.Unix(), "exp": r.expires.Unix(),
	}
	maps.Copy(claims, r.claims)
	compact := s.segment(header) + "." + s.segment(claims)
	compact += "." + s.sign(compact, r.held.key)
	t.values = []string{"Bearer " + compact}
	if r.wrap != nil {
		t.values = r.wrap(compact)
	}
	if r.revocable || r.watched {
		s.revocable.Store(id, t)
	}
	return t
}

func (s *soak) segment(v map[string]any) string {
	doc, err := json.Marshal(v)
	if err != nil {
		s.violate("a token could not be made: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(doc)
}

// sign returns the signature, and keeps it to look for it in the log.
func (s *soak) sign(text string, key *signingKey) string {
	if key == nil {
		return s.noise[mathrand.IntN(len(s.noise))]
	}
	hash := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key.private, crypto.SHA256, hash[:])
	if err != nil {
		s.violate("a token could not be signed: " + err.Error())
	}
	encoded := base64.RawURLEncoding.EncodeToString(signature)
	s.secrets.add(encoded)
	return encoded
}

// makeNoise returns what looks like signatures.
func makeNoise(n int) []string {
	noise := make([]string, n)
	for i := range noise {
		b := make([]byte, 256)
		_, _ = rand.Read(b)
		b[0] &= 0x7f
		noise[i] = base64.RawURLEncoding.EncodeToString(b)
	}
	return noise
}

// The clients. Those of a kind are what an event needs.
var (
	regulars = []string{"client-0", "client-1", "client-2", "client-3", "client-4", "client-5"}
	suspects = []string{"suspect-0", "suspect-1", "suspect-2", "suspect-3"} // the access files are about them
)

const (
	guest    = "guest"    // comes and goes: see Verifier.SetClients
	outsider = "outsider" // may never come
)

// known are the clients that may come, the guest first.
func known() []string { return slices.Concat([]string{guest}, regulars, suspects) }

// pool are the tokens that are used again and again.
type pool struct {
	good, suspects, guests, reused []*token

	mu        sync.Mutex
	revocable []*token
	turning   map[string]*token // by key id
}

func (s *soak) fillPool() {
	p := &s.pool
	p.turning = make(map[string]*token)
	for _, i := range s.issuers {
		for n, client := range slices.Concat(regulars, regulars[:2]) {
			p.good = append(p.good, s.make(recipe{made: fmt.Sprintf("good %d", n), issuer: i, held: i.stable, client: client}))
		}
		for _, client := range suspects {
			for range 2 {
				p.suspects = append(p.suspects, s.make(recipe{made: "good, of a client that the access file may be about", issuer: i, held: i.stable, client: client}))
			}
		}
		p.guests = append(p.guests, s.make(recipe{made: "good, of a client that comes and goes", issuer: i, held: i.stable, client: guest}))
		for range 3 {
			p.revocable = append(p.revocable, s.make(recipe{made: "good, and revoked now and then", issuer: i, held: i.stable, client: regulars[2], revocable: true}))
		}
		for n := range 2 {
			p.reused = append(p.reused, s.make(recipe{made: "of a key id whose key is replaced now and then", issuer: i, held: heldKey{reusedKID, i.turningKey(n)}, client: regulars[3]}))
		}
	}
}

func (p *pool) pickRevocable(rng *mathrand.Rand) *token {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.revocable[rng.IntN(len(p.revocable))]
}

// turningToken returns the one token of a key that comes and goes.
func (s *soak) turningToken(i *issuer, held heldKey) *token {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	t := s.pool.turning[held.kid]
	if t == nil {
		t = s.make(recipe{made: "signed with a key that comes and goes", issuer: i, held: held, client: regulars[4]})
		s.pool.turning[held.kid] = t
	}
	return t
}

// choose returns a token of any kind, for any server, or for one that must not meet an
// unknown key id.
func (s *soak) choose(rng *mathrand.Rand, quiet bool) *token {
	i := s.issuers[rng.IntN(len(s.issuers))]
	pick := func(list []*token) *token { return list[rng.IntN(len(list))] }
	n := rng.IntN(100)
	if quiet && n >= 95 {
		n = 0
	}
	switch {
	case n < 25:
		return pick(s.pool.good)
	case n < 32:
		return pick(s.pool.suspects)
	case n < 36:
		return pick(s.pool.guests)
	case n < 41:
		return s.pool.pickRevocable(rng)
	case n < 48:
		return s.malformed(rng, i)
	case n < 54:
		return s.make(recipe{made: "no token", kind: tokenMissing, issuer: i, held: heldKey{kid: stableKID}, form: model.NoValue, wrap: func(string) []string { return nil }})
	case n < 60:
		return s.duplicated(rng, i)
	case n < 66:
		return s.wrongIssuer(rng, i)
	case n < 71:
		return s.wrongUse(rng, i)
	case n < 77:
		return s.underScoped(rng, i)
	case n < 82:
		return s.once("outsider", i, rng, recipe{made: "good, of a client that may not come", kind: clientRefused, client: outsider})
	case n < 87:
		return s.forbidden(rng, i)
	case n < 90:
		return s.badSignature(rng, i)
	case n < 92:
		return s.once("expired", i, rng, recipe{made: "expired from the beginning", client: regulars[0], expires: time.Now().Add(-time.Minute), claims: map[string]any{"iat": time.Now().Add(-time.Hour).Unix()}})
	case n < 95:
		return pick(s.pool.reused)
	case n < 98:
		return s.turningToken(i, i.pick(rng))
	default:
		return s.unknownKID(i)
	}
}

// once makes a token of a kind a few times and no more, since a signature takes long.
func (s *soak) once(name string, i *issuer, rng *mathrand.Rand, r recipe) *token {
	key := fmt.Sprintf("%s %d %d", name, i.index, rng.IntN(4))
	if t, ok := s.kept.Load(key); ok {
		kept, _ := t.(*token)
		return kept
	}
	r.issuer = i
	if r.held.kid == "" {
		r.held = i.stable
	}
	t, _ := s.kept.LoadOrStore(key, s.make(r))
	kept, _ := t.(*token)
	return kept
}

func (s *soak) malformed(rng *mathrand.Rand, i *issuer) *token {
	forms := []struct {
		made string
		form model.Form
		wrap func(string) []string
	}{
		{"Bearer alone", model.BrokenSyntax, func(string) []string { return []string{"Bearer"} }},
		{"an empty value", model.BrokenSyntax, func(string) []string { return []string{""} }},
		{"another scheme", model.OtherScheme, func(c string) []string { return []string{"Basic " + c} }},
		{"no scheme", model.OtherScheme, func(c string) []string { return []string{c} }},
		{"two segments", model.BrokenSyntax, func(c string) []string { return []string{"Bearer " + c[:strings.LastIndexByte(c, '.')]} }},
		{"four segments", model.BrokenSyntax, func(c string) []string { return []string{"Bearer " + c + ".AAAA"} }},
		{"a padded segment", model.BrokenSyntax, func(c string) []string { return []string{"Bearer " + c + "="} }},
		{"two tokens in one value", model.BrokenSyntax, func(c string) []string { return []string{"Bearer " + c + ",Bearer " + c} }},
		{"a cut header", model.BrokenSyntax, func(c string) []string { return []string{"Bearer " + c[4:]} }},
		{"unused bits in the signature", model.BrokenSyntax, func(c string) []string { return []string{"Bearer " + c[:len(c)-1] + "B"} }},
		{"too long", model.TooLong, func(c string) []string { return []string{"Bearer " + c + strings.Repeat("A", 8200)} }},
	}
	f := forms[rng.IntN(len(forms))]
	return s.make(recipe{made: "malformed: " + f.made, kind: tokenMalformed, issuer: i, held: heldKey{kid: stableKID}, client: regulars[0], form: f.form, wrap: f.wrap})
}

func (s *soak) duplicated(rng *mathrand.Rand, i *issuer) *token {
	good := s.pool.good[rng.IntN(len(s.pool.good))].values[0]
	other := s.pool.good[rng.IntN(len(s.pool.good))].values[0]
	return s.make(recipe{made: "two values", kind: tokenDuplicated, issuer: i, held: heldKey{kid: stableKID}, client: regulars[0], form: model.TwoValues, wrap: func(string) []string { return []string{good, other} }})
}

func (s *soak) wrongIssuer(rng *mathrand.Rand, i *issuer) *token {
	if rng.IntN(3) == 0 {
		other := s.issuers[1-i.index]
		return s.once("other issuer's key", i, rng, recipe{made: "signed with the other issuer's key of the same id", kind: issuerWrong, client: regulars[0], held: other.stable})
	}
	urls := []string{i.url + "/", strings.ToUpper(i.url), "http" + strings.TrimPrefix(i.url, "https"), i.url + "2", "https://issuer.invalid/pool"}
	n := rng.IntN(len(urls))
	return s.once("foreign"+strconv.Itoa(n), i, rng, recipe{made: "of issuer " + urls[n], kind: issuerWrong, client: regulars[0], foreign: true, claims: map[string]any{"iss": urls[n]}})
}

func (s *soak) wrongUse(rng *mathrand.Rand, i *issuer) *token {
	uses := []any{"id", "ACCESS", "", []string{"access"}, 1}
	n := rng.IntN(len(uses))
	return s.once("use"+strconv.Itoa(n), i, rng, recipe{made: fmt.Sprintf("token_use %v", uses[n]), kind: useWrong, client: regulars[0], refused: true, claims: map[string]any{"token_use": uses[n]}})
}

func (s *soak) underScoped(rng *mathrand.Rand, i *issuer) *token {
	scopes := [][]string{{}, {"other/call"}, {"echo/cal"}, {"echo/*"}, {"ECHO/CALL"}, {scopeCall}, {scopeStream}}
	n := rng.IntN(len(scopes))
	return s.once("scopes"+strconv.Itoa(n), i, rng, recipe{made: fmt.Sprintf("with the scopes %q", scopes[n]), kind: underScoped, client: regulars[1], scopes: scopes[n]})
}

// forbidden has what no token may have.
func (s *soak) forbidden(rng *mathrand.Rand, i *issuer) *token {
	recipes := []recipe{
		{made: "alg none", header: map[string]any{"alg": "none"}},
		{made: "alg HS256", header: map[string]any{"alg": "HS256"}},
		{made: "crit", header: map[string]any{"crit": []string{"exp"}}},
		{made: "jku", header: map[string]any{"jku": "https://keys.invalid/"}},
		{made: "no kid", header: map[string]any{"kid": nil}},
		{made: "typ dpop+jwt", header: map[string]any{"typ": "dpop+jwt"}},
		{made: "exp of text", claims: map[string]any{"exp": "2999-01-01T00:00:00Z"}},
		{made: "exp in 25 hours", claims: map[string]any{"exp": time.Now().Add(25 * time.Hour).Unix()}},
		{made: "nbf in an hour", claims: map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}},
		{made: "cnf", claims: map[string]any{"cnf": map[string]string{"jkt": "x"}}},
		{made: "no client_id", claims: map[string]any{"client_id": nil}},
	}
	n := rng.IntN(len(recipes))
	r := recipes[n]
	r.refused, r.client, r.kind = true, regulars[0], forbiddenPart
	return s.once("forbidden"+strconv.Itoa(n), i, rng, r)
}

// badSignature is of a known key id.
func (s *soak) badSignature(rng *mathrand.Rand, i *issuer) *token {
	if rng.IntN(2) == 0 {
		return s.make(recipe{made: "with a random signature", issuer: i, held: heldKey{kid: stableKID}, client: regulars[0]})
	}
	// The signature of a good token, under other words: whoever remembers signatures
	// instead of tokens takes it.
	good := s.pool.good[rng.IntN(len(s.pool.good))].values[0]
	signature := good[strings.LastIndexByte(good, '.'):]
	return s.make(recipe{made: "with the signature of another token", issuer: i, held: heldKey{kid: stableKID}, client: regulars[0], wrap: func(c string) []string {
		return []string{"Bearer " + c[:strings.LastIndexByte(c, '.')] + signature}
	}})
}

func (s *soak) unknownKID(i *issuer) *token {
	return s.make(recipe{made: "of an unknown key id", issuer: i, held: heldKey{kid: "no-" + strconv.FormatInt(s.tokens.Load(), 10)}, client: regulars[0]})
}
