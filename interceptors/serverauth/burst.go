// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"
	"sync"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
)

// burst makes one check of a signature out of many that come at the same time for the
// same token, as they do when a client has got a new one. Only the check itself is
// shared: it takes microseconds, needs no context and cannot be given up half-way, so
// nobody waits for a caller that has gone. The zero value is ready for use.
type burst struct {
	mu      sync.Mutex
	running map[burstKey]*check
}

// burstKey has the key in it: after a rotation the same token may have another one.
type burstKey struct {
	token string
	key   *jose.Key
}

// check is one check of a signature.
type check struct {
	done    chan struct{} // closed when the fields below are set
	result  *verified
	refusal *Error
}

var errCheckFailed = errors.New("the check of the signature did not end")

// join returns the running check of the token, or nil and a new one that the caller
// must finish. again, called under the lock, looks whether the last one has just ended.
func (b *burst) join(k burstKey, again func() *verified) (running, own *check, found *verified) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c, ok := b.running[k]; ok {
		return c, nil, nil
	}
	if found := again(); found != nil {
		return nil, nil, found
	}
	if b.running == nil {
		b.running = make(map[burstKey]*check)
	}
	c := &check{done: make(chan struct{}), refusal: NewError(ReasonTokenInvalid, errCheckFailed)}
	b.running[k] = c
	return nil, c, nil
}

// finish tells the waiters. A check that panicked leaves a refusal to them.
func (b *burst) finish(k burstKey, c *check) {
	b.mu.Lock()
	delete(b.running, k)
	b.mu.Unlock()
	close(c.done)
}

// wait returns the check's result, or the end of ctx. Who may come was looked up while
// the check ran; a caller that joined after it was changed is judged by what it is now.
func (c *check) wait(ctx context.Context) (*verified, *Error) {
	select {
	case <-c.done:
		if c.result != nil {
			if refusal := c.result.disowned(); refusal != nil {
				return nil, refusal
			}
		}
		return c.result, c.refusal
	case <-ctx.Done():
		return nil, contextError(ctx, ReasonKeysUnavailable, ctx.Err())
	}
}
