// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"errors"
	"io"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Where gRPC has repeated a call and the server has refused the repetition before all
// messages were sent again, gRPC 1.85 returns the io.EOF of that sending, bare or wrapped,
// in place of the server's status. What follows finds the status.

// lostStatus reports whether err is such an io.EOF.
func (c *callCarrier) lostStatus(err error) bool {
	return errors.Is(err, io.EOF) && c.asked.Load() > 1
}

// receive is stream.RecvMsg. There io.EOF says that the call has ended well. Asked once
// more, gRPC says how it ended.
func (c *callCarrier) receive(stream grpc.ClientStream, m any) error {
	err := stream.RecvMsg(m)
	if c.lostStatus(err) {
		return stream.RecvMsg(m)
	}
	return err
}

// outcome is what a unary call ended with, where gRPC says err. It cannot be asked once
// more there, but the trailer has the status if that has details, as each refusal of the
// library's server side has. Else the code is UNKNOWN.
func (c *callCarrier) outcome(err error) error {
	if !c.lostStatus(err) {
		return err
	}
	if st := statusIn(c.trailer); st != nil {
		return st.Err()
	}
	return status.Error(codes.Unknown, "gRPC repeated the call, which ended before it was sent again, and does not say how: "+err.Error())
}

// statusIn returns the status in a trailer, or nil if it has none.
func statusIn(trailer metadata.MD) *status.Status {
	values := trailer.Get("grpc-status-details-bin")
	if len(values) != 1 {
		return nil
	}
	st := &spb.Status{}
	if err := proto.Unmarshal([]byte(values[0]), st); err != nil || st.GetCode() == int32(codes.OK) {
		return nil
	}
	return status.FromProto(st)
}
