// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"net/http"
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
