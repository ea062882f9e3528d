// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// pageRequest is MaxResults and NextToken of an operation that lists.
type pageRequest struct {
	limit int
	token string
}

func (in *input) page(most int64) pageRequest {
	limit, ok := in.number("MaxResults", rule{min: 1, max: most})
	if !ok {
		limit = most // nothing is documented
	}
	return pageRequest{limit: int(limit), token: in.text("NextToken", nextTokenRule)}
}

// after says where a page begins. A token is good for the list and the run of
// the server that it comes from.
func (s *store) after(list, token string) (uint64, error) {
	if token == "" {
		return 0, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err == nil {
		if rest, ok := strings.CutPrefix(string(raw), s.run+"/"+list+"/"); ok {
			if n, err := strconv.ParseUint(rest, 10, 64); err == nil {
				return n, nil
			}
		}
	}
	return 0, invalidParameter("Invalid pagination token.")
}

// nextToken puts the token into an output, unless this was the last page.
func (s *store) nextToken(out structure, list string, next uint64) {
	if next > 0 {
		out["NextToken"] = base64.RawURLEncoding.EncodeToString([]byte(s.run + "/" + list + "/" + strconv.FormatUint(next, 10)))
	}
}

// listOf lists one page. list names it, and what is listed becomes an output by show.
func listOf[V any](s *store, from *ordered[V], list string, page pageRequest, keep func(V) bool, show func(V) structure) ([]structure, structure, error) {
	after, err := s.after(list, page.token)
	if err != nil {
		return nil, nil, err
	}
	s.mu.RLock()
	values, next := from.page(after, page.limit, keep)
	s.mu.RUnlock()
	shown := make([]structure, len(values))
	for i, v := range values {
		shown[i] = show(v)
	}
	out := structure{}
	s.nextToken(out, list, next)
	return shown, out, nil
}
