// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package soak_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/soak/model"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// start starts all that happens in a soak.
func (s *soak) start() {
	n := s.cfg.actors
	s.loop(s.cfg.callers, s.makeCalls)
	s.loop(n, s.flood)
	s.loop((n+1)/2, s.forge)
	s.loop(2*n, s.letExpire)
	s.loop(n+n/2, s.outliveToken)
	s.loop(n, s.revokeToken)
	s.loop((n+1)/2, s.revokeInStream)
	for _, i := range s.issuers {
		s.loop(1, func(*rand.Rand) { s.turnKeys(i) })
	}
	for _, srv := range s.servers {
		s.loop(1, func(rng *rand.Rand) { s.editAccessFile(rng, srv) })
		s.loop(1, func(rng *rand.Rand) { s.changeClients(rng, srv) })
		if srv.cuts {
			s.loop((n+2)/2, func(rng *rand.Rand) { s.idle(rng, srv) })
		}
		if srv.quiet {
			continue
		}
		for _, e := range srv.endpoints {
			s.loop(2, func(rng *rand.Rand) { s.outliveKey(rng, srv, e) })
		}
	}
}

func (s *soak) pickServer(rng *rand.Rand) *server { return s.servers[rng.IntN(len(s.servers))] }

// loud returns a server that may meet unknown key ids.
func (s *soak) loud(rng *rand.Rand) *server { return s.servers[rng.IntN(s.cfg.servers)] }

// short is a stream that its caller ends soon.
func short(rng *rand.Rand) stream { return stream{messages: 1 + rng.IntN(3)} }

// method picks one; half of the calls are unary.
func method(rng *rand.Rand) string {
	if rng.IntN(2) == 0 {
		return echoMethod
	}
	return methods[rng.IntN(len(methods))]
}

// makeCalls is the usual traffic: tokens of every kind.
func (s *soak) makeCalls(rng *rand.Rand) {
	srv := s.pickServer(rng)
	t := s.choose(rng, srv.quiet)
	for range 1 + rng.IntN(3) {
		s.call(srv, method(rng), t, short(rng))
		if !s.rest(rand.N(20 * time.Millisecond)) {
			return
		}
	}
}

// mayWait is how many callers an issuer's keys let wait for a fetch, as is documented.
const mayWait = 256

// flood sends many unknown key ids at once to one server.
func (s *soak) flood(rng *rand.Rand) {
	srv, i := s.loud(rng), s.issuers[rng.IntN(len(s.issuers))]
	size := 10 + rng.IntN(20)
	crowd := rng.IntN(s.cfg.crowdEvery) == 0
	if crowd {
		size = mayWait + 44
	}
	var wg sync.WaitGroup
	for range size {
		m := method(rng)
		wg.Go(func() { s.call(srv, m, s.unknownKID(i), stream{messages: 1}) })
	}
	wg.Wait()
	s.events.add(floodUnknown)
	for range size - mayWait { // how many of them found others waiting depends on the machine
		s.events.add(floodCrowd)
	}
	s.rest(rand.N(600 * time.Millisecond))
}

// forge sends many bad signatures of known key ids at once to one server.
func (s *soak) forge(rng *rand.Rand) {
	srv, i := s.pickServer(rng), s.issuers[rng.IntN(len(s.issuers))]
	var wg sync.WaitGroup
	for range 10 + rng.IntN(20) {
		m, t := method(rng), s.badSignature(rng, i)
		wg.Go(func() { s.call(srv, m, t, stream{messages: 1}) })
	}
	wg.Wait()
	s.events.add(floodForged)
	s.rest(rand.N(600 * time.Millisecond))
}

// shortLife is when a token expires that lives for a second or two, or some more.
func (s *soak) shortLife(rng *rand.Rand) time.Time {
	return time.Now().Truncate(time.Second).Add(time.Duration(2+rng.IntN(s.cfg.shortLives-1)) * time.Second)
}

