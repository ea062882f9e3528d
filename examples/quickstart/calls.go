// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/clientauth"
	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// caller is somebody who calls the file server.
type caller struct {
	who    string
	conn   *grpc.ClientConn
	token  string // sent as raw metadata, if not empty
	scopes string // what the token carries, for the table
}

func (c caller) context(ctx context.Context) context.Context {
	if c.token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
}

// call is one row of the table. do returns what the client and the disk say.
type call struct {
	by       caller
	what     string
	expected string
	do       func(ctx context.Context, c caller) string
}

const content = "hello, world" // 12 bytes

// tellCalls makes the calls and prints the table. It returns how many ended as
// expected, and how many there were.
func tellCalls(ctx context.Context, out io.Writer, w *world) (good, all int, err error) {
	rows, err := w.calls(ctx)
	if err != nil {
		return 0, 0, err
	}
	fmt.Fprintf(out, "\nCalls to the file server on %s over TLS (the rules are in proto/demo/files/v1/files.proto)\n\n", w.addr)
	const format = "  %-2s %-22s %-16s %-21s %-50s %s\n"
	fmt.Fprintf(out, format, "", "who", "call", "scopes in the token", "expected", "got")
	for _, row := range rows {
		got := row.do(row.by.context(ctx), row.by)
		mark := "!!"
		if got == row.expected {
			mark = "ok"
			good++
		}
		fmt.Fprintf(out, format, mark, row.by.who, row.what, orDash(row.by.scopes), row.expected, got)
	}
	fmt.Fprintf(out, "\n  * asked for demo/write.file too; Cognito dropped it without a word, see step 3.5\n")
	return good + w.tellRenewal(ctx, out), len(rows) + renewalCalls, nil
}

func (w *world) calls(ctx context.Context) ([]call, error) {
	everything := clientauth.ForMethods(
		filesv1.FileReadService_ReadFile_FullMethodName,
		filesv1.FileReadService_WhoAmI_FullMethodName,
		filesv1.FileWriteService_WriteFile_FullMethodName,
		filesv1.FileWriteService_AppendFile_FullMethodName,
		filesv1.FileWriteService_DeleteFile_FullMethodName,
	)
	owner, err1 := w.caller(ctx, w.pool, appClient, everything, "demo/read.file", "demo/write.file")
	only, err2 := w.caller(ctx, w.pool, reader, clientauth.AllClientScopes())
	dropped, err3 := w.caller(ctx, w.pool, reader, clientauth.FixedScopes("demo/read.file", "demo/write.file"), "demo/read.file", "demo/write.file")
	dropped.who += "*"
	stranger, err4 := w.caller(ctx, w.other, appClient, everything, "demo/read.file", "demo/write.file")
	stranger.who = "client of another pool"
	bare, err5 := w.dialBare()
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	nobody := caller{who: "somebody", conn: bare}
	expired, err1 := w.minted(bare, "expired token", cognitotest.MintSpec{Expired: true})
	idToken, err2 := w.minted(bare, "ID token", cognitotest.MintSpec{IDToken: true})
	forged, err3 := w.forged(bare)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	return []call{
		{owner, "write a.txt", "OK, 12 bytes", w.write("a.txt")},
		{owner, "append to a.txt", "OK, 24 bytes", w.append("a.txt")},
		{only, "read a.txt", "OK, 24 bytes", read},
		{only, "who am I", "OK, " + reader, w.whoAmI},
		{nobody, "version (public)", "OK", version},
		{only, "write b.txt", "PERMISSION_DENIED needs demo/write.file, no file", w.write("b.txt")},
		{only, "write a.txt", "PERMISSION_DENIED needs demo/write.file, 24 bytes", w.write("a.txt")},
		{only, "delete a.txt", "PERMISSION_DENIED needs demo/write.file, 24 bytes", w.remove("a.txt")},
		{dropped, "write c.txt", "PERMISSION_DENIED needs demo/write.file, no file", w.write("c.txt")},
		{nobody, "read a.txt", "UNAUTHENTICATED TOKEN_MISSING", read},
		{nobody, "write d.txt", "UNAUTHENTICATED TOKEN_MISSING, no file", w.write("d.txt")},
		{expired, "read a.txt", "UNAUTHENTICATED TOKEN_INVALID", read},
		{stranger, "read a.txt", "UNAUTHENTICATED TOKEN_INVALID", read},
		{idToken, "who am I", "UNAUTHENTICATED TOKEN_INVALID", w.whoAmI},
		{forged, "write e.txt", "UNAUTHENTICATED TOKEN_INVALID, no file", w.write("e.txt")},
		{owner, "delete a.txt", "OK, no file", w.remove("a.txt")},
	}, nil
}

