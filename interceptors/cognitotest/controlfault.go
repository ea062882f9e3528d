// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Bounds of faults that come over the network.
const (
	mostFaults      = 20
	mostHeaders     = 20
	longestWait     = 10 * time.Minute
	largestBody     = 1 << 30
	mostTimes       = 1_000_000
	smallestStatus  = 200
	largestStatus   = 599
	endpointsInText = "token, jwks, discovery and api, the management API"
)

// faultView is a [Fault] as the control paths write and read it.
type faultView struct {
	LatencyMS   int64             `json:"latency_ms,omitempty"`
	Hang        bool              `json:"hang,omitempty"`
	Status      int64             `json:"status,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Body        *string           `json:"body,omitempty"`
	Redirect    string            `json:"redirect,omitempty"`
	Cut         bool              `json:"cut,omitempty"`
	BytePauseMS int64             `json:"byte_pause_ms,omitempty"`
	UnknownKey  bool              `json:"unknown_key_id,omitempty"`
	StaleKeys   bool              `json:"stale_keys,omitempty"`
	BodySize    int64             `json:"body_size,omitempty"`
	Times       int64             `json:"times,omitempty"`
}

func newFaultView(f Fault) faultView {
	v := faultView{
		LatencyMS: f.Latency.Milliseconds(), Hang: f.Hang, Status: int64(f.Status), Redirect: f.Redirect, Cut: f.Cut,
		BytePauseMS: f.BytePause.Milliseconds(), UnknownKey: f.UnknownKeyID, StaleKeys: f.StaleKeys,
		BodySize: f.BodySize, Times: int64(f.Times),
	}
	if f.Body != nil {
		body := string(f.Body)
		v.Body = &body
	}
	for name, values := range f.Header {
		if v.Headers == nil {
			v.Headers = make(map[string]string, len(f.Header))
		}
		v.Headers[name] = strings.Join(values, ", ")
	}
	return v
}

func (v *faultView) fault() Fault {
	f := Fault{
		Latency: time.Duration(v.LatencyMS) * time.Millisecond, Hang: v.Hang, Status: int(v.Status), Redirect: v.Redirect, Cut: v.Cut,
		BytePause: time.Duration(v.BytePauseMS) * time.Millisecond, UnknownKeyID: v.UnknownKey, StaleKeys: v.StaleKeys,
		BodySize: v.BodySize, Times: int(v.Times),
	}
	if v.Body != nil {
		f.Body = []byte(*v.Body)
	}
	if len(v.Headers) > 0 {
		f.Header = make(http.Header, len(v.Headers))
		for name, value := range v.Headers {
			f.Header.Set(name, value)
		}
	}
	return f
}

// readFault reads one fault. All that is wrong with it goes to c, with its place.
func readFault(c configReader, at string, raw json.RawMessage) Fault {
	var v faultView
	c.object("", at, raw, fields{
		"latency_ms":     wholeNumber(c, &v.LatencyMS, 0, longestWait.Milliseconds()),
		"hang":           trueOrFalse(c, &v.Hang),
		"unknown_key_id": trueOrFalse(c, &v.UnknownKey),
		"stale_keys":     trueOrFalse(c, &v.StaleKeys),
		"status":         wholeNumber(c, &v.Status, smallestStatus, largestStatus),
		"headers":        func(at string, raw json.RawMessage) { v.Headers = readHeaders(c, at, raw) },
		"body":           func(at string, raw json.RawMessage) { v.Body = new(string); to(c, v.Body)(at, raw) },
		"redirect":       to(c, &v.Redirect),
		"cut":            trueOrFalse(c, &v.Cut),
		"byte_pause_ms":  wholeNumber(c, &v.BytePauseMS, 0, longestWait.Milliseconds()),
		"body_size":      wholeNumber(c, &v.BodySize, 0, largestBody),
		"times":          wholeNumber(c, &v.Times, 0, mostTimes),
	})
	if strings.ContainsFunc(v.Redirect, isControl) {
		c.found.addf(at+".redirect", "control characters cannot be in a header")
	}
	return v.fault()
}

// framingHeaders would not make a wrong answer but none at all.
var framingHeaders = []string{"Connection", "Content-Length", "Trailer", "Transfer-Encoding", "Upgrade"}

func readHeaders(c configReader, at string, raw json.RawMessage) map[string]string {
	headers := make(map[string]string)
	to(c, &headers)(at, raw)
	if len(headers) > mostHeaders {
		c.found.addf(at, "at most %d headers", mostHeaders)
	}
	seen := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case seen[canonical]:
			c.found.addf(at, "%s is there twice", canonical)
		case name == "" || strings.ContainsFunc(name, isNoToken):
			c.found.addf(at, "%q is no name of a header", name)
		case slices.Contains(framingHeaders, canonical):
			c.found.addf(at, "%s cannot be set", canonical)
		case strings.ContainsFunc(headers[name], isControl):
			c.found.addf(at, "control characters cannot be in a header")
		}
		seen[canonical] = true
	}
	return headers
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// isNoToken reports characters that a header's name cannot have (RFC 9110, section 5.6.2).
func isNoToken(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

func (s *Server) controlSetFaults(body []byte) reply {
	var pool string
	var endpoint Endpoint
	var faults []Fault
	given := false
	problem := parseControl(body, func(c configReader) fields {
		return fields{
			"pool":     to(c, &pool),
			"endpoint": oneOf(c, &endpoint, TokenEndpoint, JWKSEndpoint, DiscoveryEndpoint, APIEndpoint),
			"faults": func(at string, raw json.RawMessage) {
				given = true
				faults = list(c, at, raw, func(at string, raw json.RawMessage) Fault { return readFault(c, at, raw) })
				if len(faults) > mostFaults {
					c.found.addf(at, "at most %d faults", mostFaults)
				}
			},
		}
	})
	switch {
	case problem != "":
		return controlRefused(http.StatusBadRequest, problem)
	case endpoint == "":
		return controlRefused(http.StatusBadRequest, `say which endpoint fails: {"endpoint": "token", ...}; there are `+endpointsInText)
	case endpoint == APIEndpoint && pool != "":
		return controlRefused(http.StatusBadRequest, "the management API fails for all pools or for none: leave pool out")
	case !given:
		return controlRefused(http.StatusBadRequest, `say how it fails: {"faults": [{"status": 503}], ...}; an empty list makes it work again`)
	}
	if pool == "" {
		s.SetFault(endpoint, faults...)
		return controlDone()
	}
	p, ok := s.store.pool(pool)
	if !ok {
		return controlRefused(http.StatusNotFound, "there is no such user pool")
	}
	p.SetFault(endpoint, faults...)
	return controlDone()
}

func (s *Server) controlClearFaults(body []byte) reply {
	if problem := parseControl(body, func(configReader) fields { return nil }); problem != "" {
		return controlRefused(http.StatusBadRequest, problem)
	}
	s.ClearFaults()
	return controlDone()
}

// controlFaults lists the faults in force: of one pool, in the order in which
// they are met, and of all pools.
func (s *Server) controlFaults(pool string) reply {
	v := faultsView{Faults: []poolFaultView{}}
	if pool != "" {
		p, ok := s.store.pool(pool)
		if !ok {
			return controlRefused(http.StatusNotFound, "there is no such user pool")
		}
		v.Faults = append(v.Faults, p.faults.views(pool)...)
	}
	v.Faults = append(v.Faults, s.faults.views("")...)
	return controlReply(http.StatusOK, v)
}

func (b *faultBook) views(pool string) []poolFaultView {
	b.mu.Lock()
	defer b.mu.Unlock()
	var views []poolFaultView
	for _, e := range slices.Sorted(maps.Keys(b.faults)) {
		for _, f := range b.faults[e] {
			views = append(views, poolFaultView{Pool: pool, Endpoint: e, Fault: newFaultView(f)})
		}
	}
	return views
}

// parseControl reads the members of a body and says all that is wrong with it.
func parseControl(body []byte, known func(c configReader) fields) string {
	var raw json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return "the body is not JSON"
	}
	var found problems
	c := configReader{&found}
	if len(raw) == 0 || raw[0] != '{' {
		return "the body is no JSON object {...}"
	}
	c.object("", "", raw, known(c))
	return strings.Join(found.list, "; ")
}

// oneOf stores a string that is one of a few.
func oneOf[T ~string](c configReader, dst *T, values ...T) func(at string, raw json.RawMessage) {
	return func(at string, raw json.RawMessage) {
		before := len(c.found.list)
		if to(c, dst)(at, raw); len(c.found.list) == before && !slices.Contains(values, *dst) {
			c.found.addf(at, "there are %s", joinQuoted(values))
		}
	}
}

func joinQuoted[T ~string](values []T) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", string(v))
	}
	return strings.Join(quoted, ", ")
}

// wholeNumber stores a whole number within bounds.
func wholeNumber(c configReader, dst *int64, least, most int64) func(at string, raw json.RawMessage) {
	return plainValue(c, dst, fmt.Sprintf("a whole number from %d to %d", least, most), func(n int64) bool { return n >= least && n <= most })
}

func trueOrFalse(c configReader, dst *bool) func(at string, raw json.RawMessage) {
	return plainValue(c, dst, "true or false", func(bool) bool { return true })
}

func plainValue[T any](c configReader, dst *T, kind string, good func(T) bool) func(at string, raw json.RawMessage) {
	return func(at string, raw json.RawMessage) {
		var v *T // nil after null
		if err := json.Unmarshal(raw, &v); err != nil || v == nil || !good(*v) {
			c.found.addf(at, "%s is needed here", kind)
			return
		}
		*dst = *v
	}
}