// end is when a server takes the token no longer.
func (t *token) endAt(srv *server) time.Time { return t.Expires.Add(srv.model.ClockSkew) }

// letExpire uses a token until it has expired, and a little longer.
func (s *soak) letExpire(rng *rand.Rand) {
	srv, i := s.pickServer(rng), s.issuers[rng.IntN(len(s.issuers))]
	t := s.make(recipe{made: "short-lived", issuer: i, held: i.stable, client: regulars[rng.IntN(len(regulars))], expires: s.shortLife(rng)})
	taken := false
	for over := 0; over < 3; {
		a := s.call(srv, method(rng), t, short(rng))
		taken = taken || a.outcome == model.Passes
		if a.start.UnixNano() >= t.endAt(srv).UnixNano() {
			if over++; taken && over == 1 {
				s.events.add(tokenExpires)
			}
		}
		// Some calls shall come as close to the end as they can.
		wait := time.Until(t.endAt(srv)) - 2*time.Millisecond
		if wait <= 0 || wait > 400*time.Millisecond {
			wait = rand.N(400 * time.Millisecond)
		}
		if !s.rest(wait) {
			return
		}
	}
}

// outliveToken keeps a stream open for longer than its token lives.
func (s *soak) outliveToken(rng *rand.Rand) {
	srv, i := s.pickServer(rng), s.issuers[rng.IntN(len(s.issuers))]
	t := s.make(recipe{made: "short-lived, for one stream", issuer: i, held: i.stable, client: regulars[rng.IntN(len(regulars))], expires: s.shortLife(rng), watched: true})
	a := s.call(srv, methods[1+rng.IntN(3)], t, stream{every: 50*time.Millisecond + rand.N(150*time.Millisecond)})
	if !a.opened.IsZero() && a.outcome == model.TokenExpired {
		s.events.add(streamExpires)
		s.delays.note("from a token's end to its stream's", a.end.Sub(t.endAt(srv)))
	}
	s.rest(time.Millisecond)
}

// idle keeps a stream without messages open for longer than its token lives.
func (s *soak) idle(rng *rand.Rand, srv *server) {
	i := s.issuers[rng.IntN(len(s.issuers))]
	t := s.make(recipe{made: "short-lived, for one idle stream", issuer: i, held: i.stable, client: regulars[0], expires: s.shortLife(rng), watched: true})
	a := s.call(srv, chatMethod, t, stream{idle: true})
	if !a.opened.IsZero() && a.outcome == model.TokenExpired {
		s.events.add(idleExpires)
		s.delays.note("from a token's end to its idle stream's", a.end.Sub(t.endAt(srv)))
	}
	s.rest(time.Millisecond)
}

// outliveKey keeps a stream open for longer than its token's key is published.
func (s *soak) outliveKey(rng *rand.Rand, srv *server, e *endpoint) {
	var held heldKey
	latest := e.keys.Latest()
	for kid, name := range latest {
		if strings.HasPrefix(kid, "turn-") {
			held = heldKey{kid, e.issuer.keys[name]}
		}
	}
	if rng.IntN(3) == 0 {
		held = heldKey{reusedKID, e.issuer.keys[latest[reusedKID]]}
	}
	t := s.make(recipe{made: "signed with a key that comes and goes, for one stream", issuer: e.issuer, held: held, client: regulars[5], watched: true})
	until := make(chan struct{})
	timer := time.AfterFunc(20*time.Second, func() { close(until) }) // the keys need not be fetched anew so soon
	defer timer.Stop()
	a := s.call(srv, chatMethod, t, stream{every: 400 * time.Millisecond, until: until})
	if !a.opened.IsZero() && a.outcome == model.TokenInvalid {
		s.events.add(streamKeyEnd)
	}
	s.rest(200 * time.Millisecond)
}

