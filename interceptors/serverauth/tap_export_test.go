// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"

	"google.golang.org/grpc/tap"
)

// MaxHeldRefusals is how many refusals on the header frame may leave something behind.
const MaxHeldRefusals = maxHeld

// HoldRefusals counts n refused calls with the deadline of ctx, without the calls.
func (a *Authorizer) HoldRefusals(ctx context.Context, n int) (held int) {
	for range n {
		if a.early.held.hold(ctx) {
			held++
		}
	}
	return held
}

// ForgottenAtOnce returns how many refused calls whose deadline has passed one call
// forgets at most.
func (a *Authorizer) ForgottenAtOnce(ctx context.Context) int {
	held := func() int {
		a.early.held.mu.Lock()
		defer a.early.held.mu.Unlock()
		return len(a.early.held.left)
	}
	before := held()
	a.early.held.hold(ctx)
	return before + 1 - held()
}

// BeginCheck begins the check of a token's signature as a call does. Until finish is
// called, other calls with the token find it running.
func (v *Verifier) BeginCheck(token string) (finish func(), ok bool) {
	now := v.cfg.now()
	c, refusal := v.examine(token, now)
	if refusal != nil {
		return nil, false
	}
	if c.key, c.generation, _ = c.issuer.keys.LookupWithGeneration(c.parsed.KeyID()); c.key == nil {
		return nil, false
	}
	_, own, _ := v.join(c)
	if own == nil {
		return nil, false
	}
	return func() { v.prove(c, own, now) }, true
}

// OnHeader is the tap handle.
func (a *Authorizer) OnHeader(ctx context.Context, info *tap.Info) (context.Context, error) {
	return a.onHeader(ctx, info)
}
