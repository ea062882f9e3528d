// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// The names of these tests have Alloc in them: `make test` runs such ones once more without
// the race detector, and nothing else does.

// A flood of refused calls: how many there are, on how many connections.
const (
	tapFlood            = 200_000
	tapFloodConnections = 4
	tapFloodEach        = tapFlood / tapFloodConnections
	tapFloodAtOnce      = 1000
)

// tapFlooder sends the same header frame again and again.
type tapFlooder struct {
	conn   net.Conn
	framer *http2.Framer
	block  []byte
	last   uint32

	early, late int // refusals of the tap handle, and of the interceptors
}

func newTapFlooder(t *testing.T, l *lab, headers ...header) *tapFlooder {
	t.Helper()
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	f := &tapFlooder{conn: conn, framer: http2.NewFramer(nil, bufio.NewReaderSize(conn, 1<<16))}
	f.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, h := range append([]header{
		{":method", "POST"},
		{":scheme", "http"},
		{":path", chat},
		{":authority", l.addr},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
	}, headers...) {
		// Sensitive: not in the table of the connection, so the block stays the same.
		if err := enc.WriteField(hpack.HeaderField{Name: h.name, Value: h.value, Sensitive: true}); err != nil {
			t.Fatal(err)
		}
	}
	f.block = block.Bytes()
	if _, err := conn.Write(append([]byte(http2.ClientPreface), 0, 0, 0, byte(http2.FrameSettings), 0, 0, 0, 0, 0)); err != nil {
		t.Fatal(err)
	}
	return f
}

// write sends n header frames.
func (f *tapFlooder) write(n int) error {
	out := bufio.NewWriterSize(f.conn, 1<<16)
	for range n {
		f.last += 2
		var head [9]byte
		binary.BigEndian.PutUint32(head[:], uint32(len(f.block))<<8|uint32(http2.FrameHeaders))
		head[4] = byte(http2.FlagHeadersEndHeaders)
		binary.BigEndian.PutUint32(head[5:], f.last-1)
		if _, err := out.Write(append(head[:], f.block...)); err != nil {
			return err
		}
	}
	return out.Flush()
}

// read waits for n refusals.
func (f *tapFlooder) read(t *testing.T, n int) {
	t.Helper()
	for n > 0 {
		frame, err := f.framer.ReadFrame()
		if err != nil {
			t.Errorf("after %d answers: %v", f.early+f.late, err)
			return
		}
		headers, isHeaders := frame.(*http2.MetaHeadersFrame)
		if !isHeaders || !headers.StreamEnded() {
			continue
		}
		var got answer
		if err := got.readTrailer(headers); err != nil || got.code != u {
			t.Errorf("got %v %v, want UNAUTHENTICATED", got.code, err)
			return
		}
		if len(got.challenge) > 0 {
			f.late++
		} else {
			f.early++
		}
		n--
	}
}

// tapHeap is what is live after everything that can be collected has been. The runtime
// keeps timers that were stopped, and with them what they would have ended, until they
// are a quarter of a processor's timers. So there is one processor here, which has all of
// them, and more are stopped than the floods leave.
func tapHeap() int64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	timers := make([]*time.Timer, 50_000)
	for n := range timers {
		timers[n] = time.AfterFunc(time.Hour, func() {})
	}
	for _, timer := range timers { // all at once: one that is stopped alone goes without the others
		timer.Stop()
	}
	runtime.Gosched()
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// tapFloodOf sends all calls, waits for the answers, and returns how many the tap handle and
// the interceptors gave, and how much live heap the calls left. The connections stay open
// for that. Calls are sent as fast as they are answered, a thousand at a time: the runtime
// keeps something of each goroutine that there ever was at once.
//
// The server may still be about to end a call that it has answered, so the heap is read
// until no more than allowed is left, or long enough: what is kept does not go.
func tapFloodOf(t *testing.T, l *lab, allowed int64, headers ...header) (early, late int, left int64) {
	t.Helper()
	all := make([]*tapFlooder, tapFloodConnections)
	for i := range all {
		all[i] = newTapFlooder(t, l, headers...)
		defer all[i].conn.Close()
	}
	before := tapHeap()
	var wg sync.WaitGroup
	for _, f := range all {
		wg.Go(func() {
			for range tapFloodEach / tapFloodAtOnce {
				if err := f.write(tapFloodAtOnce); err != nil {
					t.Errorf("header frames: %v", err)
					return
				}
				f.read(t, tapFloodAtOnce)
				if n := l.auth.Stats().HeldRefusals; n > 65_536 {
					t.Errorf("%d refusals are held, want 65,536 at most", n)
				}
			}
		})
	}
	wg.Wait()
	for range 50 {
		if left = tapHeap() - before; left <= allowed {
			break
		}
	}
	for _, f := range all {
		early += f.early
		late += f.late
	}
	return early, late, left
}

// Refused calls without a deadline leave nothing behind.
func TestTapFloodAllocsWithoutDeadline(t *testing.T) {
	if tapRace {
		t.Skip("the race detector has memory of its own")
	}
	l := newLab(t, setup{insecure: true, options: []serverauth.Option{serverauth.RefuseBeforeDecoding(), serverauth.WithLogger(nil)}})
	const allowed = 4 << 20
	early, late, left := tapFloodOf(t, l, allowed)
	if early != tapFlood || late != 0 {
		t.Errorf("%d calls were refused on the header frame and %d later, want all %d at once", early, late, tapFlood)
	}
	t.Logf("%d KiB are left", left>>10)
	if left > allowed {
		t.Errorf("%d refused calls left %d bytes, want nothing to speak of", tapFlood, left)
	}
	if n := l.auth.Stats().HeldRefusals; n != 0 {
		t.Errorf("%d refusals are held, want none", n)
	}
}

// Refused calls leave little behind although gRPC does not end their contexts before the
// deadline that the caller chose.
func TestTapFloodAllocsWithDeadline(t *testing.T) {
	if tapRace {
		t.Skip("the race detector has memory of its own")
	}
	l := newLab(t, setup{insecure: true, options: []serverauth.Option{serverauth.RefuseBeforeDecoding(), serverauth.WithLogger(nil)}})
	const allowed = 32 << 20
	early, late, left := tapFloodOf(t, l, allowed, header{"grpc-timeout", "10H"})
	if early != 65_536 || early+late != tapFlood {
		t.Errorf("%d calls were refused on the header frame and %d later, want 65,536 and the rest", early, late)
	}
	t.Logf("%d KiB are left", left>>10)
	if left > allowed {
		t.Errorf("%d refused calls left %d bytes, want 32 MiB at most", tapFlood, left)
	}
	if n := l.auth.Stats().HeldRefusals; n != 65_536 {
		t.Errorf("%d refusals are held, want 65,536", n)
	}
}