// revokeToken revokes a token and takes that back, again and again. Others use it too.
func (s *soak) revokeToken(rng *rand.Rand) {
	t := s.pool.pickRevocable(rng)
	if !t.mine.TryLock() {
		s.rest(time.Millisecond)
		return
	}
	defer t.mine.Unlock()
	use := func() { s.call(s.pickServer(rng), method(rng), t, short(rng)) }
	use()
	answer := model.Revoked
	if rng.IntN(4) == 0 {
		answer = model.Unanswered
	}
	t.revoke(answer)
	if answer == model.Revoked {
		s.events.add(tokenIsRevoked)
	}
	use()
	use()
	s.rest(rand.N(50 * time.Millisecond))
	use()
	t.revoke(model.NotRevoked)
	use()
	s.rest(rand.N(100 * time.Millisecond))
}

// revokeInStream revokes the token of an open stream.
func (s *soak) revokeInStream(rng *rand.Rand) {
	srv, i := s.pickServer(rng), s.issuers[rng.IntN(len(s.issuers))]
	t := s.make(recipe{made: "revoked during its one stream", issuer: i, held: i.stable, client: regulars[rng.IntN(len(regulars))], revocable: true, watched: true})
	var (
		wg sync.WaitGroup
		at time.Time
	)
	after := rand.N(300 * time.Millisecond)
	a := s.call(srv, methods[1+rng.IntN(3)], t, stream{every: 50*time.Millisecond + rand.N(150*time.Millisecond), opened: func() {
		wg.Go(func() {
			s.rest(after)
			t.revoke(model.Revoked)
			at = time.Now()
		})
	}})
	wg.Wait()
	if !a.opened.IsZero() && a.outcome == model.TokenRevoked {
		s.events.add(streamIsRevoked)
		s.delays.note(fmt.Sprintf("from a revocation to the end of the stream, looks every %v", rechecks[srv.index/2%len(rechecks)]), a.end.Sub(at))
	}
	s.rest(time.Millisecond)
}

// turnKeys is one turn of an issuer's keys.
func (s *soak) turnKeys(i *issuer) {
	step := s.cfg.turnEvery / 4
	i.add()
	s.events.add(keyAdded)
	s.rest(step)
	i.switchOver()
	s.events.add(keySwitched)
	s.rest(step)
	if i.remove() {
		s.events.add(keyRemoved)
	}
	s.rest(step)
	i.replace()
	s.events.add(keyReplaced)
	s.rest(step)
}

// changeClients lets a client come no more, and come again.
func (s *soak) changeClients(rng *rand.Rand, srv *server) {
	n := rng.IntN(len(s.issuers))
	seen := srv.model.Issuers[n]
	use := func() { s.call(srv, method(rng), s.pool.guests[n], short(rng)) }
	for _, list := range [][]string{known()[1:], known()} {
		change := seen.Clients.Begin(list, time.Now())
		if err := srv.verifier.SetClients(seen.URL, serverauth.Clients(list...)); err != nil {
			s.violate("SetClients: " + err.Error())
		}
		change.Done(time.Now())
		s.events.add(clientsSet)
		use()
		use()
		s.rest(300*time.Millisecond + rand.N(300*time.Millisecond))
	}
}

