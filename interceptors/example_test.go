// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interceptors_test

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/clientauth"
	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// files answers two of the demo service's methods.
type files struct {
	filesv1.UnimplementedFileReadServiceServer
	filesv1.UnimplementedFileWriteServiceServer
}

func (files) StatFile(ctx context.Context, req *filesv1.StatFileRequest) (*filesv1.StatFileResponse, error) {
	caller, err := serverauth.RequirePrincipal(ctx)
	if err != nil {
		return nil, err
	}
	fmt.Printf("handler: %s asks for %s\n", caller.ClientName(), req.GetName())
	return &filesv1.StatFileResponse{}, nil
}

func (files) DeleteFile(context.Context, *filesv1.DeleteFileRequest) (*filesv1.DeleteFileResponse, error) {
	fmt.Println("handler: deletes")
	return &filesv1.DeleteFileResponse{}, nil
}

// The whole way: a token from an (embedded) Cognito, a call that the rules allow, and
// one that they refuse before its handler runs.
func Example() {
	ctx := context.Background()
	cognito, err := cognitotest.NewServer(cognitotest.WithPool(cognitotest.Pool{
		Name: "s2s-test",
		ResourceServers: []cognitotest.ResourceServer{{
			Identifier: "demo",
			Scopes:     []cognitotest.Scope{{Name: "read.file"}, {Name: "write.file"}},
		}},
		Clients: []cognitotest.Client{{Name: "billing", AllowedOAuthScopes: []string{"demo/read.file"}}},
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cognito.Close()
	billing := cognito.Pool("s2s-test").Client("billing")

	// The server. With a real user pool the first three calls are one:
	// serverauth.ForUserPool(ctx, userPoolID, clients).
	verifier, err := serverauth.NewVerifier(ctx, []serverauth.Issuer{{
		URL:     cognito.Issuer(),
		JWKSURL: cognito.JWKSURL(),
		Clients: serverauth.NamedClients(map[string]string{"billing": billing.ID}),
	}}, serverauth.WithLogger(nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer verifier.Close()
	rules, err := policy.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	auth, err := serverauth.New(verifier, rules, serverauth.WithLogger(nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := grpc.NewServer(auth.ServerOptions()...)
	filesv1.RegisterFileReadServiceServer(srv, files{})
	filesv1.RegisterFileWriteServiceServer(srv, files{})
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error, 1)
	go func() { done <- auth.Serve(srv, lis) }()
	defer func() { srv.Stop(); <-done }()

	// The client. It goes without TLS here, which has to be asked for.
	tokens, err := clientauth.NewClientCredentials(clientauth.Config{
		TokenURL: cognito.TokenURL(),
		ClientID: billing.ID,
		Secret:   clientauth.StaticSecret(billing.Secret),
	}, clientauth.WithLogger(nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tokens.Close()
	options, err := clientauth.DialOptions(tokens, clientauth.AllClientScopes(),
		clientauth.AllowInsecureTransport("this example stays in one process"), clientauth.WithLogger(nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	conn, err := grpc.NewClient(lis.Addr().String(), append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()

	_, err = filesv1.NewFileReadServiceClient(conn).StatFile(ctx, &filesv1.StatFileRequest{Name: "a.txt"})
	fmt.Println("StatFile:", status.Code(err))
	_, err = filesv1.NewFileWriteServiceClient(conn).DeleteFile(ctx, &filesv1.DeleteFileRequest{Name: "a.txt"})
	fmt.Println("DeleteFile:", status.Code(err))
	fmt.Println(status.Convert(err).Message())
	fmt.Println("tokens fetched:", cognito.Counts().TokensIssued)
	// Output:
	// handler: billing asks for a.txt
	// StatFile: OK
	// DeleteFile: PermissionDenied
	// /demo.files.v1.FileWriteService/DeleteFile needs demo/write.file; the token has demo/read.file
	// tokens fetched: 1
}
