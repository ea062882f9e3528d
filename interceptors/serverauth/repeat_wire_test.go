// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// gRPC hands the same string to all calls of a connection that send the same header. Such
// a call is refused for all that another call is refused for.
func TestRepeatOverAConnection(t *testing.T) {
	t.Parallel()
	for mode, options := range map[string][]serverauth.Option{
		"interceptors": nil,
		"header frame": {serverauth.RefuseBeforeDecoding()},
	} {
		for name, row := range map[string]struct {
			change func(t *testing.T, l *lab)
			code   codes.Code
			reason serverauth.Reason
		}{
			"nothing":    {func(*testing.T, *lab) {}, codes.OK, ""},
			"its end":    {func(*testing.T, *lab) { time.Sleep(2 * time.Hour) }, u, serverauth.ReasonTokenExpired},
			"its key":    {func(_ *testing.T, l *lab) { l.issuer.publish(otherKeyID, l.issuer.id); time.Sleep(pastTheTimer) }, u, serverauth.ReasonTokenInvalid},
			"its client": {func(t *testing.T, l *lab) { setClients(t, l, "another") }, p, serverauth.ReasonClientNotAllowed},
			"others": {func(t *testing.T, l *lab) {
				l.issuer.publish(otherKeyID, l.issuer.id, goodKeyID, l.issuer.access)
				time.Sleep(pastTheTimer)
				setClients(t, l, clientID, "another")
			}, codes.OK, ""},
		} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					l := newLab(t, setup{memory: true, options: options, verifier: []serverauth.VerifierOption{serverauth.WithTimerClock()}})
					conn := l.hooksConn(t)
					reads, writes := filesv1.NewFileReadServiceClient(conn), filesv1.NewFileWriteServiceClient(conn)
					ctx := carrying(t, l.of("demo/read.file"))
					whoAmI := func() error {
						_, err := reads.WhoAmI(ctx, &filesv1.WhoAmIRequest{})
						return err
					}
					for range 4 {
						if err := whoAmI(); err != nil {
							t.Fatal(err)
						}
					}
					if slots, used := l.verifier.Repeats(); slots != 1 || used != 1 {
						t.Fatalf("%d slots of which %d are used, want 1 and 1: gRPC does not repeat the string", slots, used)
					}
					if _, err := writes.DeleteFile(ctx, &filesv1.DeleteFileRequest{}); status.Code(err) != p {
						t.Errorf("another method: got %v, want PERMISSION_DENIED", err)
					}
					if _, err := reads.StatFile(ctx, &filesv1.StatFileRequest{}); err != nil {
						t.Errorf("a third method: %v", err)
					}
					row.change(t, l)
					ran := l.files.ran.Load()
					if err := whoAmI(); status.Code(err) != row.code || wireReason(err) != row.reason {
						t.Errorf("after the change: got %v (%s), want %v %s", err, wireReason(err), row.code, row.reason)
					}
					if passed := l.files.ran.Load() != ran; passed != (row.code == codes.OK) {
						t.Errorf("the handler ran: %v", passed)
					}
					if row.code != codes.OK {
						if slots, _ := l.verifier.Repeats(); slots != 0 {
							t.Errorf("%d slots of a token that was forgotten", slots)
						}
						return
					}
					l.verifier.Repeats()
					if err := whoAmI(); err != nil { // the slot was brought up to date
						t.Error(err)
					}
					if slots, used := l.verifier.Repeats(); slots != 1 || used != 1 {
						t.Errorf("%d slots of which %d are used, want 1 and 1", slots, used)
					}
				})
			})
		}
	}
}

func setClients(t *testing.T, l *lab, ids ...string) {
	t.Helper()
	if err := l.verifier.SetClients(issuerURL, serverauth.Clients(ids...)); err != nil {
		t.Fatal(err)
	}
}

// wireReason is the reason that a caller is told.
func wireReason(err error) serverauth.Reason {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return serverauth.Reason(info.GetReason())
		}
	}
	return ""
}
