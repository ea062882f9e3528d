// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// Each row has the answer that is not documented in both forms: without the
// setting it is in the table of the token endpoint.
func TestAnswersThatAreNotDocumented(t *testing.T) {
	t.Parallel()
	const clientError, requestError, grantError = `{"error":"invalid_client"}`, `{"error":"invalid_request"}`, `{"error":"invalid_grant"}`
	for _, tc := range []struct {
		name    string
		answers Answers
		rows    []row
	}{
		{"Row9 InvalidClientStatus", Answers{InvalidClientStatus: 401}, []row{
			{header: formHeader(testID, "wrong"), body: cc, status: 401, want: clientError},
			{header: formHeader("unknown", testSecret), body: cc, status: 401, want: clientError},
			{header: formHeader("", ""), body: cc, status: 401, want: clientError},
			{header: basic(), body: cc + "&scope=x", status: 400, want: `{"error":"invalid_scope"}`},
			{path: revokePathOf, header: formHeader(testID, "x"), body: "token=a.b.c", status: 401, want: clientError},
		}},
		{"Row10 NoCredentials", Answers{NoCredentials: "invalid_request"}, []row{
			{header: formHeader("", ""), body: cc, status: 400, want: requestError},
			{header: formHeader("", ""), body: cc + "&client_id=" + testID, status: 400, want: clientError},
			{header: formHeader("", ""), body: cc + "&client_secret=" + testSecret, status: 400, want: clientError},
			{header: with(formHeader("", ""), "Authorization", ""), body: cc, status: 400, want: clientError},
			{path: revokePathOf, header: formHeader("", ""), body: "token=a.b.c", status: 401, want: clientError},
		}},
		{"Row13 FlowNotAllowed", Answers{FlowNotAllowed: "invalid_grant"}, []row{
			{header: formHeader("web", testSecret), body: cc, status: 400, want: grantError},
			{header: basic(), body: "grant_type=authorization_code&code=x", status: 400, want: grantError},
			{header: basic(), body: cc, status: 200, want: issued, scope: "demo/read.file demo/write.file"},
		}},
		{"Row17 NotAFormStatus", Answers{NotAFormStatus: 400}, []row{
			{header: formWithout("Content-Type"), body: cc, status: 400, want: requestError},
			{header: with(basic(), "Content-Type", "application/json"), body: "{}", status: 400, want: requestError},
			{path: revokePathOf, header: with(basic(), "Content-Type", "application/json"), body: "{}", status: 400, want: requestError},
			{method: http.MethodGet, header: basic(), status: 405},
			{method: http.MethodPut, header: with(basic(), "Content-Type", "application/json"), body: "{}", status: 405},
		}},
		{"Row22 Resource", Answers{Resource: "invalid_request"}, []row{
			{header: basic(), body: cc + "&resource=https%3A%2F%2Fapi.example.com", status: 400, want: requestError},
			{header: basic(), body: cc + "&resource=", status: 200, want: issued, scope: "demo/read.file demo/write.file"},
			{header: formHeader(testID, "wrong"), body: cc + "&resource=x", status: 400, want: clientError},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, WithPool(testPool()), WithoutListener(), WithAnswers(tc.answers))
			for _, r := range tc.rows {
				r.send(t, s, s.Transport())
			}
		})
	}
}

func TestRow29UnknownPoolStatus(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener(), WithAnswers(Answers{UnknownPoolStatus: 404}))
	resp, body := exchange(t, s.Transport(), http.MethodGet, s.URL()+"/eu-central-1_Nobody123/.well-known/jwks.json", "", nil)
	if want := `{"__type":"ResourceNotFoundException","message":"User pool eu-central-1_Nobody123 does not exist."}`; resp.StatusCode != http.StatusNotFound || body != want {
		t.Errorf("got %d %s, want 404 %s", resp.StatusCode, body, want)
	}
}

func TestRow34ThrottledStatus(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ answer, want int }{{0, 429}, {429, 429}, {400, 400}} {
		s := newServer(t, WithPool(testPool()), WithoutListener(), fixedClock(), WithThrottle(1), WithAnswers(Answers{ThrottledStatus: tc.answer}))
		row{header: basic(), body: cc, status: 200, want: issued, scope: "demo/read.file demo/write.file"}.send(t, s, s.Transport())
		row{header: basic(), body: cc, status: tc.want, want: `{"message":"Rate exceeded"}`}.send(t, s, s.Transport())
	}
}

func TestAnswersAreChecked(t *testing.T) {
	t.Parallel()
	for _, a := range []Answers{
		{InvalidClientStatus: 403},
		{NoCredentials: "invalid_grant"},
		{FlowNotAllowed: "invalid_client"},
		{NotAFormStatus: 415},
		{Resource: "invalid_target"},
		{UnknownPoolStatus: 200},
		{ThrottledStatus: 503},
	} {
		if _, err := NewServer(WithoutListener(), WithAnswers(a)); err == nil || strings.Count(err.Error(), "WithAnswers: ") != 1 {
			t.Errorf("%+v: got %v, want one problem", a, err)
		}
	}
	for _, a := range []Answers{
		{400, "invalid_client", "unauthorized_client", 405, "", 400, 429},
		{401, "invalid_request", "invalid_grant", 400, "invalid_request", 404, 400},
	} {
		newServer(t, WithoutListener(), WithAnswers(a))
	}
}

