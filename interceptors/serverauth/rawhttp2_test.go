// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

// A client that knows nothing of this project or of gRPC's client: it writes HTTP/2
// frames, so that any header can be sent.

type header struct{ name, value string }

// answer is what came over the wire.
type answer struct {
	code      codes.Code
	message   string
	reason    reason.Reason
	metadata  map[string]string
	challenge []string
	trailer   string // every field of it, to search in
	keys      []string
	messages  int // DATA frames with content
	ended     bool
}

// rawCall is one call on a connection of its own, written frame by frame.
type rawCall struct {
	conn    net.Conn
	framer  *http2.Framer
	addr    string
	pending answer
	pings   int // of the server
}

// dial opens a connection to the lab's server, over TLS unless it has none.
func (l *lab) dial(t testing.TB) *rawCall {
	t.Helper()
	c, err := l.tryDial()
	if err != nil {
		t.Fatalf("raw HTTP/2 connection: %v", err)
	}
	return c
}

func (l *lab) tryDial() (*rawCall, error) {
	var (
		conn net.Conn
		err  error
	)
	if l.memory != nil {
		conn, err = l.memory.Dial()
	} else {
		conn, err = net.Dial("tcp", l.addr)
	}
	if err != nil {
		return nil, err
	}
	if l.memory == nil { // in a bubble a test that hangs fails by itself
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			return nil, err
		}
	}
	if l.tls != nil {
		config := l.tls.Clone()
		config.NextProtos = []string{"h2"}
		conn = tls.Client(conn, config)
	}
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		return nil, err
	}
	c := &rawCall{conn: conn, framer: http2.NewFramer(conn, conn), addr: l.addr}
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return c, c.framer.WriteSettings()
}

func (c *rawCall) close() { _ = c.conn.Close() }

// open sends the call's header frame, with the extra headers.
func (c *rawCall) open(t testing.TB, fullMethod string, extra ...header) {
	t.Helper()
	if err := c.writeHeaders(fullMethod, extra); err != nil {
		t.Fatalf("raw HTTP/2 call of %s: %v", fullMethod, err)
	}
}

// send sends one message.
func (c *rawCall) send(t testing.TB, message []byte) { //nolint:unparam // mostly the empty one
	t.Helper()
	if err := c.framer.WriteData(1, false, frame(message)); err != nil {
		t.Fatalf("raw HTTP/2 message: %v", err)
	}
}

// closeSend ends the client's side of the call.
func (c *rawCall) closeSend(t testing.TB) {
	t.Helper()
	if err := c.framer.WriteData(1, true, nil); err != nil {
		t.Fatalf("raw HTTP/2 end of the stream: %v", err)
	}
}

// recv waits for one message, and reports false if the call ended instead: then finish
// tells how.
func (c *rawCall) recv(t testing.TB) bool {
	t.Helper()
	before := c.pending.messages
	ended, err := c.read(func() bool { return c.pending.messages > before })
	if err != nil {
		t.Fatalf("raw HTTP/2 answer: %v", err)
	}
	return !ended
}

// finish reads the answer to its end.
func (c *rawCall) finish(t testing.TB) answer {
	t.Helper()
	got, err := c.tryFinish()
	if err != nil {
		t.Fatalf("raw HTTP/2 answer: %v", err)
	}
	return got
}

func (c *rawCall) tryFinish() (answer, error) {
	if c.pending.ended {
		return c.pending, nil
	}
	_, err := c.read(func() bool { return false })
	return c.pending, err
}

func (c *rawCall) writeHeaders(fullMethod string, extra []header) error {
	var block strings.Builder
	enc := hpack.NewEncoder(&block)
	for _, h := range append([]header{
		{":method", "POST"},
		{":scheme", "https"},
		{":path", fullMethod},
		{":authority", c.addr},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
	}, extra...) {
		if err := enc.WriteField(hpack.HeaderField{Name: h.name, Value: h.value}); err != nil {
			return err
		}
	}
	const maxFrame = 16384
	rest := []byte(block.String())
	part := rest[:min(maxFrame, len(rest))]
	rest = rest[len(part):]
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: part, EndHeaders: len(rest) == 0}); err != nil {
		return err
	}
	for len(rest) > 0 {
		part = rest[:min(maxFrame, len(rest))]
		rest = rest[len(part):]
		if err := c.framer.WriteContinuation(1, len(rest) == 0, part); err != nil {
			return err
		}
	}
	return nil
}

// read handles frames until enough says so, or the call has ended.
func (c *rawCall) read(enough func() bool) (ended bool, err error) {
	for !enough() {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return false, err
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				if err := c.framer.WriteSettingsAck(); err != nil {
					return false, err
				}
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				c.pings++
				if err := c.framer.WritePing(true, f.Data); err != nil {
					return false, err
				}
			}
		case *http2.DataFrame:
			if len(f.Data()) > 0 {
				c.pending.messages++
			}
		case *http2.RSTStreamFrame:
			if c.pending.ended {
				return true, nil
			}
			return false, fmt.Errorf("the stream was reset: %v", f.ErrCode)
		case *http2.GoAwayFrame:
			return false, fmt.Errorf("the connection is closing: %v", f.ErrCode)
		case *http2.MetaHeadersFrame:
			if f.StreamEnded() {
				c.pending.ended = true
				return true, c.pending.readTrailer(f)
			}
		}
	}
	return false, nil
}

func (a *answer) readTrailer(f *http2.MetaHeadersFrame) error {
	seen := false
	for _, h := range f.Fields {
		a.trailer += h.Name + ": " + h.Value + "\n"
		a.keys = append(a.keys, h.Name)
		switch h.Name {
		case "grpc-status":
			n, err := strconv.ParseUint(h.Value, 10, 32)
			if err != nil {
				return err
			}
			a.code, seen = codes.Code(n), true
		case "grpc-message":
			text, err := url.PathUnescape(h.Value)
			if err != nil {
				return err
			}
			a.message = text
		case "www-authenticate":
			a.challenge = append(a.challenge, h.Value)
		case "grpc-status-details-bin":
			if err := a.readDetails(h.Value); err != nil {
				return err
			}
		}
	}
	if !seen {
		return errors.New("the trailer has no grpc-status")
	}
	return nil
}

func (a *answer) readDetails(value string) error {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	if err != nil {
		return err
	}
	a.trailer += string(raw)
	var st spb.Status
	if err := proto.Unmarshal(raw, &st); err != nil {
		return err
	}
	for _, detail := range st.GetDetails() {
		var info errdetails.ErrorInfo
		if err := detail.UnmarshalTo(&info); err != nil {
			return err
		}
		if info.GetDomain() != reason.Domain {
			return fmt.Errorf("ErrorInfo domain %q", info.GetDomain())
		}
		a.reason, a.metadata = reason.Reason(info.GetReason()), info.GetMetadata()
	}
	return nil
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return lis
}
