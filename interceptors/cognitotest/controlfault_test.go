// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestControlFaults(t *testing.T) {
	t.Parallel()
	s := controlServer(t)
	status := func() int {
		resp, _ := exchange(t, s.Transport(), http.MethodPost, s.TokenURL(), cc, formHeader(testID, testSecret))
		return resp.StatusCode
	}
	postControl(t, s, "faults", `{"endpoint": "token", "faults": [{"status": 503, "times": 1}, {"status": 429, "headers": {"Retry-After": "7"}, "body": "x"}]}`)
	postControl(t, s, "faults", `{"pool": "`+testPoolID+`", "endpoint": "token", "faults": [{"status": 500, "times": 1}]}`)
	got := getControl[faultsView](t, s, "faults?pool="+testPoolID).Faults
	if len(got) != 3 || got[0].Pool != testPoolID || got[0].Fault.Status != 500 || got[1].Pool != "" || got[1].Fault.Status != 503 || got[2].Fault.Headers["Retry-After"] != "7" || *got[2].Fault.Body != "x" {
		t.Errorf("got %+v, want the pool's fault and then the server's", got)
	}
	if got := getControl[faultsView](t, s, "faults").Faults; len(got) != 2 {
		t.Errorf("without a pool: got %+v, want the server's two", got)
	}
	for i, want := range []int{500, 503, 429, 429} {
		if got := status(); got != want {
			t.Errorf("request %d: got status %d, want %d", i, got, want)
		}
	}
	if got := getControl[faultsView](t, s, "faults?pool="+testPoolID).Faults; len(got) != 1 || got[0].Fault.Status != 429 {
		t.Errorf("after four requests: got %+v, want the one that stays", got)
	}
	postControl(t, s, "faults", `{"endpoint": "api", "faults": [{"status": 500, "times": 1}]}`)
	if resp, _ := exchange(t, s.Transport(), http.MethodPost, s.URL()+"/", "{}", http.Header{"X-Amz-Target": {targetPrefix + "ListUserPools"}}); resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("management API: got status %d, want 500", resp.StatusCode)
	}
	postControl(t, s, "faults", `{"endpoint": "token", "faults": []}`)
	if got := status(); got != 200 {
		t.Errorf("after an empty list: got status %d, want 200", got)
	}
	postControl(t, s, "faults", `{"pool": "`+testPoolID+`", "endpoint": "jwks", "faults": [{"hang": true}]}`)
	postControl(t, s, "faults/clear", `{}`)
	if got := getControl[faultsView](t, s, "faults?pool="+testPoolID).Faults; len(got) != 0 {
		t.Errorf("after clear: got %+v, want none", got)
	}
}

// TestControlFaultsAreReadWhole sets every member and reads it back.
func TestControlFaultsAreReadWhole(t *testing.T) {
	t.Parallel()
	const whole = `{"latency_ms":1,"hang":true,"status":599,"headers":{"X-Test":"a b"},"body":"","redirect":"https://login.example.com/","cut":true,"byte_pause_ms":2,"unknown_key_id":true,"stale_keys":true,"body_size":3,"times":4}`
	s := controlServer(t)
	postControl(t, s, "faults", `{"endpoint": "discovery", "faults": [`+whole+`, {}]}`)
	_, body := exchange(t, s.Transport(), http.MethodGet, s.URL()+controlPath+"faults", "", nil)
	if want := `{"faults":[{"pool":"","endpoint":"discovery","fault":` + whole + `},{"pool":"","endpoint":"discovery","fault":{}}]}`; body != want {
		t.Errorf("got %s, want %s", body, want)
	}
}

func TestControlFaultBounds(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]string{
		`{"latency_ms": 600001}`:                  "faults[0].latency_ms: a whole number from 0 to 600000",
		`{"latency_ms": -1}`:                      "latency_ms",
		`{"byte_pause_ms": 600001}`:               "byte_pause_ms",
		`{"status": 199}`:                         "from 200 to 599",
		`{"status": 600}`:                         "from 200 to 599",
		`{"body_size": 1073741825}`:               "body_size",
		`{"body_size": 99999999999999999999}`:     "body_size",
		`{"times": 1000001}`:                      "times",
		`{"times": -1}`:                           "times",
		`{"hang": "yes"}`:                         "true or false",
		`{"cut": null}`:                           "true or false",
		`{"body": 1}`:                             "body: a string",
		`{"redirect": "a\r\nb"}`:                  "control characters",
		`{"headers": {"A": "a\nb"}}`:              "control characters",
		`{"headers": {"A b": "a"}}`:               "no name of a header",
		`{"headers": {"": "a"}}`:                  "no name of a header",
		`{"headers": {"a:b": "a"}}`:               "no name of a header",
		`{"headers": {"content-length": "1"}}`:    "Content-Length cannot be set",
		`{"headers": {"Transfer-Encoding": "x"}}`: "Transfer-Encoding cannot be set",
		`{"headers": {"a": "1", "A": "2"}}`:       "A is there twice",
		`{"headers": ["a"]}`:                      "headers",
		`{"headers": {` + strings.TrimSuffix(manyHeaders(mostHeaders+1), ",") + `}}`: "at most 20 headers",
		`{"wait": 1}`: "wait: unknown field",
		`[]`:          "an object",
	} {
		s := controlServer(t)
		resp, body := exchange(t, s.Transport(), http.MethodPost, s.URL()+controlPath+"faults", `{"endpoint": "token", "faults": [`+fault+`]}`, jsonHeader())
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, want) {
			t.Errorf("%s: got status %d, body %s, want 400 and %q in it", fault, resp.StatusCode, body, want)
		}
	}
}

func manyHeaders(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"X-%d": "a",`, i)
	}
	return b.String()
}
