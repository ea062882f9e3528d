// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func jsonHeader() http.Header { return http.Header{"Content-Type": {"application/json"}} }

// controlServer has the test pool and the console.
func controlServer(tb testing.TB) *Server {
	tb.Helper()
	return newServer(tb, WithPool(testPool()), WithoutListener(), WithConsole(), fixedClock())
}

// postControl posts to a control path, which must accept it.
func postControl(tb testing.TB, s *Server, at, body string) {
	tb.Helper()
	resp, got := exchange(tb, s.Transport(), http.MethodPost, s.URL()+controlPath+at, body, jsonHeader())
	if resp.StatusCode != http.StatusOK || got != "{}" {
		tb.Fatalf("POST %s %s: got status %d, body %s, want 200 and {}", at, body, resp.StatusCode, got)
	}
}

// getControl reads a control path.
func getControl[T any](tb testing.TB, s *Server, at string) T {
	tb.Helper()
	resp, body := exchange(tb, s.Transport(), http.MethodGet, s.URL()+controlPath+at, "", nil)
	var got T
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != http.StatusOK {
		tb.Fatalf("GET %s: got status %d, body %s, want 200 and JSON", at, resp.StatusCode, body)
	}
	if resp.Header.Get("Content-Type") != "application/json" {
		tb.Errorf("GET %s: got type %q, want application/json", at, resp.Header.Get("Content-Type"))
	}
	return got
}

const testPoolAt = "pools/" + testPoolID

