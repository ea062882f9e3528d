// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"encoding/json"
	"maps"
	"slices"
)

// keptMember is a member of the API that means nothing to machine-to-machine
// authorization. Clients of the API send such members, and expect them back when
// they describe what they made: they are kept as they are and given back.
type keptMember struct {
	kind     keptKind
	rule     rule            // of a text or number
	initial  json.RawMessage // what AWS gives back if it is left out; nil: nothing
	returned string          // the name in the output, if it is another one
}

type keptKind int

const (
	keptText keptKind = iota
	keptNumber
	keptFlag
	keptList
	keptObject
)

// keptLimit bounds what is kept of one user pool or client.
const keptLimit = 64 << 10

// keptOfPool are kept for a pool and reset by UpdateUserPool.
var keptOfPool = map[string]keptMember{
	"AccountRecoverySetting":      {kind: keptObject},
	"AdminCreateUserConfig":       {kind: keptObject, initial: json.RawMessage(`{"AllowAdminCreateUserOnly":false,"UnusedAccountValidityDays":7}`)},
	"AutoVerifiedAttributes":      {kind: keptList},
	"DeviceConfiguration":         {kind: keptObject},
	"EmailConfiguration":          {kind: keptObject, initial: json.RawMessage(`{"EmailSendingAccount":"COGNITO_DEFAULT"}`)},
	"EmailVerificationMessage":    {kind: keptText},
	"EmailVerificationSubject":    {kind: keptText},
	"LambdaConfig":                {kind: keptObject, initial: json.RawMessage(`{}`)},
	"MfaConfiguration":            {kind: keptText, rule: rule{enum: []string{"OFF", "ON", "OPTIONAL"}}, initial: json.RawMessage(`"OFF"`)},
	"Policies":                    {kind: keptObject, initial: json.RawMessage(`{"PasswordPolicy":{"MinimumLength":8,"RequireLowercase":true,"RequireNumbers":true,"RequireSymbols":true,"RequireUppercase":true,"TemporaryPasswordValidityDays":7}}`)},
	"SmsAuthenticationMessage":    {kind: keptText},
	"SmsConfiguration":            {kind: keptObject},
	"SmsVerificationMessage":      {kind: keptText},
	"UserAttributeUpdateSettings": {kind: keptObject},
	"UserPoolAddOns":              {kind: keptObject},
	"UserPoolTags":                {kind: keptObject, initial: json.RawMessage(`{}`)},
	"VerificationMessageTemplate": {kind: keptObject, initial: json.RawMessage(`{"DefaultEmailOption":"CONFIRM_WITH_CODE"}`)},
}

// keptOfNewPool are kept for a pool when it is created and stay.
var keptOfNewPool = map[string]keptMember{
	"AliasAttributes":       {kind: keptList},
	"Schema":                {kind: keptList, returned: "SchemaAttributes"},
	"UsernameAttributes":    {kind: keptList},
	"UsernameConfiguration": {kind: keptObject},
}

// keptOfClient are kept for a client and reset by UpdateUserPoolClient.
var keptOfClient = map[string]keptMember{
	"AnalyticsConfiguration":                   {kind: keptObject},
	"AuthSessionValidity":                      {kind: keptNumber, rule: rule{min: 3, max: 15}, initial: json.RawMessage(`3`)},
	"CallbackURLs":                             {kind: keptList},
	"DefaultRedirectURI":                       {kind: keptText},
	"EnablePropagateAdditionalUserContextData": {kind: keptFlag, initial: json.RawMessage(`false`)},
	"EnableTokenRevocation":                    {kind: keptFlag, initial: json.RawMessage(`true`)},
	"IdTokenValidity":                          {kind: keptNumber},
	"LogoutURLs":                               {kind: keptList},
	"PreventUserExistenceErrors":               {kind: keptText, rule: rule{enum: []string{"LEGACY", "ENABLED"}}},
	"ReadAttributes":                           {kind: keptList},
	"RefreshTokenRotation":                     {kind: keptObject},
	"RefreshTokenValidity":                     {kind: keptNumber, initial: json.RawMessage(`30`)},
	"SupportedIdentityProviders":               {kind: keptList},
	"TokenValidityUnits":                       {kind: keptObject, initial: json.RawMessage(`{}`)},
	"WriteAttributes":                          {kind: keptList},
}

// kept reads the members of a table.
func (in *input) kept(table map[string]keptMember) map[string]json.RawMessage {
	var kept map[string]json.RawMessage
	size := 0
	for _, name := range slices.Sorted(maps.Keys(table)) {
		raw := in.raw(name)
		if raw == nil {
			continue
		}
		m := table[name]
		switch m.kind {
		case keptText:
			in.text(name, m.rule)
		case keptNumber:
			in.number(name, m.rule)
		case keptFlag:
			in.flag(name)
		case keptList:
			in.list(name)
		case keptObject:
			in.object(name)
		}
		if kept == nil {
			kept = make(map[string]json.RawMessage)
		}
		kept[name] = raw
		if size += len(raw); size > keptLimit {
			in.violated(name, nil, "Member must have length less than or equal to what is left of 65536 bytes for all members that are only kept")
			return nil
		}
	}
	return kept
}

// giveBack puts the members of a table into an output.
func giveBack(out structure, table map[string]keptMember, kept map[string]json.RawMessage) {
	for name, m := range table {
		raw, ok := kept[name]
		if !ok {
			raw = m.initial
		}
		if m.returned != "" {
			name = m.returned
		}
		if raw != nil {
			out[name] = raw
		}
	}
}
