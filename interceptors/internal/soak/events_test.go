// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package soak_test

import (
	"fmt"
	"strings"
	"sync"
)

// event is a kind of thing that happens to servers.
type event string

// The kinds of events, each of which has to come often.
const (
	keyAdded     event = "a key is added"
	keySwitched  event = "another key signs"
	keyRemoved   event = "a key is removed"
	keyReplaced  event = "a key is replaced under its id"
	keysRotated  event = "a server takes other keys"
	streamKeyEnd event = "an open stream's key goes"

	keyServerStatus   event = "the key server answers a fetch with an error"
	keyServerRefused  event = "the key server refuses a fetch's connection"
	keyServerHung     event = "the key server leaves a fetch without an answer, for a while or for ever"
	keyServerDripped  event = "the key server answers a fetch drop by drop"
	keyServerRejected event = "the key server answers a fetch with no key set"

	floodUnknown event = "a flood of unknown key ids"
	floodCrowd   event = "a call in a flood of unknown key ids, beyond as many as may wait"
	floodForged  event = "a flood of bad signatures"

	tokenExpires  event = "a token that was taken expires"
	streamExpires event = "a token expires in an open stream"
	idleExpires   event = "a token expires in an idle stream"

	tokenIsRevoked  event = "a token is revoked"
	streamIsRevoked event = "a token is revoked in an open stream"
	accessFileMoved event = "an access file is replaced"
	streamIsBarred  event = "an access file ends an open stream"
	clientsSet      event = "a client goes or comes"

	tokenMissing    event = "a call without a token"
	tokenMalformed  event = "a malformed token"
	tokenDuplicated event = "a call with two tokens"
	issuerWrong     event = "a token of another issuer"
	useWrong        event = "a token for another use"
	underScoped     event = "a token without the scope"
	clientRefused   event = "a token of a client that may not come"
	forbiddenPart   event = "a token with what none may have"

	cacheEvicts event = "a remembered token makes room"

	unaryPasses        event = "a unary call passes"
	serverStreamPasses event = "a server stream passes"
	clientStreamPasses event = "a client stream passes"
	bidiStreamPasses   event = "a bidirectional stream passes"
)

// passing is the event of a call of each kind that the server let pass.
var passing = map[string]event{
	echoMethod: unaryPasses, repeatMethod: serverStreamPasses, countMethod: clientStreamPasses, chatMethod: bidiStreamPasses,
}

// events counts them. It is safe for concurrent use.
type events struct {
	mu       sync.Mutex
	counts   map[event]int
	required map[event]int
	order    []event
}

// newEvents requires n of each kind. Those that need a server to fetch keys anew after
// the first time, or hundreds of calls at once, cannot come in a short soak.
func newEvents(n int, long bool) *events {
	e := &events{counts: make(map[event]int), required: make(map[event]int)}
	e.order = []event{
		keyAdded, keySwitched, keyRemoved, keyReplaced, keysRotated, streamKeyEnd,
		keyServerStatus, keyServerRefused, keyServerHung, keyServerDripped, keyServerRejected,
		floodUnknown, floodCrowd, floodForged,
		tokenExpires, streamExpires, idleExpires,
		tokenIsRevoked, streamIsRevoked, accessFileMoved, streamIsBarred, clientsSet,
		tokenMissing, tokenMalformed, tokenDuplicated, issuerWrong, useWrong, underScoped, clientRefused, forbiddenPart,
		cacheEvicts,
		unaryPasses, serverStreamPasses, clientStreamPasses, bidiStreamPasses,
	}
	for _, k := range e.order {
		e.required[k] = n
	}
	if !long {
		e.required[streamKeyEnd], e.required[keyServerRejected], e.required[floodCrowd] = 0, 0, 0
	}
	return e
}

func (e *events) add(k event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts[k]++
}

func (e *events) set(k event, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts[k] = n
}

// missing returns the kinds that have not come often enough.
func (e *events) missing() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var missing []string
	for _, k := range e.order {
		if e.counts[k] < e.required[k] {
			missing = append(missing, fmt.Sprintf("%s: %d of %d", k, e.counts[k], e.required[k]))
		}
	}
	return missing
}

// String returns the table.
func (e *events) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b strings.Builder
	for _, k := range e.order {
		fmt.Fprintf(&b, "%8d  %s (at least %d)\n", e.counts[k], k, e.required[k])
	}
	return b.String()
}
