// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// token returns a context with a token of the pool.
func (p *program) token(t *testing.T, spec cognitotest.MintSpec) (context.Context, string) {
	t.Helper()
	token, err := p.pool.Mint(spec)
	if err != nil {
		t.Fatal(err)
	}
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token), token
}

// put writes a file with the scopes for it.
func (p *program) put(t *testing.T, conn *grpc.ClientConn, name, content string) error {
	t.Helper()
	ctx, _ := p.token(t, cognitotest.MintSpec{Scopes: []string{"demo/write.file"}})
	stream, err := filesv1.NewFileWriteServiceClient(conn).WriteFile(ctx)
	if err != nil {
		return err
	}
	for _, m := range []*filesv1.WriteFileRequest{
		{Part: &filesv1.WriteFileRequest_Name{Name: name}},
		{Part: &filesv1.WriteFileRequest_Chunk{Chunk: []byte(content)}},
	} {
		if stream.Send(m) != nil {
			break // CloseAndRecv has the status
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}

// TestScopes calls each method with each set of scopes: the program enforces the
// rules of the .proto file. What is let through finds no file, or no message.
func TestScopes(t *testing.T) {
	t.Parallel()
	p := begin(t)
	conn := p.dial(t)
	const read, write = "demo/read.file", "demo/write.file"
	for _, tt := range []struct {
		method                       string
		stream                       bool
		none, read, write, readWrite codes.Code
	}{
		{filesv1.FileReadService_StatFile_FullMethodName, false, codes.PermissionDenied, codes.InvalidArgument, codes.InvalidArgument, codes.InvalidArgument},
		{filesv1.FileReadService_ListFiles_FullMethodName, false, codes.PermissionDenied, codes.OK, codes.PermissionDenied, codes.OK},
		{filesv1.FileReadService_ReadFile_FullMethodName, true, codes.PermissionDenied, codes.InvalidArgument, codes.PermissionDenied, codes.InvalidArgument},
		{filesv1.FileReadService_WhoAmI_FullMethodName, false, codes.OK, codes.OK, codes.OK, codes.OK},
		{filesv1.FileReadService_Version_FullMethodName, false, codes.OK, codes.OK, codes.OK, codes.OK},
		{filesv1.FileWriteService_WriteFile_FullMethodName, true, codes.PermissionDenied, codes.PermissionDenied, codes.InvalidArgument, codes.InvalidArgument},
		{filesv1.FileWriteService_DeleteFile_FullMethodName, false, codes.PermissionDenied, codes.PermissionDenied, codes.InvalidArgument, codes.InvalidArgument},
		{filesv1.FileWriteService_AppendFile_FullMethodName, true, codes.PermissionDenied, codes.PermissionDenied, codes.PermissionDenied, codes.InvalidArgument},
		{"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", true, codes.Unimplemented, codes.Unimplemented, codes.Unimplemented, codes.Unimplemented},
	} {
		for _, c := range []struct {
			scopes []string
			want   codes.Code
		}{
			{[]string{}, tt.none},
			{[]string{read}, tt.read},
			{[]string{write}, tt.write},
			{[]string{read, write}, tt.readWrite},
		} {
			ctx, _ := p.token(t, cognitotest.MintSpec{Scopes: c.scopes})
			var err error
			if tt.stream {
				err = open(ctx, conn, tt.method)
			} else {
				// An empty message: for all methods the one without a name.
				err = conn.Invoke(ctx, tt.method, &filesv1.WhoAmIRequest{}, &filesv1.WhoAmIResponse{})
			}
			wantCode(t, tt.method+" with "+strings.Join(c.scopes, " "), err, c.want)
		}
	}
}

func TestWrongTokens(t *testing.T) {
	t.Parallel()
	p := begin(t)
	client := filesv1.NewFileReadServiceClient(p.dial(t))
	other, err := cognito(t).Pool("s2s-test").Mint(cognitotest.MintSpec{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		spec cognitotest.MintSpec
		want codes.Code
	}{
		{"right", cognitotest.MintSpec{}, codes.OK},
		{"expired", cognitotest.MintSpec{Expired: true}, codes.Unauthenticated},
		{"ID token", cognitotest.MintSpec{IDToken: true}, codes.Unauthenticated},
		{"broken signature", cognitotest.MintSpec{Signature: cognitotest.SignatureBroken}, codes.Unauthenticated},
	} {
		ctx, _ := p.token(t, tt.spec)
		_, err := client.WhoAmI(ctx, &filesv1.WhoAmIRequest{})
		wantCode(t, tt.name, err, tt.want)
	}
	_, err = client.WhoAmI(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+other), &filesv1.WhoAmIRequest{})
	wantCode(t, "another pool", err, codes.Unauthenticated)
}

// TestClientsAreKept has a right token of an app client that is not on the list.
func TestClientsAreKept(t *testing.T) {
	t.Parallel()
	p := begin(t, "-clients", "someone-else")
	ctx, _ := p.token(t, cognitotest.MintSpec{})
	_, err := filesv1.NewFileReadServiceClient(p.dial(t)).WhoAmI(ctx, &filesv1.WhoAmIRequest{})
	wantCode(t, "WhoAmI", err, codes.PermissionDenied)
}

// TestLogOfCalls has the caller in it, and no token.
func TestLogOfCalls(t *testing.T) {
	t.Parallel()
	p := begin(t)
	conn := p.dial(t)
	if err := p.put(t, conn, "a", "content"); err != nil {
		t.Fatal(err)
	}
	ctx, token := p.token(t, cognitotest.MintSpec{Scopes: []string{"demo/read.file"}})
	if _, err := filesv1.NewFileReadServiceClient(conn).StatFile(ctx, &filesv1.StatFileRequest{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	refused, _ := p.token(t, cognitotest.MintSpec{Expired: true})
	_, err := filesv1.NewFileReadServiceClient(conn).StatFile(refused, &filesv1.StatFileRequest{Name: "a"})
	wantCode(t, "an expired token", err, codes.Unauthenticated)
	p.stop()
	<-p.done
	log := p.stderr.String()
	id := "client_id=" + p.pool.Client("sts-test-app-client").ID
	for _, want := range []string{id, "client_name=uploader", "grpc.method=WriteFile", "grpc.method=StatFile", "TOKEN_EXPIRED"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	for part := range strings.SplitSeq(token, ".") {
		if strings.Contains(log, part) {
			t.Error("the log holds a part of a token")
		}
	}
}

// TestDrainFinishesAnUpload stops the server in the middle of an upload.
func TestDrainFinishesAnUpload(t *testing.T) {
	t.Parallel()
	p := begin(t, "-drain-timeout", "10m")
	ctx, _ := p.token(t, cognitotest.MintSpec{})
	conn := p.dial(t)
	stream, err := filesv1.NewFileWriteServiceClient(conn).AppendFile(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.root, "a"), []byte("begin"), 0o600); err != nil {
		t.Fatal(err)
	}
	send := func(m *filesv1.AppendFileRequest) {
		t.Helper()
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	send(&filesv1.AppendFileRequest{Part: &filesv1.AppendFileRequest_Name{Name: "a"}})
	for i, chunk := range []string{" one", " two"} {
		send(&filesv1.AppendFileRequest{Part: &filesv1.AppendFileRequest_Chunk{Chunk: []byte(chunk)}})
		if _, err := stream.Recv(); err != nil {
			t.Fatalf("chunk %d: %v", i, err)
		}
		p.stop()
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if code := <-p.done; code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
	if got, err := os.ReadFile(filepath.Join(p.root, "a")); err != nil || string(got) != "begin one two" {
		t.Errorf("got %q, %v, want both chunks", got, err)
	}
}

// TestCutUploadLeavesNothing has an upload that does not end in time.
func TestCutUploadLeavesNothing(t *testing.T) {
	t.Parallel()
	p := begin(t, "-drain-timeout", "1ms")
	ctx, _ := p.token(t, cognitotest.MintSpec{})
	stream, err := filesv1.NewFileWriteServiceClient(p.dial(t)).WriteFile(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&filesv1.WriteFileRequest{Part: &filesv1.WriteFileRequest_Name{Name: "a/b"}}); err != nil {
		t.Fatal(err)
	}
	p.stop()
	if code := <-p.done; code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
	if entries, err := os.ReadDir(p.root); err != nil || len(entries) != 0 {
		t.Errorf("the store has %v, %v, want nothing", entries, err)
	}
}