// accessList is what an access file says, mostly about the client one. Some files cannot
// be read: then list is nil, and the one before stays.
func (s *soak) accessList(rng *rand.Rand, one string) (content []byte, list *model.AccessList) {
	id := s.pool.suspects[rng.IntN(len(s.pool.suspects))].TokenID
	list = &model.AccessList{}
	list.Deny = append(list.Deny, model.AccessEntry{TokenIDs: []string{"nobody-" + strconv.FormatInt(s.tokens.Add(1), 10)}}) // no two files are equal
	switch rng.IntN(12) {
	case 0, 1, 2, 3:
		list.Deny = append(list.Deny, model.AccessEntry{Clients: []string{one}, Reason: "denied"})
	case 4:
		list.Deny = append(list.Deny, model.AccessEntry{Clients: suspects[:3], Issuer: s.issuers[rng.IntN(2)].url})
	case 5:
		list.Deny = append(list.Deny, model.AccessEntry{Clients: []string{one}, Methods: []string{echoMethod, chatMethod}})
	case 6, 7:
		list.Deny = append(list.Deny, model.AccessEntry{Clients: []string{one}, Methods: []string{"demo.echo.v1.EchoService"}})
	case 8:
		list.Deny = append(list.Deny, model.AccessEntry{TokenIDs: []string{id}})
	case 9:
		list.Allow = append(list.Allow, model.AccessEntry{Clients: []string{one}, Methods: []string{echoMethod}})
	case 10:
		list.Deny = append(list.Deny, model.AccessEntry{Methods: []string{countMethod}})
	default:
		return []byte(`{"deny":[{"clients":["` + one + `"]`), nil
	}
	content, err := json.Marshal(list)
	if err != nil {
		s.violate(err.Error())
	}
	return content, list
}

// editAccessFile replaces a server's access file, waits until it is in effect, and lets
// those call whom it may be about. A stream of one of them is open meanwhile.
func (s *soak) editAccessFile(rng *rand.Rand, srv *server) {
	i := s.issuers[rng.IntN(len(s.issuers))]
	t := s.make(recipe{made: "of a client that the access file may be about, for one stream", issuer: i, held: i.stable, client: suspects[rng.IntN(len(suspects))], watched: true})
	m := methods[1+rng.IntN(3)]
	opened, ended, until := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		a := s.call(srv, m, t, stream{every: 150 * time.Millisecond, until: until, opened: func() { close(opened) }})
		if !a.opened.IsZero() && (a.outcome == model.TokenRevoked || a.outcome == model.ClientNotAllowed) {
			s.events.add(streamIsBarred)
		}
	}()
	defer func() { <-ended }()
	select {
	case <-opened:
	case <-ended: // refused, by the file that is there
	}
	one := suspects[rng.IntN(len(suspects))]
	if rng.IntN(4) > 0 {
		one = t.ClientID
	}
	theirs := slices.DeleteFunc(slices.Clone(s.pool.suspects), func(t *token) bool { return t.ClientID != one })
	use := func(m string) { s.call(srv, m, theirs[rng.IntN(len(theirs))], short(rng)) }
	use(m) // and is remembered
	use(m)
	s.replaceAccessFile(rng, srv, one)
	use(m)
	use(m)
	use(method(rng))
	now := model.Call{Span: model.At(time.Now()), Method: m, Token: &t.Token}
	if len(srv.model.Ends(now, nil)) == 0 { // else the server has to end it
		close(until)
	}
}

func (s *soak) replaceAccessFile(rng *rand.Rand, srv *server, one string) {
	content, list := s.accessList(rng, one)
	before := time.Now()
	var change *model.Change[*model.AccessList]
	if list != nil {
		change = srv.model.Access.Begin(list, before)
	}
	if err := srv.renameAccessFile(content); err != nil {
		s.violate("the access file: " + err.Error())
		return
	}
	after := time.Now()
	s.events.add(accessFileMoved)
	if !srv.awaitAccessFile(before, list != nil) {
		s.violate(fmt.Sprintf("%s: an access file was not read within %v", srv.name, patience))
		return
	}
	if change != nil {
		change.Done(time.Now())
		s.delays.note("from an access file's renaming to its effect", time.Since(after))
	}
}

// awaitAccessFile waits until the server has read what was put in place after put, and
// taken it if it is good. The file before was read earlier.
func (srv *server) awaitAccessFile(put time.Time, good bool) bool {
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		now := time.Now()
		stats := srv.auth.Stats().AccessFile
		switch {
		case good && now.Add(-stats.Age).After(put), !good && stats.LastError != nil:
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}
