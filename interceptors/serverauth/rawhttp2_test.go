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
}

// exchange opens a connection, sends one call with the extra headers and reads the
// answer to its end.
func exchange(t testing.TB, addr string, tlsConfig *tls.Config, fullMethod string, extra []header, body []byte) answer {
	t.Helper()
	got, err := tryExchange(addr, tlsConfig, fullMethod, extra, body)
	if err != nil {
		t.Fatalf("raw HTTP/2 call of %s: %v", fullMethod, err)
	}
	return got
}

func tryExchange(addr string, tlsConfig *tls.Config, fullMethod string, extra []header, body []byte) (answer, error) {
	tlsConfig = tlsConfig.Clone()
	tlsConfig.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", addr, tlsConfig)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return answer{}, err
	}
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		return answer{}, err
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		return answer{}, err
	}
	if err := writeCall(framer, addr, fullMethod, extra, body); err != nil {
		return answer{}, err
	}
	return readAnswer(framer)
}

func writeCall(framer *http2.Framer, addr, fullMethod string, extra []header, body []byte) error {
	var block strings.Builder
	enc := hpack.NewEncoder(&block)
	for _, h := range append([]header{
		{":method", "POST"},
		{":scheme", "https"},
		{":path", fullMethod},
		{":authority", addr},
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
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: part, EndHeaders: len(rest) == 0}); err != nil {
		return err
	}
	for len(rest) > 0 {
		part = rest[:min(maxFrame, len(rest))]
		rest = rest[len(part):]
		if err := framer.WriteContinuation(1, len(rest) == 0, part); err != nil {
			return err
		}
	}
	return framer.WriteData(1, true, body)
}

func readAnswer(framer *http2.Framer) (answer, error) {
	var got answer
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			return got, err
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				if err := framer.WriteSettingsAck(); err != nil {
					return got, err
				}
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				if err := framer.WritePing(true, f.Data); err != nil {
					return got, err
				}
			}
		case *http2.DataFrame:
			if len(f.Data()) > 0 {
				got.messages++
			}
		case *http2.RSTStreamFrame:
			return got, fmt.Errorf("the stream was reset: %v", f.ErrCode)
		case *http2.GoAwayFrame:
			return got, fmt.Errorf("the connection is closing: %v", f.ErrCode)
		case *http2.MetaHeadersFrame:
			if f.StreamEnded() {
				return got, got.readTrailer(f)
			}
		}
	}
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
