// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// FuzzControl sends anything to every control path that takes JSON. A refusal
// changes nothing; what was accepted is within its bounds and reads back the
// same; every answer is JSON with the console's headers.
func FuzzControl(f *testing.F) {
	paths := []string{"faults", "faults/clear", testPoolAt + "/settings", testPoolAt + "/keys/drop-old", testPoolAt + "/keys/rotate"}
	for _, body := range []string{
		`{}`, `[]`, `null`, `{"keep": 11}`, `{"issuer_form": "UPDATED", "disallowed_scopes": "reject"}`,
		`{"endpoint": "token", "faults": [{"status": 503, "times": 2}]}`,
		`{"pool": "` + testPoolID + `", "endpoint": "jwks", "faults": [{"latency_ms": 1, "hang": true, "headers": {"A": "b"}, "body": "é\u0000", "redirect": "/", "cut": true, "byte_pause_ms": 1, "body_size": 1}]}`,
		`{"endpoint": "discovery", "faults": []}`, "{\"a\": 1, \"a\": 2}", "\xff", `{"keep": 1e400}`,
	} {
		for i := range paths {
			f.Add(uint8(i), []byte(body))
		}
	}
	// Rotations make keys and take their time: only refused ones are tried.
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		at := paths[int(which)%len(paths)]
		if at == testPoolAt+"/keys/rotate" {
			var rotation struct{ Keep any }
			if json.Unmarshal(body, &rotation) == nil && rotation.Keep != nil && !bytes.Contains(body, []byte("11")) {
				t.Skip()
			}
		}
		s := controlServer(t)
		before := fmt.Sprint(getControl[poolView](t, s, testPoolAt), getControl[faultsView](t, s, "faults?pool="+testPoolID))
		resp, got := exchange(t, s.Transport(), http.MethodPost, s.URL()+controlPath+at, string(body), jsonHeader())
		checkConsoleHeaders(t, resp.Header)
		if !json.Valid([]byte(got)) {
			t.Fatalf("the answer is not JSON: %q", got)
		}
		after := fmt.Sprint(getControl[poolView](t, s, testPoolAt), getControl[faultsView](t, s, "faults?pool="+testPoolID))
		switch resp.StatusCode {
		case http.StatusOK:
			checkFaults(t, &s.faults)
			checkFaults(t, &s.Pools()[0].faults)
		case http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge:
			if after != before {
				t.Fatalf("status %d, and something changed: got %s, want %s", resp.StatusCode, after, before)
			}
		default:
			t.Fatalf("got status %d, body %s", resp.StatusCode, got)
		}
	})
}

// checkFaults checks bounds, and that reading what is written gives the same.
func checkFaults(t *testing.T, b *faultBook) {
	t.Helper()
	for _, faults := range b.faults {
		if len(faults) > mostFaults {
			t.Fatalf("got %d faults", len(faults))
		}
		for _, fault := range faults {
			if fault.Latency < 0 || fault.Latency > longestWait || fault.BytePause < 0 || fault.BytePause > longestWait || fault.BodySize < 0 || fault.BodySize > largestBody ||
				fault.Times < 0 || fault.Times > mostTimes || len(fault.Header) > mostHeaders || fault.Latency%time.Millisecond != 0 {
				t.Fatalf("out of bounds: %+v", fault)
			}
			written, err := json.Marshal(newFaultView(fault))
			if err != nil {
				t.Fatal(err)
			}
			var found problems
			again := readFault(configReader{&found}, "", written)
			if len(found.list) > 0 || fmt.Sprint(again) != fmt.Sprint(fault) {
				t.Fatalf("read again: got %+v, %v, want %+v", again, found.list, fault)
			}
		}
	}
}
