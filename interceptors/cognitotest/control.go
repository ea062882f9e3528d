// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mostKept bounds how many earlier key pairs a rotation by a control path keeps.
const mostKept = 10

// poolView is what Cognito's API does not say of a pool.
type poolView struct {
	ID               string        `json:"id"`
	TokenURL         string        `json:"token_url,omitempty"`
	TokenPath        string        `json:"token_path,omitempty"` // on this server's own host
	Issuer           string        `json:"issuer"`
	IssuerForm       IssuerForm    `json:"issuer_form"`
	DisallowedScopes ScopeHandling `json:"disallowed_scopes"`
	JWKSURL          string        `json:"jwks_url"`
	JWKSPath         string        `json:"jwks_path"`
	Keys             []keyPairView `json:"keys"` // newest first; empty until a key is needed
}

type keyPairView struct {
	AccessToken string `json:"access_token_kid"`
	IDToken     string `json:"id_token_kid"`
}

type poolFaultView struct {
	Pool     string    `json:"pool"` // empty: of all pools
	Endpoint Endpoint  `json:"endpoint"`
	Fault    faultView `json:"fault"`
}

type faultsView struct {
	Faults []poolFaultView `json:"faults"`
}

type requestsView struct {
	Server   string        `json:"server"` // another after each start
	Last     int64         `json:"last"`   // what to ask for next
	Requests []requestView `json:"requests"`
}

// requestView is a [TokenRequest].
type requestView struct {
	Time      time.Time `json:"time"`
	Pool      string    `json:"pool"`
	ClientID  string    `json:"client_id"`
	Client    string    `json:"client"`
	Asked     []string  `json:"asked"`
	Granted   []string  `json:"granted"`
	Dropped   []string  `json:"dropped"`
	Status    int       `json:"status"`
	Error     string    `json:"error"`
	Trigger   string    `json:"trigger_error"`
	Throttled bool      `json:"throttled"`
	Fault     bool      `json:"fault"`
}

// controlError is what a control path refuses with.
type controlError struct {
	Message string `json:"message"`
}

// serveControl answers the control paths. The caller has been found to be no foreigner.
func (s *Server) serveControl(in *inbound, query url.Values) reply {
	at := strings.TrimPrefix(in.path, controlPath)
	switch at {
	case "token-requests":
		return controlRead(in, func() reply { return s.controlRequests(query.Get("after")) })
	case "faults":
		if isRead(in.method) {
			return s.controlFaults(query.Get("pool"))
		}
		return controlWrite(in, s.controlSetFaults)
	case "faults/clear":
		return controlWrite(in, s.controlClearFaults)
	}
	rest, ok := strings.CutPrefix(at, "pools/")
	id, action, _ := strings.Cut(rest, "/")
	p, there := s.store.pool(id)
	switch {
	case !ok:
		return controlUnknown()
	case !there:
		return controlRefused(http.StatusNotFound, "there is no such user pool")
	}
	switch action {
	case "":
		return controlRead(in, p.controlView)
	case "settings":
		return controlWrite(in, p.controlSettings)
	case "keys/rotate":
		return controlWrite(in, p.controlRotate)
	case "keys/drop-old":
		return controlWrite(in, p.controlDropOld)
	default:
		return controlUnknown()
	}
}

func controlRead(in *inbound, produce func() reply) reply {
	if !isRead(in.method) {
		return controlMethod(http.MethodGet)
	}
	return produce()
}

// controlWrite demands what a browser sends across sites only after asking: JSON.
func controlWrite(in *inbound, change func(body []byte) reply) reply {
	if in.method != http.MethodPost {
		return controlMethod(http.MethodPost)
	}
	values := in.header.Values("Content-Type")
	if len(values) != 1 {
		return controlRefused(http.StatusUnsupportedMediaType, "the Content-Type must be application/json")
	}
	if t, _, err := mime.ParseMediaType(values[0]); err != nil || t != "application/json" {
		return controlRefused(http.StatusUnsupportedMediaType, "the Content-Type must be application/json")
	}
	if in.tooLong {
		return controlRefused(http.StatusRequestEntityTooLarge, "the body is longer than "+strconv.Itoa(bodyLimit)+" bytes")
	}
	return change(in.body)
}

func controlUnknown() reply {
	return controlRefused(http.StatusNotFound, "there is no such path; see the documentation of WithConsole")
}

func controlMethod(method string) reply {
	r := controlRefused(http.StatusMethodNotAllowed, "the method must be "+method)
	r.header.Set("Allow", method)
	return r
}

func controlRefused(status int, message string) reply {
	return controlReply(status, controlError{message})
}

