// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// configLimit bounds the size of a config file.
const configLimit = 1 << 20

// readConfigFile reads the pools of a JSON file, and its answers into those members
// that are empty. All that is wrong with its form goes to found, with its place.
func readConfigFile(found *problems, path string, answers *Answers) []Pool {
	data, err := readBounded(path)
	if err != nil {
		found.addf("", "%v", err)
		return nil
	}
	return parseConfig(found, path, data, answers)
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the program's own flag or test names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, configLimit+1))
	if err != nil {
		return nil, err
	}
	if len(data) > configLimit {
		return nil, failf("%s: more than %d bytes", path, configLimit)
	}
	return data, nil
}

func parseConfig(found *problems, file string, data []byte, answers *Answers) []Pool {
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		if s, ok := errors.AsType[*json.SyntaxError](err); ok {
			found.addf(file, "line %d: %v", 1+bytes.Count(data[:min(int(s.Offset), len(data))], []byte("\n")), err)
		} else {
			found.addf(file, "%v", err)
		}
		return nil
	}
	var pools []Pool
	var hasPools, hasAnswers bool
	before := len(found.list)
	c := configReader{found}
	c.object(file+": ", "", whole, fields{
		"answers": func(at string, raw json.RawMessage) { hasAnswers = true; c.answers(at, raw, answers) },
		"pools":   func(at string, raw json.RawMessage) { hasPools = true; pools = list(c, at, raw, c.pool) },
	})
	if len(pools) == 0 && (hasPools || !hasAnswers) && len(found.list) == before {
		found.addf(file, `no pools; write {"pools": [{"name": "s2s-test", ...}]}`)
	}
	return pools
}

// configReader reads JSON more strictly than encoding/json does: an unknown
// member, one that is there twice and one of another case are errors, with their place.
type configReader struct{ found *problems }

type fields map[string]func(at string, raw json.RawMessage)

func (c configReader) pool(at string, raw json.RawMessage) Pool {
	var p Pool
	c.object("", at, raw, fields{
		"id":                to(c, &p.ID),
		"name":              to(c, &p.Name),
		"region":            to(c, &p.Region),
		"domain":            to(c, &p.Domain),
		"issuer":            to(c, &p.Issuer),
		"disallowed_scopes": to(c, &p.DisallowedScopes),
		"resource_servers": func(at string, raw json.RawMessage) {
			p.ResourceServers = list(c, at, raw, c.resourceServer)
		},
		"clients": func(at string, raw json.RawMessage) { p.Clients = list(c, at, raw, c.client) },
	})
	return p
}

func (c configReader) resourceServer(at string, raw json.RawMessage) ResourceServer {
	var rs ResourceServer
	c.object("", at, raw, fields{
		"identifier": to(c, &rs.Identifier),
		"name":       to(c, &rs.Name),
		"scopes":     func(at string, raw json.RawMessage) { rs.Scopes = list(c, at, raw, c.scope) },
	})
	return rs
}

func (c configReader) scope(at string, raw json.RawMessage) Scope {
	var s Scope
	c.object("", at, raw, fields{"name": to(c, &s.Name), "description": to(c, &s.Description)})
	return s
}

func (c configReader) client(at string, raw json.RawMessage) Client {
	var cl Client
	c.object("", at, raw, fields{
		"id":                                   to(c, &cl.ID),
		"name":                                 to(c, &cl.Name),
		"secrets":                              to(c, &cl.Secrets),
		"generate_secret":                      to(c, &cl.GenerateSecret),
		"allowed_oauth_flows":                  to(c, &cl.AllowedOAuthFlows),
		"allowed_oauth_flows_user_pool_client": to(c, &cl.AllowedOAuthFlowsUserPoolClient),
		"allowed_oauth_scopes":                 to(c, &cl.AllowedOAuthScopes),
		"explicit_auth_flows":                  to(c, &cl.ExplicitAuthFlows),
		"access_token_validity": func(at string, raw json.RawMessage) {
			var seconds int32
			to(c, &seconds)(at, raw)
			cl.AccessTokenValidity = time.Duration(seconds) * time.Second
			if seconds == 0 { // zero would be the default, but here somebody wrote it
				cl.AccessTokenValidity = -1
			}
		},
	})
	return cl
}

// object reads the members of an object. prefix comes before all places inside.
func (c configReader) object(prefix, at string, raw json.RawMessage, known fields) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		c.found.addf(place(prefix, at, ""), "an object {...} is needed here")
		return
	}
	seen := make(map[string]bool)
	for dec.More() {
		key, err := dec.Token()
		name, ok := key.(string)
		var value json.RawMessage
		if err != nil || !ok || dec.Decode(&value) != nil {
			c.found.addf(place(prefix, at, ""), "not a JSON object") // not reached: the syntax was checked before
			return
		}
		here := place(prefix, at, name)
		set := known[name]
		switch {
		case set == nil:
			c.found.addf(here, "unknown field; there are %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case seen[name]:
			c.found.addf(here, "the field is there twice")
		default:
			set(here, value)
		}
		seen[name] = true
	}
}

func place(prefix, at, name string) string {
	switch {
	case at == "":
		return prefix + name
	case name == "":
		return prefix + at
	default:
		return prefix + at + "." + name
	}
}

func list[T any](c configReader, at string, raw json.RawMessage, item func(at string, raw json.RawMessage) T) []T {
	var raws []json.RawMessage
	if err := json.Unmarshal(raw, &raws); err != nil || raws == nil {
		c.found.addf(at, "a list [...] is needed here")
		return nil
	}
	items := make([]T, 0, len(raws))
	for i, r := range raws {
		items = append(items, item(fmt.Sprintf("%s[%d]", at, i), r))
	}
	return items
}

// to stores a plain value. The text of an error never holds the value: it may be a secret.
func to[T any](c configReader, dst *T) func(at string, raw json.RawMessage) {
	return func(at string, raw json.RawMessage) {
		if err := json.Unmarshal(raw, dst); err != nil || string(raw) == "null" {
			c.found.addf(at, "%s is needed here", kindOf(*dst))
		}
	}
}

func kindOf(v any) string {
	switch v.(type) {
	case *bool:
		return "true or false"
	case []string:
		return "a list of strings"
	case int32:
		return "a whole number of seconds"
	default:
		return "a string"
	}
}