func TestControlPathsRefuse(t *testing.T) {
	t.Parallel()
	const fault = `{"endpoint": "token", "faults": [{"status": 503}]}`
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	plain := http.Header{"Content-Type": {"text/plain"}}
	twice := http.Header{"Content-Type": {"application/json", "application/json"}}
	big := `{"pool": "` + strings.Repeat("x", bodyLimit) + `"}`
	many := strings.TrimSuffix(strings.Repeat(`{"status": 503},`, mostFaults+1), ",")
	for name, tc := range map[string]struct {
		method, at string
		header     http.Header
		body       string
		status     int
		want       string
	}{
		"unknown path":                  {http.MethodGet, "nothing", nil, "", 404, "no such path"},
		"no path":                       {http.MethodGet, "", nil, "", 404, "no such path"},
		"unknown path below a pool":     {http.MethodGet, testPoolAt + "/nothing", nil, "", 404, "no such path"},
		"unknown path is no write":      {http.MethodPost, "nothing", jsonHeader(), "{}", 404, "no such path"},
		"unknown pool":                  {http.MethodGet, "pools/eu-central-1_none", nil, "", 404, "no such user pool"},
		"unknown pool, write":           {http.MethodPost, "pools/eu-central-1_none/keys/rotate", jsonHeader(), `{"keep": 1}`, 404, "no such user pool"},
		"unknown pool, faults":          {http.MethodGet, "faults?pool=none", nil, "", 404, "no such user pool"},
		"unknown pool, set fault":       {http.MethodPost, "faults", jsonHeader(), `{"pool": "none", "endpoint": "token", "faults": []}`, 404, "no such user pool"},
		"GET for rotate":                {http.MethodGet, testPoolAt + "/keys/rotate", jsonHeader(), `{"keep": 1}`, 405, "must be POST"},
		"GET for drop-old":              {http.MethodGet, testPoolAt + "/keys/drop-old", jsonHeader(), `{}`, 405, "must be POST"},
		"GET for settings":              {http.MethodGet, testPoolAt + "/settings", jsonHeader(), `{}`, 405, "must be POST"},
		"GET for clear":                 {http.MethodGet, "faults/clear", jsonHeader(), `{}`, 405, "must be POST"},
		"PUT for faults":                {http.MethodPut, "faults", jsonHeader(), fault, 405, "must be POST"},
		"POST for a pool":               {http.MethodPost, testPoolAt, jsonHeader(), "{}", 405, "must be GET"},
		"POST for the list":             {http.MethodPost, "token-requests", jsonHeader(), "{}", 405, "must be GET"},
		"form":                          {http.MethodPost, "faults", form, fault, 415, "application/json"},
		"text":                          {http.MethodPost, "faults", plain, fault, 415, "application/json"},
		"no content type":               {http.MethodPost, "faults", nil, fault, 415, "application/json"},
		"two content types":             {http.MethodPost, "faults", twice, fault, 415, "application/json"},
		"text, rotate":                  {http.MethodPost, testPoolAt + "/keys/rotate", plain, `{"keep": 1}`, 415, "application/json"},
		"text, drop-old":                {http.MethodPost, testPoolAt + "/keys/drop-old", plain, `{}`, 415, "application/json"},
		"text, settings":                {http.MethodPost, testPoolAt + "/settings", plain, `{}`, 415, "application/json"},
		"text, clear":                   {http.MethodPost, "faults/clear", plain, `{}`, 415, "application/json"},
		"too long":                      {http.MethodPost, "faults", jsonHeader(), big, 413, "65536 bytes"},
		"no JSON":                       {http.MethodPost, "faults", jsonHeader(), "endpoint=token", 400, "not JSON"},
		"empty body":                    {http.MethodPost, "faults/clear", jsonHeader(), "", 400, "not JSON"},
		"two values":                    {http.MethodPost, "faults/clear", jsonHeader(), "{} {}", 400, "not JSON"},
		"a list":                        {http.MethodPost, "faults/clear", jsonHeader(), "[]", 400, "no JSON object"},
		"null":                          {http.MethodPost, testPoolAt + "/keys/drop-old", jsonHeader(), "null", 400, "no JSON object"},
		"unknown member":                {http.MethodPost, "faults/clear", jsonHeader(), `{"all": true}`, 400, "all: unknown field"},
		"member twice":                  {http.MethodPost, testPoolAt + "/keys/rotate", jsonHeader(), `{"keep": 1, "keep": 2}`, 400, "there twice"},
		"member of another case":        {http.MethodPost, testPoolAt + "/keys/rotate", jsonHeader(), `{"Keep": 1}`, 400, "Keep: unknown field"},
		"drop-old with a member":        {http.MethodPost, testPoolAt + "/keys/drop-old", jsonHeader(), `{"keep": 1}`, 400, "keep: unknown field"},
		"keep is missing":               {http.MethodPost, testPoolAt + "/keys/rotate", jsonHeader(), `{}`, 400, `{"keep": 1}`},
		"keep is negative":              {http.MethodPost, testPoolAt + "/keys/rotate", jsonHeader(), `{"keep": -1}`, 400, "from 0 to 10"},
		"keep is too much":              {http.MethodPost, testPoolAt + "/keys/rotate", jsonHeader(), `{"keep": 11}`, 400, "from 0 to 10"},
		"keep is a fraction":            {http.MethodPost, testPoolAt + "/keys/rotate", jsonHeader(), `{"keep": 1.5}`, 400, "whole number"},
		"keep is text":                  {http.MethodPost, testPoolAt + "/keys/rotate", jsonHeader(), `{"keep": "1"}`, 400, "whole number"},
		"keep is null":                  {http.MethodPost, testPoolAt + "/keys/rotate", jsonHeader(), `{"keep": null}`, 400, "whole number"},
		"issuer form":                   {http.MethodPost, testPoolAt + "/settings", jsonHeader(), `{"issuer_form": "original"}`, 400, `"EMULATOR", "ORIGINAL", "UPDATED"`},
		"issuer form is empty":          {http.MethodPost, testPoolAt + "/settings", jsonHeader(), `{"issuer_form": ""}`, 400, `"EMULATOR", "ORIGINAL", "UPDATED"`},
		"disallowed scopes":             {http.MethodPost, testPoolAt + "/settings", jsonHeader(), `{"disallowed_scopes": "keep"}`, 400, `"drop", "reject"`},
		"disallowed scopes as a number": {http.MethodPost, testPoolAt + "/settings", jsonHeader(), `{"disallowed_scopes": 1}`, 400, "a string"},
		"no endpoint":                   {http.MethodPost, "faults", jsonHeader(), `{"faults": []}`, 400, "token, jwks, discovery and api"},
		"unknown endpoint":              {http.MethodPost, "faults", jsonHeader(), `{"endpoint": "revoke", "faults": []}`, 400, `"token", "jwks", "discovery", "api"`},
		"management API of one pool":    {http.MethodPost, "faults", jsonHeader(), `{"pool": "` + testPoolID + `", "endpoint": "api", "faults": []}`, 400, "leave pool out"},
		"no faults":                     {http.MethodPost, "faults", jsonHeader(), `{"endpoint": "token"}`, 400, "how it fails"},
		"too many faults":               {http.MethodPost, "faults", jsonHeader(), `{"endpoint": "token", "faults": [` + many + `]}`, 400, "at most 20 faults"},
		"faults is no list":             {http.MethodPost, "faults", jsonHeader(), `{"endpoint": "token", "faults": {"status": 503}}`, 400, "a list"},
		"number after":                  {http.MethodGet, "token-requests?after=x", nil, "", 400, "after must be"},
		"negative after":                {http.MethodGet, "token-requests?after=-1", nil, "", 400, "after must be"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := controlServer(t)
			before := getControl[poolView](t, s, testPoolAt)
			resp, body := exchange(t, s.Transport(), tc.method, s.URL()+controlPath+tc.at, tc.body, tc.header)
			var got controlError
			if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != tc.status || !strings.Contains(got.Message, tc.want) {
				t.Errorf("got status %d, body %s, want %d and %q in it", resp.StatusCode, body, tc.status, tc.want)
			}
			checkConsoleHeaders(t, resp.Header)
			if tc.status == http.StatusMethodNotAllowed && !strings.HasSuffix(tc.want, resp.Header.Get("Allow")) {
				t.Errorf("Allow: got %q, want what the text says, %q", resp.Header.Get("Allow"), tc.want)
			}
			if after := getControl[poolView](t, s, testPoolAt); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("the refused request changed the pool: got %v, want %v", after, before)
			}
			if faults := getControl[faultsView](t, s, "faults?pool="+testPoolID); len(faults.Faults) != 0 {
				t.Errorf("the refused request set faults: got %v", faults)
			}
		})
	}
}

