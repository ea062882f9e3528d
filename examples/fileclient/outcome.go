// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/clientauth"
)

// Exit codes. Those above 1 are of sysexits.h, or near to it: 77 is EX_NOPERM, and
// 78, EX_CONFIG, stands for credentials that were not accepted.
const (
	exitOK              = 0
	exitError           = 1
	exitUsage           = 64
	exitUnavailable     = 69
	exitRefused         = 77
	exitUnauthenticated = 78
)

// usageError is a configuration that cannot be right.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	switch status.Code(err) {
	case codes.PermissionDenied:
		return exitRefused
	case codes.Unauthenticated:
		return exitUnauthenticated
	case codes.Unavailable:
		return exitUnavailable
	default:
		return exitError
	}
}

// explain returns one line: what was tried, the code, the message, and what to do.
func explain(c *config, err error) string {
	what := c.command.name
	if len(c.args) > 0 {
		what += " " + fmt.Sprintf("%q", c.args[0])
	}
	st, ok := status.FromError(err)
	if _, usage := errors.AsType[usageError](err); usage || !ok {
		return what + ": " + oneLine(err.Error())
	}
	text := st.Message()
	if own, ok := errors.AsType[*clientauth.Error](err); ok {
		text = own.Error() // the status of a local error is written for strangers
	}
	name := code.Code(st.Code()).String() //nolint:gosec // codes are small
	line := what + ": " + name + ": " + oneLine(text)
	if todo := advice(c, st.Code(), err); todo != "" {
		line += ": " + todo
	}
	return line
}

// advice says what to do about the status, unless the message does so itself.
func advice(c *config, got codes.Code, err error) string {
	if own, ok := errors.AsType[*clientauth.Error](err); ok {
		if own.Hint() == "" && got == codes.Unavailable {
			return "check -token-url or -user-pool-api, and that this machine may reach it"
		}
		return "" // it says so
	}
	switch got {
	case codes.PermissionDenied:
		if reason(err) == "CLIENT_NOT_ALLOWED" {
			return "put the app client on the server's -clients list, or use one that is there"
		}
		return "give the app client the scope in Cognito, or use another app client"
	case codes.Unauthenticated:
		return "check that -token-url or the app client belongs to the user pool that the server trusts"
	case codes.Unavailable:
		return "check that the server at " + c.addr + " runs, and that -ca is for its certificate"
	case codes.NotFound:
		return `"fileclient ls" prints the names of all files`
	case codes.Unimplemented:
		return "check that -addr is a fileserver"
	case codes.DeadlineExceeded, codes.Aborted:
		return "try again"
	default:
		return ""
	}
}

// reason returns what the server's interceptors say in the ErrorInfo of a refusal, or "".
func reason(err error) string {
	st, _ := status.FromError(err)
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "scopeauth.v1" {
			return info.GetReason()
		}
	}
	return ""
}

// oneLine keeps a text that came over the wire from acting on a terminal.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }), " ")
}