func controlReply(status int, v any) reply {
	r := jsonReply(status, v)
	r.header.Set("Content-Type", "application/json")
	r.chunked = false
	return r
}

func controlDone() reply { return controlReply(http.StatusOK, struct{}{}) }

// controlFailed answers a change that was well-formed and could not be made.
func controlFailed(err error) reply {
	return controlRefused(http.StatusInternalServerError, err.Error())
}

func (p *UserPool) controlView() reply {
	r := p.record.Load()
	v := poolView{
		ID:       p.id,
		TokenURL: p.TokenURL(),
		Issuer:   p.Issuer(), IssuerForm: r.Issuer,
		DisallowedScopes: r.DisallowedScopes,
		JWKSURL:          p.JWKSURL(),
		JWKSPath:         "/" + p.id + wellKnownPath + "jwks.json",
		Keys:             []keyPairView{},
	}
	if domain := r.domain(); domain != "" {
		v.TokenPath = "/" + domain + tokenPath
	}
	if pairs := p.keys.pairs.Load(); pairs != nil {
		for _, pair := range *pairs {
			v.Keys = append(v.Keys, keyPairView{AccessToken: pair.access.id, IDToken: pair.id.id})
		}
	}
	return controlReply(http.StatusOK, v)
}

func (p *UserPool) controlSettings(body []byte) reply {
	var form IssuerForm
	var scopes ScopeHandling
	problem := parseControl(body, func(c configReader) fields {
		return fields{
			"issuer_form":       oneOf(c, &form, IssuerEmulator, IssuerOriginal, IssuerUpdated),
			"disallowed_scopes": oneOf(c, &scopes, DropScopes, RejectScopes),
		}
	})
	if problem != "" {
		return controlRefused(http.StatusBadRequest, problem)
	}
	err := p.edit(func(r *poolRecord) error {
		if form != "" {
			r.Issuer = form
		}
		if scopes != "" {
			r.DisallowedScopes = scopes
		}
		return nil
	})
	if err != nil {
		return controlFailed(err)
	}
	return controlDone()
}

func (p *UserPool) controlRotate(body []byte) reply {
	keep := int64(-1)
	problem := parseControl(body, func(c configReader) fields {
		return fields{"keep": wholeNumber(c, &keep, 0, mostKept)}
	})
	switch {
	case problem != "":
		return controlRefused(http.StatusBadRequest, problem)
	case keep < 0:
		return controlRefused(http.StatusBadRequest, `say how many earlier key pairs stay in the JWKS: {"keep": 1}`)
	}
	if err := p.RotateKeys(int(keep)); err != nil {
		return controlFailed(err)
	}
	return controlDone()
}

func (p *UserPool) controlDropOld(body []byte) reply {
	if problem := parseControl(body, func(configReader) fields { return nil }); problem != "" {
		return controlRefused(http.StatusBadRequest, problem)
	}
	if err := p.keys.dropOld(); err != nil {
		return controlFailed(err)
	}
	return controlDone()
}

// controlRequests lists the requests after number after. Whoever is behind gets the newest only.
func (s *Server) controlRequests(after string) reply {
	n, err := int64(0), error(nil)
	if after != "" {
		n, err = strconv.ParseInt(after, 10, 64)
	}
	if err != nil || n < 0 {
		return controlRefused(http.StatusBadRequest, "after must be a number that an earlier answer named as last")
	}
	entries, last := s.requests.since(n, mostListed)
	v := requestsView{Server: s.console, Last: last, Requests: make([]requestView, len(entries))}
	for i, e := range entries {
		v.Requests[i] = requestView{
			Time: e.Time, Pool: e.Pool, ClientID: e.ClientID, Client: e.Client,
			Asked: append([]string{}, e.Asked...), Granted: append([]string{}, e.Granted...), Dropped: append([]string{}, e.Dropped()...),
			Status: e.Status, Error: e.Error, Trigger: e.TriggerError, Throttled: e.Throttled, Fault: e.Fault,
		}
	}
	return controlReply(http.StatusOK, v)
}

// mostListed bounds an answer: a request can have named 50 long scopes.
const mostListed = 100

// since returns the newest entries after number n, at most limit, oldest first,
// and the number of the newest one. A number that was never given, such as one
// of an earlier start, counts as 0.
func (l *requestLog) since(n int64, limit int) ([]TokenRequest, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > l.added {
		n = 0
	}
	want := int(min(l.added-n, int64(limit), int64(len(l.entries))))
	out := make([]TokenRequest, 0, want)
	for i := range want {
		e := l.entries[(l.next+len(l.entries)-want+i)%len(l.entries)]
		e.Asked, e.Granted = slices.Clone(e.Asked), slices.Clone(e.Granted)
		out = append(out, e)
	}
	return out, l.added
}
