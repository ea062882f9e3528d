// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// reply is an answer before it is written: the network and the in-memory
// transport send the same one. The last four fields are set by faults.
type reply struct {
	status  int
	header  http.Header
	body    []byte
	chunked bool

	pause time.Duration // before each byte of the body
	size  int64         // the body is filled up with spaces to this size
	cut   bool          // the body ends half-way although its length was announced
}

// jsonReply encodes v without escaping <, > and &, and without a final newline.
func jsonReply(status int, v any) reply {
	body, err := encodeJSON(v)
	if err != nil {
		return reply{status: http.StatusInternalServerError, header: http.Header{}}
	}
	return reply{status: status, header: http.Header{"Content-Type": {"application/json;charset=UTF-8"}}, body: body, chunked: true}
}

func encodeJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

func emptyReply(status int) reply { return reply{status: status, header: http.Header{}} }

// length is the number of bytes that are announced.
func (r reply) length() int64 { return max(int64(len(r.body)), r.size) }

// announced is the Content-Length, or -1 for a chunked body. A body that will
// be cut must announce its length, else its end looks regular.
func (r reply) announced() int64 {
	if r.chunked && !r.cut {
		return -1
	}
	return r.length()
}

// reader returns the body; wait sleeps and ends early with an error.
func (r reply) reader(wait func(time.Duration) error) io.Reader {
	b := &bodyReader{body: r.body, end: r.length(), pause: r.pause, wait: wait}
	if r.cut {
		b.end /= 2
		b.atEnd = io.ErrUnexpectedEOF
	} else {
		b.atEnd = io.EOF
	}
	return b
}

// bodyReader makes the body while it is read: a huge one takes no memory, a
// slow one no goroutine.
type bodyReader struct {
	body  []byte
	at    int64
	end   int64
	atEnd error
	pause time.Duration
	wait  func(time.Duration) error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := b.wait(0); err != nil {
		return 0, err
	}
	if b.at >= b.end {
		return 0, b.atEnd
	}
	if b.pause > 0 {
		if err := b.wait(b.pause); err != nil {
			return 0, err
		}
		p = p[:1]
	}
	n := int(min(int64(len(p)), b.end-b.at))
	for i := range n {
		p[i] = ' '
	}
	if b.at < int64(len(b.body)) {
		copy(p[:n], b.body[b.at:])
	}
	b.at += int64(n)
	return n, nil
}

// sleep waits for d or for the end of ctx, whose error it returns. It uses
// nothing but ctx and a timer, so that it blocks durably in a synctest bubble.
func sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write sends the reply over the network.
func (r reply) write(ctx context.Context, w http.ResponseWriter, req *http.Request) {
	head := w.Header()
	maps.Copy(head, r.header)
	chunked := false
	if n := r.announced(); n >= 0 {
		head.Set("Content-Length", strconv.FormatInt(n, 10))
	} else {
		chunked = true
		if req.ProtoMajor == 1 {
			head["Transfer-Encoding"] = []string{"chunked"} // else net/http would announce a short body's length
		}
	}
	if r.body == nil && head.Get("Content-Type") == "" {
		head["Content-Type"] = nil // net/http would guess one
	}
	w.WriteHeader(r.status)
	if req.Method == http.MethodHead {
		return
	}
	if chunked && req.ProtoMajor != 1 {
		_ = http.NewResponseController(w).Flush() // the same for HTTP/2, at the price of a frame
	}
	if r.pause == 0 && !r.cut && r.size <= int64(len(r.body)) {
		_, _ = w.Write(r.body)
		return
	}
	r.writeSlowly(ctx, w)
}

// writeSlowly sends a body that a fault has changed.
func (r reply) writeSlowly(ctx context.Context, w http.ResponseWriter) {
	flush := http.NewResponseController(w)
	body := r.reader(func(d time.Duration) error { return sleep(ctx, d) })
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
		if _, werr := w.Write(buf[:n]); werr != nil {
			return
		}
		if r.pause > 0 || r.cut {
			_ = flush.Flush()
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				abort()
			}
			return
		}
	}
}

// abort ends the connection without an orderly end of the answer.
func abort() {
	panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's documented way to cut a response; its server recovers it
}
