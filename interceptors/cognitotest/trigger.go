// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// PreTokenGeneration is the event of a pre token generation trigger for a client
// credentials grant (developer guide, "Pre token generation Lambda trigger",
// event version V3_0). Members that only users have are left out.
type PreTokenGeneration struct {
	// Version is "3".
	Version string
	// TriggerSource is "TokenGeneration_ClientCredentials".
	TriggerSource string
	// Region and UserPoolID name the user pool.
	Region, UserPoolID string
	// UserName is "ClientCredentials".
	UserName string
	// ClientID is the app client's id, callerContext.clientId in the Lambda event.
	ClientID string
	// Scopes are those that the token will carry: requested and allowed.
	Scopes []string
	// ClientMetadata is the parameter aws_client_metadata. Nil: the request has none.
	ClientMetadata map[string]string
}

// AccessTokenGeneration is what a trigger changes in the access token
// (claimsAndScopeOverrideDetails.accessTokenGeneration in the Lambda response).
// The zero value changes nothing. What Cognito does not let a trigger do is
// passed over, and the rest is done.
type AccessTokenGeneration struct {
	// ClaimsToAddOrOverride are claims with values that encode to JSON: strings,
	// numbers, booleans, arrays, objects. A nil value is passed over, and so are
	// the claims that Cognito reserves: acr, amr, at_hash, auth_time, azp,
	// client_id, device_key, event_id, exp, iat, identities, iss, jti, nbf, nonce,
	// origin_jti, scope, sub, token_use, username, version and all that begin with
	// "cognito:" or "dev:". aud may only be the client's id.
	ClaimsToAddOrOverride map[string]any
	// ClaimsToSuppress are claims to leave out, but for the reserved ones. A claim
	// that is added and suppressed is suppressed.
	ClaimsToSuppress []string
	// ScopesToAdd may name scopes that the client may not request and that no
	// resource server has. A value with a blank in it is passed over.
	ScopesToAdd []string
	// ScopesToSuppress go out of the token, also those that are added. If none
	// remains the token has no scope claim.
	ScopesToSuppress []string
}

// WithPreTokenGeneration calls trigger before each token that the token endpoint
// or GetClientToken issues, as a Lambda function for events of version V3_0.
// It is called for authenticated clients whose request is granted, for several
// requests at the same time, and must end with its context.
//
// As with a Lambda function, an attempt that takes longer than 5 seconds is
// repeated, and after the third the request fails. A failed request, an error and
// a panic of the trigger issue no token. GetClientToken answers them with
// UserLambdaValidationException. What the token endpoint answers is not
// documented; it is 400 invalid_request here, the code that Cognito's
// authorization endpoint has for a trigger's error, and so is aws_client_metadata
// that is no JSON object of strings. [TokenRequest.TriggerError] has the cause.
//
// Without a trigger aws_client_metadata has no effect. User pools of the Lite
// plan have none.
func WithPreTokenGeneration(trigger func(context.Context, PreTokenGeneration) (AccessTokenGeneration, error)) Option {
	return optionFunc(func(o *options) { o.trigger = trigger })
}

type preTokenGeneration func(context.Context, PreTokenGeneration) (AccessTokenGeneration, error)

const (
	// The developer guide, "Customizing user pool workflows with Lambda triggers".
	triggerTimeout  = 5 * time.Second
	triggerAttempts = 3
	// The developer guide, "Quotas": claims and scopes that a trigger may change.
	triggerLimit = 5000
)

// triggerError is a request that failed in the trigger. The text of Cognito's
// API for it is "PreTokenGeneration failed with error <cause>."
type triggerError struct{ cause error }

func (e *triggerError) Error() string {
	return "PreTokenGeneration failed with error " + e.cause.Error() + "."
}

func (e *triggerError) Unwrap() error { return e.cause }

var (
	errTriggerTimeout = errors.New("the trigger took longer than 5s three times")
	errTriggerLimit   = fmt.Errorf("more than %d claims and scopes", triggerLimit)
	errMetadata       = errors.New("aws_client_metadata is no JSON object of strings")
)

// customization is what a trigger made of a token.
type customization struct {
	scopes []string
	claims []member // in addition to those that every token has
}

// trigger is nil if the pool has none. Events of version V3_0 need the Essentials
// or Plus plan.
func (p *UserPool) trigger() preTokenGeneration {
	if p.record.Load().Tier == "LITE" {
		return nil
	}
	return p.server.trigger
}

