// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// triggered is a server whose trigger makes these changes.
func triggered(t *testing.T, changes AccessTokenGeneration) *Server {
	t.Helper()
	return newServer(t, WithPool(testPool()), WithoutListener(), fixedClock(),
		WithPreTokenGeneration(func(context.Context, PreTokenGeneration) (AccessTokenGeneration, error) { return changes, nil }))
}

func TestRow21TriggerGetsTheEvent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body     string
		scopes   []string
		metadata map[string]string
	}{
		"no metadata":    {cc, []string{"demo/read.file", "demo/write.file"}, nil},
		"empty":          {cc + "&aws_client_metadata=", []string{"demo/read.file", "demo/write.file"}, nil},
		"no members":     {cc + "&aws_client_metadata=%7B%7D", []string{"demo/read.file", "demo/write.file"}, map[string]string{}},
		"scope allowed":  {cc + readOnly, []string{"demo/read.file"}, nil},
		"scope dropped":  {cc + "&scope=demo/admin+demo/read.file", []string{"demo/read.file"}, nil},
		"AWS's metadata": {cc + readOnly + "&aws_client_metadata=%7B%22environment%22%3A%20%22dev%22,%20%22language%22%3A%20%22en-US%22%7D", []string{"demo/read.file"}, map[string]string{"environment": "dev", "language": "en-US"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var events []PreTokenGeneration
			s := newServer(t, WithPool(testPool()), WithoutListener(),
				WithPreTokenGeneration(func(_ context.Context, e PreTokenGeneration) (AccessTokenGeneration, error) {
					events = append(events, e)
					return AccessTokenGeneration{}, nil
				}))
			resp, body := exchange(t, s.Transport(), http.MethodPost, s.TokenURL(), tc.body, basic())
			row{status: 200, want: issued, scope: strings.Join(tc.scopes, " ")}.check(t, resp, body)
			want := []PreTokenGeneration{{
				Version: "3", TriggerSource: "TokenGeneration_ClientCredentials", Region: "eu-central-1", UserPoolID: testPoolID,
				UserName: "ClientCredentials", ClientID: testID, Scopes: tc.scopes, ClientMetadata: tc.metadata,
			}}
			if !reflect.DeepEqual(events, want) {
				t.Errorf("got  %+v\nwant %+v", events, want)
			}
		})
	}
}

func TestRow21TriggerIsNotCalledForRefusals(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener(),
		WithPreTokenGeneration(func(context.Context, PreTokenGeneration) (AccessTokenGeneration, error) {
			t.Error("the trigger was called")
			return AccessTokenGeneration{}, nil
		}))
	for _, r := range []row{
		{header: formHeader(testID, "wrong"), body: cc + "&aws_client_metadata=x", status: 400, want: `{"error":"invalid_client"}`},
		{header: basic(), body: cc + "&scope=demo/admin", status: 400, want: `{"error":"invalid_scope"}`},
		{header: formHeader("notenabled", testSecret), body: cc, status: 400, want: `{"error":"invalid_grant"}`},
		{header: basic(), body: "grant_type=refresh_token", status: 400, want: `{"error":"unauthorized_client"}`},
		{header: basic(), body: cc + "&aws_client_metadata=x", status: 400, want: `{"error":"invalid_request"}`},
	} {
		resp, body := exchange(t, s.Transport(), http.MethodPost, s.TokenURL(), r.body, r.header)
		r.check(t, resp, body)
	}
}

