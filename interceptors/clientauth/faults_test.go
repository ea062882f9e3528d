// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// faultTests are the faults of a token endpoint, a secret, a clock, a server and a
// caller, and where each is tested.
var faultTests = []struct {
	fault string
	tests string
}{
	{"500 or 503 once: nobody sees it", "TestTransientFailureOnceIsNotSeen"},
	{"500 for ever, usable token: calls go on, tries at 1 to 60 s", "TestDownForTenMinutes TestPause"},
	{"500 for ever, no token: 50 callers share 3 requests, then fail at once", "TestDownWithoutToken TestCallersAtAFailingEndpoint TestWaitInBackoff"},
	{"429 with Retry-After: seconds, date, garbage, a year", "TestThrottledWithRetryAfter TestRetryAfter TestPause"},
	{"429 with HTML or an empty body", "TestThrottledOnce TestAnswer"},
	{"hang before headers", "TestHangEndsWithTheFlight TestCallerContext TestHangingServer TestTransportBounds"},
	{"slow body, 1 byte a second", "TestSlowBodyEndsWithTheAttempt"},
	{"huge body, gzip", "TestHugeBodyIsNotRead TestHugeBodyClosesTheConnection TestHugeHeaderIsNotRead TestCompressedAnswer"},
	{"200 with HTML, nothing, truncated JSON, an array, trailing data: tries go on", "TestAnswer TestParseResponse TestBadBodiesAreNoEnd TestUnpaidAnswerIsRepeated"},
	{"405 with an empty body, 403 with HTML: transient", "TestAnswer TestBadBodiesAreNoEnd"},
	{"expires_in in all forms", "TestExpiresIn TestLife TestMissingLifeIsLogged TestHourOfFailures FuzzParseResponse"},
	{"expires_in 3600, but the JWT lives 300 s", "TestLife TestDecodePayload FuzzDecodePayload"},
	{"expires_in 5: at most one fetch a second", "TestShortLife"},
	{"an answer that takes longer than its token lives", "TestTokenThatComesTooLate"},
	{"token_type mac or missing", "TestParseResponse TestAllowMissingTokenType"},
	{"token with CR LF, space, other than ASCII, empty, 9 KiB", "TestParseResponse TestHourOfFailures TestLargeTokenIsLogged"},
	{"redirect to another host", "TestRedirectIsNotFollowed TestAnswer"},
	{"bad certificate, wrong name, old TLS, plain http", "TestNetworkFaults TestPlainServerOnHTTPS TestConfigErrors"},
	{"a proxy, one that refuses too", "TestProxyFromTheEnvironment TestNoProxyForPlainHTTP"},
	{"no such host, refused, reset after the request: one quick retry", "TestNetworkFaults TestTransientFailureOnceIsNotSeen"},
	{"invalid_client at the start: one request in 30 s, doubling", "TestInvalidClient TestHourOfFailures TestCallersAtAFailingEndpoint"},
	{"invalid_client at a renewal, usable token", "TestInvalidClientWhileTheTokenIsUsable"},
	{"secret file replaced during a run, by symlink swap too: the next fetch uses it", "TestSecretFileReplacedDuringARun TestSecretFileBySymlinkSwap"},
	{"secret file half-written, missing or bad: the old secret stays, with a warning", "TestBadSecretFileKeepsTheSecret TestSecretFileThatIsBeingWritten TestSlowReadDoesNotBringTheOldSecretBack TestWarningsAreLogged TestBadSecretFileAtFirst TestSecretBecomesAPipe"},
	{"secret changed while it is refused: the pause ends at once", "TestSecretFileRepairedWhileDenied TestChangedSecretEndsTheDenial TestInvalidClientAtStartThenSecretChanged TestInvalidClientAtRefreshThenSecretChanged TestSecretThatAppears TestSecretChangedDuringAFlight TestChangedSecretIsSeenByAnotherSet TestChangedSecretWithKeepWarm"},
	{"secret that changes all the time, or while the endpoint asks for a pause: no hurry", "TestSecretThatIsAnotherEachTime TestChangedSecretIsNoReasonToHurry TestOtherPausesStay"},
	{"secret rotated at the server first", "TestSecretRotatedAtTheServerFirst TestSecondSecretThatCannotBeRead"},
	{"clock set 2 h ahead", "TestClockStepForward TestClockStepForwardWhileTheEndpointWorks"},
	{"clock set 2 h back", "TestClockStepBack"},
	{"suspend", "TestSuspend TestSuspendWithAnEndpointThatHangs TestSuspectIsNotSentAfterItsEnd"},
	{"10,000 callers at expiry, a cancelled first one, a failing endpoint", "TestTenThousandCallers TestCallersAtAFailingEndpoint"},
	{"a caller's deadline shorter than the fetch", "TestCallerContext TestTenThousandCallers TestSuspectCallHasItsOwnDeadline"},
	{"a caller's context that was cancelled before", "TestCallerContext"},
	{"a server refuses the token once: one token and one call more", "TestServerSaysUnauthenticatedOnce TestServerStreamRepeatedOnce TestRetriesAreCounted TestRejected TestSuspectAndRejected"},
	{"a server refuses the token always, 1,000 calls in 1 s: one token more in 60 s", "TestServerSaysUnauthenticatedAlways TestSameTokenAgain TestRejected"},
	{"two calls refused with the same token at once", "TestTwoCallsRejectedAtOnce TestRejected"},
	{"one backend refuses, another does not, endpoint down", "TestOneBackendRejectsTheOtherAccepts TestRejectedWhileTheEndpointIsDown"},
	{"PermissionDenied: no other token", "TestPermissionDenied"},
	{"the local token error is Unauthenticated: no repetition", "TestLocalTokenErrorIsUnauthenticated"},
	{"a server stream fails after a message: no repetition", "TestServerStreamIsNotRepeated"},
	{"client and bidi streams that gRPC repeats", "TestBidiStreamRetried TestSendAfterRetriesInVain TestRetryForAnotherCause TestOneRenewalForACall TestClientStreamRetried"},
	{"gRPC repeats a call, and the server refuses it before its messages are sent again", "TestRefusedWhileReplayed TestUnaryRefusedWhileReplayed TestTokenRefusedBeforeTheMessage"},
	{"gRPC repeats a stream, and there is no token: that is no good end of it", "TestNoTokenIsNoEndOfAStream TestForeignEnds"},
	{"a call that ends while its stream is opened again", "TestServerStreamReopened TestServerStreamOfAnEndedCall"},
	{"gRPC's own retry policy, and the targets of options, at a repetition", "TestRetryPolicyDoesNotMultiplyFetches TestTargetsTellOfTheLastAttempt"},
	{"the caller set authorization: one value on the wire", "TestCallerSetAuthorization TestConnectionsOwnCredentialsCannotBeSeen"},
	{"plaintext is refused, without a request", "TestPlaintextIsRefused"},
	{"backend down, WaitForReady: no request", "TestBackendDownWaitForReady"},
	{"idle for 3 lifetimes", "TestIdleFetchesNothing TestIdleWithKeepWarm"},
	{"Close during a flight, Close twice, Token after Close", "TestClose TestCloseDoesNotWaitForEver TestCloseEndsKeepWarm TestCloseIsNoFailure TestWarm"},
	{"code of the user's that hangs, panics or ends its goroutine", "TestHungFunctions TestGoexit TestPanicInATransport TestPanicInASecretFunction TestLogHandlers TestReportersHoldNobody"},
	{"an hour with tokens of 5 s and faults at random", "TestSoak"},
	{"secrets and tokens in what is printed", "TestNothingIsPrinted TestErrorsPrintNothing TestWhatTestsPrint"},
}

// TestEveryFaultIsTested: no row can be forgotten when a test gets another name.
func TestEveryFaultIsTested(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	var names []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
				names = append(names, fn.Name.Name)
			}
		}
	}
	for _, row := range faultTests {
		for test := range strings.FieldsSeq(row.tests) {
			if !slices.Contains(names, test) {
				t.Errorf("%s: there is no %s", row.fault, test)
			}
		}
		if row.tests == "" {
			t.Errorf("%s has no test", row.fault)
		}
	}
}
