// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// describe returns what an error of the network means and, if the error is of a
// kind whose text is the machine's own, the error as the cause.
func describe(err error) (text string, cause error) {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its certificate does not hold: " + printable(e.Err.Error(), 300), e
	}
	if e, ok := errors.AsType[tls.AlertError](err); ok {
		return "TLS failed: " + e.Error(), e
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		// The error itself holds the bytes that came instead of TLS.
		if string(e.RecordHeader[:]) == "HTTP/" {
			return "it speaks plain HTTP, not TLS", nil
		}
		return "it does not speak TLS", nil
	}
	if e, ok := errors.AsType[*proxyError](err); ok {
		return e.Error(), nil
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return printable(e.Error(), 300), foreign(e)
	}
	// The cause of what timed out or was given up is left out: errors.Is would take
	// it for the end of the caller's own context.
	op, isOp := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, context.Canceled):
		return "the request was given up", nil
	case errors.Is(err, context.DeadlineExceeded) || timeout(err):
		if isOp && op.Op == "dial" {
			return printable(op.Error(), 300), nil
		}
		return "no answer in time", nil
	case isOp:
		return printable(op.Error(), 300), foreign(op)
	case strings.HasPrefix(err.Error(), "tls: "):
		return printable(err.Error(), 300), nil
	}
	for _, known := range []error{io.EOF, io.ErrUnexpectedEOF, errNoAnswer} {
		if errors.Is(err, known) {
			return "the connection ended: " + known.Error(), foreign(known)
		}
	}
	return fmt.Sprintf("the HTTP exchange failed (%T)", err), nil
}

// foreign returns err as a cause, or nil if errors.Is would take it for the end of
// the caller's own context or, with io.EOF, for the good end of a stream: gRPC may ask
// for a token inside RecvMsg.
func foreign(err error) error {
	for _, end := range []error{context.Canceled, context.DeadlineExceeded, io.EOF} {
		if errors.Is(err, end) {
			return nil
		}
	}
	return err
}

func timeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}