// A config file chooses what WithAnswers leaves open, and may do nothing else.
func TestAnswersInAConfigFile(t *testing.T) {
	t.Parallel()
	second := Answers{401, "invalid_request", "invalid_grant", 400, "invalid_request", 404, 400}
	all := writeFile(t, `{"answers": {"invalid_client_status": 401, "no_credentials": "invalid_request", "flow_not_allowed": "invalid_grant",
		"not_a_form_status": 400, "resource": "invalid_request", "unknown_pool_status": 404, "throttled_status": 400}}`)
	one := writeFile(t, `{"answers": {"invalid_client_status": 401}, "pools": [{"name": "other"}]}`)
	first := Answers{400, "invalid_client", "unauthorized_client", 405, "", 400, 429}
	for name, tc := range map[string]struct {
		opts []Option
		want Answers
		pool string
	}{
		"all":               {[]Option{WithConfigFile(all)}, second, "s2s-test"},
		"one":               {[]Option{WithConfigFile(one)}, Answers{401, "invalid_client", "unauthorized_client", 405, "", 400, 429}, "other"},
		"the option wins":   {[]Option{WithConfigFile(all), WithAnswers(Answers{InvalidClientStatus: 400, ThrottledStatus: 429})}, Answers{400, "invalid_request", "invalid_grant", 400, "invalid_request", 404, 429}, "s2s-test"},
		"pools of another":  {[]Option{WithConfigFile(all), WithConfigFile(one)}, second, "other"},
		"pool of an option": {[]Option{WithConfigFile(all), WithPool(testPool())}, second, "s2s-test"},
		"none":              {nil, first, "s2s-test"},
	} {
		s := newServer(t, append(tc.opts, WithoutListener())...)
		if s.answers != tc.want || len(s.Pools()) != 1 || s.Pools()[0].Name() != tc.pool {
			t.Errorf("%s: got %+v and pool %s, want %+v and %s", name, s.answers, s.Pools()[0].Name(), tc.want, tc.pool)
		}
	}
	// They are no part of the state: a later start has them too, and no notice about pools.
	state := filepath.Join(t.TempDir(), "state")
	for _, path := range []string{all, all} {
		s := newServer(t, WithConfigFile(path), WithStateFile(state), WithoutListener())
		if s.answers != second || len(s.Notices()) != 0 {
			t.Errorf("with a state: got %+v and notices %q", s.answers, s.Notices())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The quota is one for all pools and for both doors (developer guide, "Quotas":
// category ClientAuthentication).
func TestRow34ThrottleIsOneForTheServer(t *testing.T) {
	t.Parallel()
	second := apiPool()
	second.ID, second.Name, second.Domain, second.Keys = "us-east-1_Second1", "second", "second", testKeys()[1]
	second.Clients[len(second.Clients)-1].ID = "direct2"
	s := newServer(t, WithPool(testPool()), WithPool(second), fixedClock(), WithThrottle(3))
	network := transports(t, s)["network"]
	issuedBoth := row{header: basic(), body: cc, status: 200, want: issued, scope: "demo/read.file demo/write.file"}
	refused := row{header: basic(), body: cc, status: 429, want: `{"message":"Rate exceeded"}`}
	const direct = `{"ClientId":"direct2","Secret":"` + testSecret + `"}`

	issuedBoth.send(t, s, network)
	issuedBoth.path = "/second/oauth2/token"
	issuedBoth.send(t, s, s.Transport())
	mustCall(t, s, "GetClientToken", direct)
	refused.send(t, s, s.Transport())
	refused.path = "/second/oauth2/token"
	refused.send(t, s, network)
	resp, body := exchange(t, network, http.MethodPost, s.URL()+"/", direct, apiHeader("GetClientToken"))
	if want := `{"__type":"TooManyRequestsException","message":"Rate exceeded"}`; resp.StatusCode != http.StatusBadRequest || body != want {
		t.Errorf("GetClientToken: got %d %s, want 400 %s", resp.StatusCode, body, want)
	}
	// What asks for no token is not throttled.
	row{path: "/second/oauth2/revoke", header: basic(), body: "token=a.b.c", status: 400, want: `{"error":"unsupported_token_type"}`}.send(t, s, network)
	if resp, _ := exchange(t, network, http.MethodGet, s.Pool("second").JWKSURL(), "", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("JWKS: got %d, want 200", resp.StatusCode)
	}
	if got := s.Counts(); got.TokensThrottled != 3 || got.TokensIssued != 3 {
		t.Errorf("counts: got %+v, want 3 issued and 3 throttled", got)
	}
}

func TestRow35RevocationSwitchedOff(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	mustCall(t, s, "UpdateUserPoolClient", `{`+inClient+`,"EnableTokenRevocation":false,"AllowedOAuthFlowsUserPoolClient":true,"AllowedOAuthFlows":["client_credentials"],"AllowedOAuthScopes":["demo/read.file"]}`)
	for _, token := range []string{"a.b.c", "2YotnFZFEjr1zCsicMWpAA"} {
		row{path: revokePathOf, header: basic(), body: "token=" + token, status: 400, want: `{"error":"invalid_request"}`}.send(t, s, s.Transport())
	}
	row{path: revokePathOf, header: formHeader(testID, "x"), body: "token=a.b.c", status: 401, want: `{"error":"invalid_client"}`}.send(t, s, s.Transport())
}