// caller connects a client through clientauth and looks into the token that it will send.
func (w *world) caller(ctx context.Context, pool *cognitotest.UserPool, client string, scopes clientauth.Selection, asked ...string) (caller, error) {
	tokens, conn, err := w.dial( //nolint:contextcheck // a connection outlives the context of whoever opens it
		pool, client, scopes)
	if err != nil {
		return caller{}, err
	}
	token, err := tokens.Token(ctx, clientauth.Request{Scopes: asked})
	if err != nil {
		return caller{}, err
	}
	carried, err := scopesOf(token.Value())
	return caller{who: client, conn: conn, scopes: carried}, err
}

// minted is a caller with a token that the token endpoint would not give.
func (w *world) minted(conn *grpc.ClientConn, who string, spec cognitotest.MintSpec) (caller, error) {
	token, err := w.pool.Mint(spec)
	if err != nil {
		return caller{}, err
	}
	carried, err := scopesOf(token)
	return caller{who: who, conn: conn, token: token, scopes: carried}, err
}

// forged is a caller with a token that a stranger's key signed.
func (w *world) forged(conn *grpc.ClientConn) (caller, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return caller{}, err
	}
	return w.minted(conn, "forged signature", cognitotest.MintSpec{Key: key})
}

func (w *world) write(name string) func(context.Context, caller) string {
	return func(ctx context.Context, c caller) string {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := filesv1.NewFileWriteServiceClient(c.conn).WriteFile(ctx)
		if err == nil {
			// A refused stream ends Send with io.EOF; its status comes with CloseAndRecv.
			err = stream.Send(&filesv1.WriteFileRequest{Part: &filesv1.WriteFileRequest_Name{Name: name}})
			if err == nil {
				err = stream.Send(&filesv1.WriteFileRequest{Part: &filesv1.WriteFileRequest_Chunk{Chunk: []byte(content)}})
			}
			if err == nil || errors.Is(err, io.EOF) {
				_, err = stream.CloseAndRecv()
			}
		}
		return told(err) + ", " + w.onDisk(name)
	}
}

func (w *world) append(name string) func(context.Context, caller) string {
	return func(ctx context.Context, c caller) string {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return told(appendOnce(ctx, c, name)) + ", " + w.onDisk(name)
	}
}

func appendOnce(ctx context.Context, c caller, name string) error {
	stream, err := filesv1.NewFileWriteServiceClient(c.conn).AppendFile(ctx)
	if err != nil {
		return err
	}
	for _, part := range []*filesv1.AppendFileRequest{
		{Part: &filesv1.AppendFileRequest_Name{Name: name}},
		{Part: &filesv1.AppendFileRequest_Chunk{Chunk: []byte(content)}},
	} {
		if err := stream.Send(part); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func read(ctx context.Context, c caller) string {
	n, err := readAll(ctx, c, "a.txt")
	if err != nil {
		return told(err)
	}
	return fmt.Sprintf("OK, %d bytes", n)
}

func readAll(ctx context.Context, c caller, name string) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := filesv1.NewFileReadServiceClient(c.conn).ReadFile(ctx, &filesv1.ReadFileRequest{Name: name})
	if err != nil {
		return 0, err
	}
	n := 0
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		n += len(part.GetChunk())
	}
}

func (w *world) remove(name string) func(context.Context, caller) string {
	return func(ctx context.Context, c caller) string {
		_, err := filesv1.NewFileWriteServiceClient(c.conn).DeleteFile(ctx, &filesv1.DeleteFileRequest{Name: name})
		return told(err) + ", " + w.onDisk(name)
	}
}

func (w *world) whoAmI(ctx context.Context, c caller) string {
	me, err := filesv1.NewFileReadServiceClient(c.conn).WhoAmI(ctx, &filesv1.WhoAmIRequest{})
	if err != nil {
		return told(err)
	}
	for _, name := range w.pool.ClientNames() {
		if w.pool.Client(name).ID == me.GetClientId() {
			return "OK, " + name
		}
	}
	return "OK, a client of no pool"
}

func version(ctx context.Context, c caller) string {
	_, err := filesv1.NewFileReadServiceClient(c.conn).Version(ctx, &filesv1.VersionRequest{})
	return told(err)
}

// told is the status that the client received, in the words of the table.
func told(err error) string {
	st := status.Convert(err)
	if st.Code() == codes.OK {
		return "OK"
	}
	code := map[codes.Code]string{
		codes.PermissionDenied: "PERMISSION_DENIED",
		codes.Unauthenticated:  "UNAUTHENTICATED",
	}[st.Code()]
	if code == "" {
		return st.Code().String() + ": " + st.Message()
	}
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			if needed := info.GetMetadata()["required"]; needed != "" {
				return code + " needs " + needed
			}
			return code + " " + info.GetReason()
		}
	}
	return code + ": " + st.Message()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return strings.ReplaceAll(s, " ", ", ")
}

const (
	renewalCalls = 60
	renewalPause = 100 * time.Millisecond
	rotateAfter  = 20 // calls
)
