// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/tap"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// tapWire is a connection on which calls are opened by their header frame alone, as many
// as a test likes.
type tapWire struct {
	*rawCall

	block          strings.Builder
	enc            *hpack.Encoder
	last           uint32
	unacknowledged int // settings
	calls          map[uint32]*answer
	resets         map[uint32]http2.ErrCode
}

func (l *lab) dialTap(t testing.TB) *tapWire {
	t.Helper()
	w := &tapWire{rawCall: l.dial(t), unacknowledged: 1, calls: map[uint32]*answer{}, resets: map[uint32]http2.ErrCode{}}
	w.enc = hpack.NewEncoder(&w.block)
	return w
}

// header opens a call, and does not end it.
func (w *tapWire) header(t testing.TB, fullMethod string, extra ...header) uint32 {
	t.Helper()
	w.last += 2
	id := w.last - 1
	w.calls[id] = &answer{}
	w.block.Reset()
	for _, h := range append([]header{
		{":method", "POST"},
		{":scheme", "https"},
		{":path", fullMethod},
		{":authority", w.addr},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
	}, extra...) {
		if err := w.enc.WriteField(hpack.HeaderField{Name: h.name, Value: h.value}); err != nil {
			t.Fatal(err)
		}
	}
	const maxFrame = 16384
	rest := []byte(w.block.String())
	part := rest[:min(maxFrame, len(rest))]
	rest = rest[len(part):]
	err := w.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: part, EndHeaders: len(rest) == 0})
	for err == nil && len(rest) > 0 {
		part = rest[:min(maxFrame, len(rest))]
		rest = rest[len(part):]
		err = w.framer.WriteContinuation(id, len(rest) == 0, part)
	}
	if err != nil {
		t.Fatalf("raw HTTP/2 call of %s: %v", fullMethod, err)
	}
	return id
}

// message sends an empty message and ends the client's side of the call.
func (w *tapWire) message(t testing.TB, id uint32) {
	t.Helper()
	if err := w.framer.WriteData(id, true, frame(nil)); err != nil {
		t.Fatalf("raw HTTP/2 message: %v", err)
	}
}

// settle waits until the server has dealt with every frame so far: it takes frames one by
// one, so that whatever its reader itself answers comes before the acknowledgement of
// settings that are sent now.
func (w *tapWire) settle(t testing.TB) {
	t.Helper()
	if err := w.framer.WriteSettings(); err != nil {
		t.Fatalf("raw HTTP/2 settings: %v", err)
	}
	w.unacknowledged++
	for w.unacknowledged > 0 {
		w.step(t)
	}
}

// onHeader returns the answer that a call got on its header frame, or nil if it got none.
func (w *tapWire) onHeader(t testing.TB, id uint32) *answer {
	t.Helper()
	w.settle(t)
	if a := w.calls[id]; a.ended {
		return a
	}
	if code, reset := w.resets[id]; reset {
		t.Fatalf("the call was reset: %v", code)
	}
	return nil
}

// end waits for the end of the call.
func (w *tapWire) end(t testing.TB, id uint32) answer {
	t.Helper()
	for !w.calls[id].ended {
		w.step(t)
		if code, reset := w.resets[id]; reset && !w.calls[id].ended {
			t.Fatalf("the call was reset: %v", code)
		}
	}
	return *w.calls[id]
}

func (w *tapWire) step(t testing.TB) {
	t.Helper()
	f, err := w.framer.ReadFrame()
	if err != nil {
		t.Fatalf("raw HTTP/2 answer: %v", err)
	}
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			w.unacknowledged--
		} else {
			err = w.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			err = w.framer.WritePing(true, f.Data)
		}
	case *http2.GoAwayFrame:
		err = fmt.Errorf("the connection is closing: %v", f.ErrCode)
	case *http2.RSTStreamFrame:
		w.resets[f.StreamID] = f.ErrCode
	case *http2.MetaHeadersFrame:
		if f.StreamEnded() {
			a := w.calls[f.StreamID]
			a.ended = true
			err = a.readTrailer(f)
		}
	}
	if err != nil {
		t.Fatalf("raw HTTP/2 answer: %v", err)
	}
}

// refused opens a call that must be answered on its header frame.
func (w *tapWire) refused(t testing.TB, fullMethod string, extra ...header) answer {
	t.Helper()
	got := w.onHeader(t, w.header(t, fullMethod, extra...))
	if got == nil {
		t.Fatalf("%s: no answer to the header frame", fullMethod)
	}
	checkTapAnswer(t, *got)
	return *got
}

// passed opens a call that must not be answered on its header frame, and completes it.
func (w *tapWire) passed(t testing.TB, fullMethod string, extra ...header) answer {
	t.Helper()
	id := w.header(t, fullMethod, extra...)
	if got := w.onHeader(t, id); got != nil {
		t.Fatalf("%s: answered on the header frame: %v %s", fullMethod, got.code, got.reason)
	}
	w.message(t, id)
	return w.end(t, id)
}

// checkTapAnswer expects what only a tap handle's answer looks like.
func checkTapAnswer(t testing.TB, got answer) {
	t.Helper()
	if got.code == ok || len(got.challenge) != 0 {
		t.Errorf("got %v with the challenge %q, want a refusal without one", got.code, got.challenge)
	}
}

// tapReports keeps the decisions that were reported.
type tapReports struct {
	mu  sync.Mutex
	all []serverauth.Decision
}

func (r *tapReports) Report(_ context.Context, d serverauth.Decision) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, d)
}

// take returns the decisions since the last time.
func (r *tapReports) take() []serverauth.Decision {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

// only returns the one decision since the last time.
func (r *tapReports) only(t testing.TB) serverauth.Decision {
	t.Helper()
	all := r.take()
	if len(all) != 1 {
		t.Fatalf("got the decisions %+v, want one", all)
	}
	return all[0]
}

// tapLines hands over each line of a log when it is written: a refusal on the header
// frame is logged by a goroutine of its own.
type tapLines chan string

func (c tapLines) Write(line []byte) (int, error) {
	c <- string(line)
	return len(line), nil
}

// newTapLab is a lab whose server answers on the header frame.
func newTapLab(t testing.TB, s setup, then ...serverauth.Option) (*lab, *tapReports) {
	t.Helper()
	s.options = append(s.options, then...)
	return newHandlesLab(t, s)
}

// newHandlesLab is newTapLab with tap handles of the user's own.
func newHandlesLab(t testing.TB, s setup, then ...tap.ServerInHandle) (*lab, *tapReports) {
	t.Helper()
	reports := &tapReports{}
	s.options = append([]serverauth.Option{serverauth.RefuseBeforeDecoding(then...), serverauth.WithReporter(reports)}, s.options...)
	return newLab(t, s), reports
}

func tapLogger(lines tapLines) *slog.Logger { return slog.New(slog.NewTextHandler(lines, nil)) }