func TestControlPoolView(t *testing.T) {
	t.Parallel()
	s := controlServer(t)
	got := getControl[poolView](t, s, testPoolAt)
	kids, _ := fetchKeys(t, s, s.JWKSURL())
	want := poolView{
		ID:       testPoolID,
		TokenURL: s.TokenURL(), TokenPath: "/my-prefix/oauth2/token",
		Issuer: s.Issuer(), IssuerForm: IssuerEmulator, DisallowedScopes: DropScopes,
		JWKSURL: s.JWKSURL(), JWKSPath: "/" + testPoolID + "/.well-known/jwks.json",
		Keys: []keyPairView{{AccessToken: kids[1], IDToken: kids[0]}},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestControlViewMakesNoKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithoutListener(), WithConsole())
	for range 2 {
		if got := getControl[poolView](t, s, "pools/"+s.Pools()[0].ID()); got.Keys == nil || len(got.Keys) != 0 {
			t.Errorf("keys: got %v, want an empty list", got.Keys)
		}
	}
}

func TestControlSettings(t *testing.T) {
	t.Parallel()
	s := controlServer(t)
	postControl(t, s, testPoolAt+"/settings", `{"issuer_form": "UPDATED"}`)
	if got, want := s.Issuer(), "https://issuer-cognito-idp.eu-central-1.amazonaws.com/"+testPoolID; got != want {
		t.Errorf("issuer: got %q, want %q", got, want)
	}
	if got := getControl[poolView](t, s, testPoolAt); got.IssuerForm != IssuerUpdated || got.DisallowedScopes != DropScopes {
		t.Errorf("got %v, %v, want UPDATED and drop as before", got.IssuerForm, got.DisallowedScopes)
	}
	postControl(t, s, testPoolAt+"/settings", `{"disallowed_scopes": "reject"}`)
	_, body := exchange(t, s.Transport(), http.MethodPost, s.TokenURL(), cc+"&scope=demo/read.file+demo/none", formHeader(testID, testSecret))
	if body != `{"error":"invalid_scope"}` {
		t.Errorf("a disallowed scope: got %s, want invalid_scope", body)
	}
	postControl(t, s, testPoolAt+"/settings", `{}`)
	if got := getControl[poolView](t, s, testPoolAt); got.IssuerForm != IssuerUpdated || got.DisallowedScopes != RejectScopes {
		t.Errorf("got %v, %v, want UPDATED and reject as before", got.IssuerForm, got.DisallowedScopes)
	}
}