// The payload is typed by hand for what a trigger may do and what not.
func TestRow21TriggerChangesTheToken(t *testing.T) {
	t.Parallel()
	token := func(scope, more string) string {
		return `{"sub":"6fn8h3u2vd0c1m7k5s9q4t2b0e","token_use":"access",` + scope + `"auth_time":1795348800,` +
			`"iss":"https://cognito.invalid/eu-central-1_Ab3dEf9hI","exp":1795352400,"iat":1795348800,"version":2,"jti":"<uuid>",` +
			`"client_id":"6fn8h3u2vd0c1m7k5s9q4t2b0e"` + more + `}`
	}
	const scope = `"scope":"demo/read.file demo/write.file",`
	for name, tc := range map[string]struct {
		changes AccessTokenGeneration
		want    string
	}{
		"nothing": {AccessTokenGeneration{}, token(scope, "")},
		"claims of all types": {AccessTokenGeneration{ClaimsToAddOrOverride: map[string]any{
			"string": "a<b", "number": 9223372036854775807, "float": 1.5, "bool": false, "array": []any{"test", 1, true},
			"object": map[string]any{"key_A": map[string]any{"b": []string{"v"}}}, "raw": json.RawMessage(`{"a": 1}`),
		}}, token(scope, `,"array":["test",1,true],"bool":false,"float":1.5,"number":9223372036854775807,"object":{"key_A":{"b":["v"]}},"raw":{"a":1},"string":"a<b"`)},
		"no value": {AccessTokenGeneration{ClaimsToAddOrOverride: map[string]any{"a": nil, "b": json.RawMessage(nil), "c": []any{nil}}}, token(scope, `,"c":[null]`)},
		"reserved claims": {AccessTokenGeneration{ClaimsToAddOrOverride: map[string]any{
			"acr": "x", "amr": "x", "at_hash": "x", "auth_time": 1, "azp": "x", "client_id": "x", "device_key": "x", "event_id": "x", "exp": 1,
			"iat": 1, "identities": "x", "iss": "x", "jti": "x", "nbf": 1, "nonce": "x", "origin_jti": "x", "scope": "x", "sub": "x", "token_use": "id",
			"username": "x", "version": 3, "aud": "x", "cognito:groups": []string{"x"}, "cognito:x": 1, "dev:x": 1, "Sub": "own", "tenant": "t",
		}}, token(scope, `,"Sub":"own","tenant":"t"`)},
		"aud is the client": {AccessTokenGeneration{ClaimsToAddOrOverride: map[string]any{"aud": testID}}, token(scope, `,"aud":"6fn8h3u2vd0c1m7k5s9q4t2b0e"`)},
		"aud is a list":     {AccessTokenGeneration{ClaimsToAddOrOverride: map[string]any{"aud": []string{testID}}}, token(scope, "")},
		"reserved claims are not suppressed": {AccessTokenGeneration{ClaimsToSuppress: []string{
			"sub", "token_use", "scope", "auth_time", "iss", "exp", "iat", "version", "jti", "client_id", "nothing",
		}}, token(scope, "")},
		"suppressed beats added":    {AccessTokenGeneration{ClaimsToAddOrOverride: map[string]any{"a": 1, "b": 2}, ClaimsToSuppress: []string{"a"}}, token(scope, `,"b":2`)},
		"scopes added":              {AccessTokenGeneration{ScopesToAdd: []string{"MyAPI.read", "openid", "demo/read.file", "MyAPI.read"}}, token(`"scope":"demo/read.file demo/write.file MyAPI.read openid",`, "")},
		"scopes with blanks":        {AccessTokenGeneration{ScopesToAdd: []string{"", "a b", "c\td", " e", "f"}}, token(`"scope":"demo/read.file demo/write.file f",`, "")},
		"scopes suppressed":         {AccessTokenGeneration{ScopesToAdd: []string{"a", "b"}, ScopesToSuppress: []string{"demo/read.file", "b", "x"}}, token(`"scope":"demo/write.file a",`, "")},
		"all scopes suppressed":     {AccessTokenGeneration{ScopesToSuppress: []string{"demo/read.file", "demo/write.file"}}, token("", "")},
		"a name that needs quoting": {AccessTokenGeneration{ClaimsToAddOrOverride: map[string]any{`a":1,"exp`: 2}}, token(scope, `,"a\":1,\"exp":2`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := triggered(t, tc.changes)
			_, payload := parts(t, getToken(t, s, ""))
			if got := jtiPattern.ReplaceAllString(payload, `"jti":"<uuid>"`); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestRow21TriggerIsRecorded(t *testing.T) {
	t.Parallel()
	s := triggered(t, AccessTokenGeneration{ScopesToSuppress: []string{"demo/read.file", "demo/write.file"}})
	getToken(t, s, "demo/read.file")
	got := s.TokenRequests()[0]
	if got.Granted != nil || !reflect.DeepEqual(got.Dropped(), []string{"demo/read.file"}) || got.TriggerError != "" {
		t.Errorf("got granted %v, dropped %v, error %q, want none granted and read.file dropped", got.Granted, got.Dropped(), got.TriggerError)
	}
}

type badValue struct{}

func (badValue) MarshalJSON() ([]byte, error) { panic("value") }

func TestRow21TriggerFails(t *testing.T) {
	t.Parallel()
	changes := func(a AccessTokenGeneration) func(context.Context, PreTokenGeneration) (AccessTokenGeneration, error) {
		return func(context.Context, PreTokenGeneration) (AccessTokenGeneration, error) { return a, nil }
	}
	for name, tc := range map[string]struct {
		trigger  func(context.Context, PreTokenGeneration) (AccessTokenGeneration, error)
		metadata string
		want     string // of the record
	}{
		"error": {trigger: func(context.Context, PreTokenGeneration) (AccessTokenGeneration, error) {
			return AccessTokenGeneration{ScopesToAdd: []string{"x"}}, errors.New("tenant unknown")
		}, want: "PreTokenGeneration failed with error tenant unknown."},
		"panic": {trigger: func(context.Context, PreTokenGeneration) (AccessTokenGeneration, error) {
			panic("no tenant")
		}, want: "PreTokenGeneration failed with error panic: no tenant."},
		"panic of a value":            {trigger: changes(AccessTokenGeneration{ClaimsToAddOrOverride: map[string]any{"a": badValue{}}}), want: "PreTokenGeneration failed with error panic: value."},
		"no JSON":                     {trigger: changes(AccessTokenGeneration{ClaimsToAddOrOverride: map[string]any{"a": math.NaN()}}), want: `PreTokenGeneration failed with error claim "a": json: unsupported value: NaN.`},
		"too many":                    {trigger: changes(AccessTokenGeneration{ScopesToAdd: make([]string, 5000), ClaimsToSuppress: []string{"a"}}), want: "PreTokenGeneration failed with error more than 5000 claims and scopes."},
		"metadata, no JSON":           {metadata: "environment", want: "aws_client_metadata is no JSON object of strings"},
		"metadata, null":              {metadata: "null", want: "aws_client_metadata is no JSON object of strings"},
		"metadata, array":             {metadata: "[]", want: "aws_client_metadata is no JSON object of strings"},
		"metadata, number":            {metadata: `{"a":1}`, want: "aws_client_metadata is no JSON object of strings"},
		"metadata, null inside":       {metadata: `{"a":null}`, want: "aws_client_metadata is no JSON object of strings"},
		"metadata, object inside":     {metadata: `{"a":{}}`, want: "aws_client_metadata is no JSON object of strings"},
		"metadata, more than a value": {metadata: `{} {}`, want: "aws_client_metadata is no JSON object of strings"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.trigger == nil {
				tc.trigger = changes(AccessTokenGeneration{})
			}
			s := newServer(t, WithPool(testPool()), WithPreTokenGeneration(tc.trigger))
			for way, rt := range transports(t, s) {
				resp, body := exchange(t, rt, http.MethodPost, s.TokenURL(), cc+"&aws_client_metadata="+tc.metadata, basic())
				row{status: 400, want: `{"error":"invalid_request"}`}.check(t, resp, body)
				got := s.TokenRequests()[len(s.TokenRequests())-1]
				if got.TriggerError != tc.want || got.Error != "invalid_request" || got.Granted != nil {
					t.Errorf("%s: record: got %+v, want trigger error %q", way, got, tc.want)
				}
			}
			if got := s.Counts(); got.TokensRefused != 2 || got.TokensIssued != 0 {
				t.Errorf("counts: got %+v, want 2 refused", got)
			}
		})
	}
}

// With the limits of a Lambda function: 5 seconds, three attempts.
func TestRow21TriggerThatIsSlow(t *testing.T) {
	keys := testKeys()[0]
	for name, tc := range map[string]struct {
		takes  []time.Duration // of each attempt
		deaf   bool            // to the end of its context
		took   time.Duration
		status int
		reason string
	}{
		"in time":           {takes: []time.Duration{4 * time.Second}, took: 4 * time.Second, status: 200},
		"second attempt":    {takes: []time.Duration{time.Hour, time.Second}, took: 6 * time.Second, status: 200},
		"deaf":              {takes: []time.Duration{7 * time.Second, time.Second}, deaf: true, took: 8 * time.Second, status: 200},
		"never in time":     {takes: []time.Duration{time.Hour, time.Hour, time.Hour}, took: 15 * time.Second, status: 400, reason: "PreTokenGeneration failed with error the trigger took longer than 5s three times."},
		"deaf for all time": {takes: []time.Duration{6 * time.Second, 6 * time.Second, 6 * time.Second}, deaf: true, took: 18 * time.Second, status: 400, reason: "PreTokenGeneration failed with error the trigger took longer than 5s three times."},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				attempts := 0
				s := newServer(t, WithoutListener(), WithKeys(keys), WithPreTokenGeneration(func(ctx context.Context, e PreTokenGeneration) (AccessTokenGeneration, error) {
					wait := tc.takes[attempts]
					attempts++
					if !slices.Equal(e.Scopes, []string{"demo/read.file", "demo/write.file"}) || e.ClientMetadata["a"] != "b" {
						t.Errorf("attempt %d: got scopes %v and metadata %v, want them as they were", attempts, e.Scopes, e.ClientMetadata)
					}
					e.Scopes[0], e.ClientMetadata["a"] = "changed", "changed"
					if tc.deaf {
						time.Sleep(wait)
						return AccessTokenGeneration{}, nil
					}
					return AccessTokenGeneration{}, sleep(ctx, wait)
				}))
				begin := time.Now()
				c := s.Pools()[0].Client("sts-test-app-client")
				resp, _ := exchange(t, s.Transport(), http.MethodPost, s.TokenURL(), cc+`&aws_client_metadata={"a":"b"}`, formHeader(c.ID, c.Secret))
				if took := time.Since(begin); took != tc.took || resp.StatusCode != tc.status || attempts != len(tc.takes) {
					t.Errorf("got %d after %v and %d attempts, want %d after %v and %d", resp.StatusCode, took, attempts, tc.status, tc.took, len(tc.takes))
				}
				if got := s.TokenRequests()[0].TriggerError; got != tc.reason {
					t.Errorf("reason: got %q, want %q", got, tc.reason)
				}
			})
		})
	}
}

func TestTriggerEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	testKeys() // they are made outside of the bubble, in which no attempt takes too long
	for _, how := range []string{"caller", "server"} {
		synctest.Test(t, func(t *testing.T) { triggerEnds(t, how) })
	}
}

func triggerEnds(t *testing.T, how string) {
	t.Helper()
	started := make(chan struct{})
	s := newServer(t, WithPool(testPool()), WithoutListener(), WithPreTokenGeneration(func(ctx context.Context, _ PreTokenGeneration) (AccessTokenGeneration, error) {
		close(started)
		<-ctx.Done()
		return AccessTokenGeneration{}, nil // as if nothing had happened
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		if how == "caller" {
			cancel()
		} else if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.TokenURL(), strings.NewReader(cc))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = basic()
	if err := requestError(s.Transport(), req); !errors.Is(err, context.Canceled) {
		t.Errorf("%s: got %v, want %v", how, err, context.Canceled)
	}
	if got := s.Counts().TokensIssued; got != 0 {
		t.Errorf("%s: got %d tokens, want 0", how, got)
	}
	cancel()
}

// The trigger runs with nothing held: it may use the server, and several run at once.
func TestTriggerMayUseTheServer(t *testing.T) {
	t.Parallel()
	testKeys() // they are made outside of the bubble, in which no attempt takes too long
	synctest.Test(t, triggersUseTheServer)
}

func triggersUseTheServer(t *testing.T) {
	t.Helper()
	var s *Server
	together := make(chan struct{}, 16)
	s = newServer(t, WithPool(testPool()), WithoutListener(), WithPreTokenGeneration(func(ctx context.Context, e PreTokenGeneration) (AccessTokenGeneration, error) {
		if e.ClientID == "twosecrets" {
			return AccessTokenGeneration{}, postToken(s.Transport(), s.TokenURL(), "mixed")
		}
		if e.ClientID == "mixed" {
			return AccessTokenGeneration{}, s.Pools()[0].RemoveScope("demo/write.file")
		}
		together <- struct{}{} // both wait until the other has come
		for len(together) < 2 {
			if err := sleep(ctx, time.Millisecond); err != nil {
				return AccessTokenGeneration{}, err
			}
		}
		return AccessTokenGeneration{}, nil
	}))
	if err := postToken(s.Transport(), s.TokenURL(), "twosecrets"); err != nil {
		t.Errorf("a trigger that gets a token: %v", err)
	}
	var callers sync.WaitGroup
	for range 2 {
		callers.Go(func() {
			if err := postToken(s.Transport(), s.TokenURL(), testID); err != nil {
				t.Errorf("two at the same time: %v", err)
			}
		})
	}
	callers.Wait()
}

func TestTriggerErrorIsCognitos(t *testing.T) {
	t.Parallel()
	cause := errors.New("why")
	err := fmt.Errorf("wrapped: %w", &triggerError{cause})
	if !errors.Is(err, cause) || err.Error() != "wrapped: PreTokenGeneration failed with error why." {
		t.Errorf("got %v", err)
	}
}

func TestRow37TriggerOfGetClientToken(t *testing.T) {
	t.Parallel()
	var got PreTokenGeneration
	fails := false
	s := newServer(t, WithPool(apiPool()), WithoutListener(), WithPreTokenGeneration(func(_ context.Context, e PreTokenGeneration) (AccessTokenGeneration, error) {
		got = e
		if fails {
			return AccessTokenGeneration{}, errors.New("tenant unknown")
		}
		return AccessTokenGeneration{ClaimsToAddOrOverride: map[string]any{"tenant": 17}, ScopesToAdd: []string{"x"}}, nil
	}))
	const request = `{"ClientId":"direct","Secret":"` + testSecret + `","Scopes":["demo/read.file"],"ClientMetadata":{"a":"b"}}`
	body := mustCall(t, s, "GetClientToken", request)
	want := PreTokenGeneration{
		Version: "3", TriggerSource: "TokenGeneration_ClientCredentials", Region: "eu-central-1", UserPoolID: testPoolID,
		UserName: "ClientCredentials", ClientID: "direct", Scopes: []string{"demo/read.file"}, ClientMetadata: map[string]string{"a": "b"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	_, payload := parts(t, textAt(t, body, "ClientAuthenticationResult", "AccessToken"))
	if !strings.Contains(payload, `"scope":"demo/read.file x"`) || !strings.HasSuffix(payload, `,"tenant":17}`) {
		t.Errorf("payload: got %s, want the added scope and claim", payload)
	}
	fails = true
	resp, body := callAPI(t, s, "GetClientToken", request)
	if want := `{"__type":"UserLambdaValidationException","message":"PreTokenGeneration failed with error tenant unknown."}`; resp.StatusCode != http.StatusBadRequest || body != want {
		t.Errorf("got %d %s, want 400 %s", resp.StatusCode, body, want)
	}
	if e := s.TokenRequests()[1]; e.Error != "UserLambdaValidationException" || e.TriggerError == "" {
		t.Errorf("record: got %+v, want the trigger's error", e)
	}
}

// Events of version V3_0 need the Essentials or Plus plan.
func TestTriggerNeedsAPlan(t *testing.T) {
	t.Parallel()
	for plan, want := range map[string]int{"LITE": 0, "ESSENTIALS": 1, "PLUS": 1} {
		called := 0
		s := newServer(t, WithPool(testPool()), WithoutListener(), WithPreTokenGeneration(func(context.Context, PreTokenGeneration) (AccessTokenGeneration, error) {
			called++
			return AccessTokenGeneration{}, nil
		}))
		mustCall(t, s, "UpdateUserPool", `{`+inPool+`,"UserPoolTier":"`+plan+`"}`)
		row{header: basic(), body: cc, status: 200, want: issued, scope: "demo/read.file demo/write.file"}.send(t, s, s.Transport())
		if called != want {
			t.Errorf("%s: the trigger was called %d times, want %d", plan, called, want)
		}
	}
}