// customized runs the trigger for a token with these scopes. Its error is a triggerError.
func (p *UserPool) customized(ctx context.Context, c *client, scopes []string, metadata map[string]string) (customization, error) {
	trigger := p.trigger()
	if trigger == nil {
		return customization{scopes: scopes}, nil
	}
	for range triggerAttempts {
		event := PreTokenGeneration{ // a new one each time: the trigger may change it
			Version: "3", TriggerSource: "TokenGeneration_ClientCredentials",
			Region: p.Region(), UserPoolID: p.id, UserName: "ClientCredentials", ClientID: c.id,
			Scopes: slices.Clone(scopes), ClientMetadata: maps.Clone(metadata),
		}
		out, inTime, err := trigger.attempt(ctx, event)
		if ctx.Err() != nil {
			err = ctx.Err() // the caller has gone
		} else if !inTime {
			continue
		}
		if err != nil {
			return customization{}, &triggerError{err}
		}
		return out, nil
	}
	return customization{}, &triggerError{errTriggerTimeout}
}

// attempt calls the trigger in this goroutine: one that does not end with its context would
// otherwise run on unseen.
func (t preTokenGeneration) attempt(ctx context.Context, event PreTokenGeneration) (out customization, inTime bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, triggerTimeout)
	defer cancel()
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
		}
		inTime = ctx.Err() == nil
	}()
	scopes, clientID := slices.Clone(event.Scopes), event.ClientID
	changes, err := t(ctx, event)
	if err != nil {
		return customization{}, false, err
	}
	if len(changes.ClaimsToAddOrOverride)+len(changes.ClaimsToSuppress)+len(changes.ScopesToAdd)+len(changes.ScopesToSuppress) > triggerLimit {
		return customization{}, false, errTriggerLimit
	}
	claims, err := changes.claims(clientID) // may call the values' own methods
	return customization{changes.scopes(scopes), claims}, false, err
}

// reservedClaims cannot be added, changed or suppressed (developer guide, "Claims
// and scopes reference"). scope is changed through the lists of scopes only.
var reservedClaims = map[string]bool{
	"acr": true, "amr": true, "at_hash": true, "auth_time": true, "azp": true, "client_id": true, "device_key": true,
	"event_id": true, "exp": true, "iat": true, "identities": true, "iss": true, "jti": true, "nbf": true, "nonce": true,
	"origin_jti": true, "scope": true, "sub": true, "token_use": true, "username": true, "version": true,
}

func reserved(claim string) bool {
	return reservedClaims[claim] || strings.HasPrefix(claim, "cognito:") || strings.HasPrefix(claim, "dev:")
}

// claims returns what is added, in alphabetical order. All claims that a token has by
// itself are reserved, so that nothing is replaced or taken out.
func (a *AccessTokenGeneration) claims(clientID string) ([]member, error) {
	var added []member
	for _, name := range slices.Sorted(maps.Keys(a.ClaimsToAddOrOverride)) {
		if reserved(name) || slices.Contains(a.ClaimsToSuppress, name) {
			continue
		}
		value, err := encodeJSON(a.ClaimsToAddOrOverride[name])
		if err != nil {
			return nil, fmt.Errorf("claim %q: %w", name, err)
		}
		if string(value) == "null" || name == "aud" && !bytes.Equal(value, rawJSON(clientID)) {
			continue
		}
		added = append(added, member{name, value})
	}
	return added, nil
}

// scopes returns the token's scopes after the changes.
func (a *AccessTokenGeneration) scopes(granted []string) []string {
	var out []string
	for _, s := range slices.Concat(granted, a.ScopesToAdd) {
		blank := s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
		if !blank && !slices.Contains(out, s) && !slices.Contains(a.ScopesToSuppress, s) {
			out = append(out, s)
		}
	}
	return out
}

// clientMetadata reads the parameter aws_client_metadata.
func clientMetadata(text string) (map[string]string, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no metadata is no error
	}
	var values map[string]*string
	if err := json.Unmarshal([]byte(text), &values); err != nil || values == nil {
		return nil, errMetadata
	}
	metadata := make(map[string]string, len(values))
	for name, value := range values {
		if value == nil {
			return nil, errMetadata
		}
		metadata[name] = *value
	}
	return metadata, nil
}