func TestControlRotatesKeys(t *testing.T) {
	t.Parallel()
	s := controlServer(t)
	old := getToken(t, s, "")
	postControl(t, s, testPoolAt+"/keys/rotate", `{"keep": 1}`)
	ids, keys := fetchKeys(t, s, s.JWKSURL())
	if len(ids) != 4 || verify(t, old, keys) != nil {
		t.Errorf("after a rotation that keeps one pair: got %d keys, old token: %v, want 4 and valid", len(ids), verify(t, old, keys))
	}
	if got := getControl[poolView](t, s, testPoolAt).Keys; len(got) != 2 || got[0].AccessToken != ids[1] || got[1].AccessToken != ids[3] {
		t.Errorf("keys: got %v, want those of the JWKS, newest first", got)
	}
	postControl(t, s, testPoolAt+"/keys/drop-old", `{}`)
	if _, keys = fetchKeys(t, s, s.JWKSURL()); len(keys) != 2 || verify(t, old, keys) == nil {
		t.Errorf("after dropping old keys: got %d keys, old token: %v, want 2 and no key", len(keys), verify(t, old, keys))
	}
}

func TestControlRequests(t *testing.T) {
	t.Parallel()
	s := controlServer(t)
	first := getControl[requestsView](t, s, "token-requests")
	if first.Last != 0 || first.Requests == nil || len(first.Requests) != 0 || first.Server == "" {
		t.Errorf("before any request: got %+v, want none", first)
	}
	token := getToken(t, s, "demo/read.file demo/none")
	exchange(t, s.Transport(), http.MethodPost, s.TokenURL(), cc, formHeader(testID, "wrong-secret-of-a-stranger"))
	got := getControl[requestsView](t, s, "token-requests?after=0")
	want := []requestView{
		{Time: testNow, Pool: testPoolID, ClientID: testID, Client: "sts-test-app-client", Asked: []string{"demo/read.file", "demo/none"}, Granted: []string{"demo/read.file"}, Dropped: []string{"demo/none"}, Status: 200},
		{Time: testNow, Pool: testPoolID, ClientID: testID, Client: "sts-test-app-client", Asked: []string{}, Granted: []string{}, Status: 400, Error: "invalid_client"},
	}
	if got.Last != 2 || got.Server != first.Server || fmt.Sprintf("%+v", got.Requests) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	_, body := exchange(t, s.Transport(), http.MethodGet, s.URL()+controlPath+"token-requests", "", nil)
	for _, secret := range []string{token, testSecret, "wrong-secret", "Basic"} {
		if strings.Contains(body, secret) {
			t.Errorf("the list holds %q", secret)
		}
	}
	if !strings.Contains(body, `"granted":[]`) {
		t.Errorf("got %s, want an empty list, not null", body)
	}
	if got := getControl[requestsView](t, s, "token-requests?after=1"); len(got.Requests) != 1 || got.Requests[0].Status != 400 {
		t.Errorf("after 1: got %+v, want the second", got)
	}
	if got := getControl[requestsView](t, s, "token-requests?after=2"); len(got.Requests) != 0 || got.Last != 2 {
		t.Errorf("after 2: got %+v, want none", got)
	}
	if got := getControl[requestsView](t, s, "token-requests?after=3"); len(got.Requests) != 2 {
		t.Errorf("after a number of an earlier start: got %+v, want all", got)
	}
	if other := getControl[requestsView](t, controlServer(t), "token-requests"); other.Server == first.Server {
		t.Errorf("two servers have the same id %q", other.Server)
	}
}

// TestControlRequestsHoldWhatStrangersWrite: it stays data.
func TestControlRequestsHoldWhatStrangersWrite(t *testing.T) {
	t.Parallel()
	s := controlServer(t)
	exchange(t, s.Transport(), http.MethodPost, s.TokenURL(), cc+"&scope=%3Cimg%20onerror=%22x%22%3E%20%3C/script%3E%20%FF%00%0A", formHeader("<b>nobody", "x"))
	resp, body := exchange(t, s.Transport(), http.MethodGet, s.URL()+controlPath+"token-requests", "", nil)
	checkConsoleHeaders(t, resp.Header)
	if got, want := resp.Header.Get("Content-Type"), "application/json"; got != want {
		t.Errorf("type: got %q, want %q", got, want)
	}
	var got requestsView
	if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Requests) != 1 {
		t.Fatalf("got %s, error %v, want one request", body, err)
	}
	if asked, want := got.Requests[0].Asked, []string{"<img", `onerror="x">`, "</script>", "\ufffd\x00\n"}; fmt.Sprint(asked) != fmt.Sprint(want) {
		t.Errorf("asked: got %q, want %q", asked, want)
	}
	if got.Requests[0].Client != "" || got.Requests[0].ClientID != "" {
		t.Errorf("client: got %q, want nothing of a stranger", got.Requests[0].Client)
	}
}

// TestControlRequestsAreBounded fills the ring more than once: only the newest
// are listed, in order.
func TestControlRequestsAreBounded(t *testing.T) {
	t.Parallel()
	s := controlServer(t)
	for i := range recordLimit + mostListed/2 {
		s.requests.add(TokenRequest{Status: i})
		if i != recordLimit/2 && i != recordLimit+mostListed/2-1 {
			continue
		}
		got := getControl[requestsView](t, s, "token-requests")
		if len(got.Requests) != mostListed || got.Last != int64(i+1) || got.Requests[0].Status != i+1-mostListed || got.Requests[mostListed-1].Status != i {
			t.Errorf("after %d requests: got %d, from %d, last %d, want the newest %d", i+1, len(got.Requests), got.Requests[0].Status, got.Last, mostListed)
		}
	}
}

// TestControlWorksWhileATokenRequestWaits: the list answers, and shows the
// request, while a fault holds it.
func TestControlWorksWhileATokenRequestWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithPool(testPool()), WithoutListener(), WithConsole())
		postControl(t, s, "faults", `{"endpoint": "token", "faults": [{"latency_ms": 5000, "times": 1}, {"hang": true}]}`)
		began := time.Now()
		answered := make(chan time.Duration)
		go func() {
			_ = tryToken(t, s)
			answered <- time.Since(began)
		}()
		synctest.Wait()
		if got := getControl[requestsView](t, s, "token-requests"); len(got.Requests) != 0 || time.Since(began) != 0 {
			t.Errorf("while the request waits: got %+v after %v, want none at once", got, time.Since(began))
		}
		if got := <-answered; got != 5*time.Second {
			t.Errorf("the request took %v, want 5 s", got)
		}
		go func() {
			_ = tryToken(t, s)
			answered <- 0
		}()
		synctest.Wait()
		if got := getControl[requestsView](t, s, "token-requests").Requests; len(got) != 2 || got[1].Status != 0 || !got[1].Fault {
			t.Errorf("while the request hangs: got %+v, want it in the list without a status", got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-answered
	})
}

// TestControlTellsWhatCouldNotBeKept: what is not kept does not happen.
func TestControlTellsWhatCouldNotBeKept(t *testing.T) {
	t.Parallel()
	s := controlServer(t)
	if err := s.Pools()[0].RotateKeysTo(testKeys()[2], 1); err != nil {
		t.Fatal(err)
	}
	before := getControl[poolView](t, s, testPoolAt)
	s.store.recorder = recorderFunc(func(change) error { return errors.New("no space left") })
	for at, body := range map[string]string{"/settings": `{"issuer_form": "UPDATED"}`, "/keys/rotate": `{"keep": 0}`, "/keys/drop-old": `{}`} {
		resp, got := exchange(t, s.Transport(), http.MethodPost, s.URL()+controlPath+testPoolAt+at, body, jsonHeader())
		if resp.StatusCode != http.StatusInternalServerError || !strings.Contains(got, "nothing was changed") || !strings.Contains(got, "no space left") {
			t.Errorf("%s: got status %d, body %s, want 500 and the reason", at, resp.StatusCode, got)
		}
	}
	if after := getControl[poolView](t, s, testPoolAt); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("got %v, want %v as before", after, before)
	}
}
