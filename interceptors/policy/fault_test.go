// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

const number = 84130 // of the three options

// message returns a length-delimited field on the wire.
func message(n protowire.Number, content ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), slices.Concat(content...))
}

func varint(n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
}

func text(n protowire.Number, s string) []byte { return message(n, []byte(s)) }

// Each row is an annotation that must not be used: the method permits nothing, the
// fault is kept, and a server of the service does not start. Names begin with the
// number of the fault in the table of the design.
func TestFault(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 257)
	tests := []struct {
		name string
		file protoFile
		want []string // Fault.String() of each
	}{
		{"02-empty-rule", rule(`{}`), []string{
			"acme.A/Do (acme/a.proto): the rule is empty\n      set exactly one of scope, scopes, authenticated and public",
		}},
		{"02-scope-and-public", rule(`scope: "read.file" public {}`), []string{
			"acme.A/Do (acme/a.proto): scope and public are set together\n      set exactly one of scope, scopes, authenticated and public",
		}},
		{"02-scope-and-scopes", rule(`scope: "read.file" scopes { any_of: "read.file" }`), []string{
			"acme.A/Do (acme/a.proto): scope and scopes are set together\n      set exactly one of scope, scopes, authenticated and public",
		}},
		{"02-authenticated-and-public", rule(`authenticated {} public {}`), []string{
			"acme.A/Do (acme/a.proto): authenticated and public are set together\n      set exactly one of scope, scopes, authenticated and public",
		}},
		{"02-all", rule(`scope: "" scopes {} authenticated {} public {}`), []string{
			"acme.A/Do (acme/a.proto): scope and scopes and authenticated and public are set together\n      set exactly one of scope, scopes, authenticated and public",
		}},
		{"02-two-options-on-the-wire", service(`resource_server: "demo"`, protoMethod{raw: slices.Concat(
			message(number, text(1, "read.file")), message(number, message(4)),
		)}), []string{
			"acme.A/Do (acme/a.proto): scope and public are set together\n      set exactly one of scope, scopes, authenticated and public",
		}},
		{"02-empty-default", service(`resource_server: "demo" default_policy {}`, protoMethod{}), []string{
			"acme.A (acme/a.proto): default_policy: the rule is empty\n      set exactly one of scope, scopes, authenticated and public",
		}},
		{"02-default-with-two", service(`resource_server: "demo" default_policy { scope: "read.file" authenticated {} }`, protoMethod{}), []string{
			"acme.A (acme/a.proto): default_policy: scope and authenticated are set together\n      set exactly one of scope, scopes, authenticated and public",
		}},
		{"03-empty-scope", rule(`scope: ""`), []string{
			"acme.A/Do (acme/a.proto): a scope is empty\n      write its name, or remove it",
		}},
		{"03-empty-scopes", rule(`scopes {}`), []string{
			"acme.A/Do (acme/a.proto): scopes names no scope\n      fill all_of or any_of; if any valid token will do, write authenticated: {}",
		}},
		{"03-empty-in-lists", rule(`scopes { all_of: ["read.file", ""] any_of: "" }`), []string{
			"acme.A/Do (acme/a.proto): a scope is empty\n      write its name, or remove it",
			"acme.A/Do (acme/a.proto): a scope is empty\n      write its name, or remove it",
		}},
		{"03-duplicate-in-all-of", rule(`scopes { all_of: ["read.file", "read.file"] }`), []string{
			"acme.A/Do (acme/a.proto): all_of names scope \"demo/read.file\" twice\n      remove one of the two",
		}},
		{"03-duplicate-in-other-words", rule(`scopes { any_of: ["read.file", "demo/read.file"] }`), []string{
			"acme.A/Do (acme/a.proto): any_of names scope \"demo/read.file\" twice\n      remove one of the two",
		}},
		{"04-in-both-lists", rule(`scopes { all_of: "demo/read.file" any_of: ["read.file", "write.file"] }`), []string{
			"acme.A/Do (acme/a.proto): scope \"demo/read.file\" is in all_of and in any_of, so any_of asks for nothing\n      remove it from one of the two",
		}},
		{"05-space", rule(`scope: "read file"`), []string{
			"acme.A/Do (acme/a.proto): scope \"read file\": the name has \" \" at position 5; Cognito takes printable ASCII without space, quote, slash and backslash\n      write the name that the scope has in Cognito",
		}},
		{"05-no-name", rule(`scope: "demo/"`), []string{
			"acme.A/Do (acme/a.proto): scope \"demo/\": the name is empty\n      write the name that the scope has in Cognito",
		}},
		{"05-no-server", rule(`scope: "/read.file"`), []string{
			"acme.A/Do (acme/a.proto): scope \"/read.file\": the resource server is empty\n      write <identifier of the resource server>/<name of the scope>",
		}},
		{"05-long-name", rule(`scope: "` + long + `"`), []string{
			"acme.A/Do (acme/a.proto): scope \"" + long[:80] + "\"...: the name has 257 characters, Cognito takes 256\n      write the name that the scope has in Cognito",
		}},
		{"05-long-server", rule(`scope: "` + long + `/x"`), []string{
			"acme.A/Do (acme/a.proto): scope \"" + long[:80] + "\"...: the resource server has 257 characters, Cognito takes 256\n      write <identifier of the resource server>/<name of the scope>",
		}},
		{"05-long-together", service(`resource_server: "other"`, protoMethod{option: `scope: "` + long[:251] + `"`}), []string{
			"acme.A/Do (acme/a.proto): scope \"other/" + long[:74] + "\"... has 257 characters with its resource server, Cognito takes 256\n      shorten the name of the scope or of the resource server",
		}},
		{"05-resource-server", service(`resource_server: "de mo"`, protoMethod{option: `authenticated {}`}), []string{
			"acme.A (acme/a.proto): resource_server \"de mo\" has \" \" at position 3; Cognito takes printable ASCII without space, quote and backslash\n      write the identifier that the resource server has in Cognito",
		}},
		{"06-relative-without-server", service("", protoMethod{option: `scope: "read.file"`}), []string{
			"acme.A/Do (acme/a.proto): scope \"read.file\" has no \"/\", and the service has no resource server\n      write inside the service\n      option (scopeauth.v1.service).resource_server = \"demo\";",
		}},
		{"06-relative-default", service(`default_policy { scope: "read.file" }`, protoMethod{}), []string{
			"acme.A (acme/a.proto): default_policy: scope \"read.file\" has no \"/\", and the service has no resource server\n      write inside the service\n      option (scopeauth.v1.service).resource_server = \"demo\";",
		}},
		{"07-not-declared", rule(`scope: "raed.file"`), []string{
			"acme.A/Do (acme/a.proto): scope \"demo/raed.file\" is not declared for \"demo\" in acme/a.proto\n      write one of read.file, write.file, or declare it there",
		}},
		{"07-case", rule(`scopes { all_of: "read.file" any_of: ["demo/Read.file", "write.file"] }`), []string{
			"acme.A/Do (acme/a.proto): scope \"demo/Read.file\" is not declared for \"demo\" in acme/a.proto\n      write one of read.file, write.file, or declare it there",
		}},
		{"07-nothing-declared", protoFile{option: `resource_server { identifier: "demo" }`, services: rule(`scope: "read.file"`).services}, []string{
			"acme.A/Do (acme/a.proto): scope \"demo/read.file\" is not declared for \"demo\" in acme/a.proto\n      declare it there",
		}},
		{"08-public-default", service(`default_policy { public { reason: "all of it" } }`, protoMethod{}), []string{
			"acme.A (acme/a.proto): default_policy: a default cannot be public, because new methods would be open unseen\n      remove it, and write inside each rpc that is meant to be public\n      option (scopeauth.v1.method) = { public: { reason: \"...\" } };",
		}},
		{"08-public-default-unused", service(`default_policy { public {} }`, protoMethod{option: `authenticated {}`}), []string{
			"acme.A (acme/a.proto): default_policy: a default cannot be public, because new methods would be open unseen\n      remove it, and write inside each rpc that is meant to be public\n      option (scopeauth.v1.method) = { public: { reason: \"...\" } };",
		}},
		{"09-in-rule", unknown(message(number, text(1, "read.file"), varint(5, 1))), []string{
			unknownText("field 5 of MethodPolicy"),
		}},
		{"09-in-rule-that-is-public", unknown(message(number, message(4), varint(5, 1))), []string{
			unknownText("field 5 of MethodPolicy"),
		}},
		{"09-in-scopes", unknown(message(number, message(2, text(2, "read.file"), text(3, "x")))), []string{
			unknownText("field 3 of Scopes"),
		}},
		{"09-in-authenticated", unknown(message(number, message(3, varint(1, 60)))), []string{
			unknownText("field 1 of Authenticated"),
		}},
		{"09-in-public", unknown(message(number, message(4, varint(2, 1), varint(3, 1), varint(2, 7)))), []string{
			unknownText("field 2 of Public, field 3 of Public"),
		}},
		{"09-known-number-of-another-type", unknown(message(number, message(3), varint(4, 1))), []string{
			unknownText("field 4 of MethodPolicy"),
		}},
		{"09-in-service", protoFile{option: demo, services: []protoService{{
			raw: message(number, text(1, "demo"), varint(3, 1)), methods: []protoMethod{{option: `scope: "demo/read.file"`}},
		}}}, []string{
			"acme.A (acme/a.proto): option (scopeauth.v1.service) has what this version of scopeauth does not know: field 3 of ServicePolicy\n      upgrade github.com/scopeauth/scopeauth",
		}},
		{"09-in-default", protoFile{option: demo, services: []protoService{{
			raw: message(number, text(1, "demo"), message(2, text(1, "read.file"), varint(9, 1))), methods: []protoMethod{{}},
		}}}, []string{
			"acme.A (acme/a.proto): option (scopeauth.v1.service) has what this version of scopeauth does not know: field 9 of MethodPolicy\n      upgrade github.com/scopeauth/scopeauth",
		}},
		{"09-in-file", protoFile{raw: message(number, varint(2, 1)), services: rule(`scope: "read.file"`).services}, []string{
			"acme/a.proto: option (scopeauth.v1.file) has what this version of scopeauth does not know: field 2 of FilePolicy\n      upgrade github.com/scopeauth/scopeauth",
		}},
		{"09-in-declared-scope", protoFile{
			raw:      message(number, message(1, text(1, "demo"), message(3, text(1, "read.file"), text(2, "Read"), varint(3, 1)))),
			services: rule(`scope: "read.file"`).services,
		}, []string{
			"acme/a.proto: option (scopeauth.v1.file) has what this version of scopeauth does not know: field 3 of Scope\n      upgrade github.com/scopeauth/scopeauth",
		}},
		{"10-other-type", unknown(varint(number, 1)), []string{
			"acme.A/Do (acme/a.proto): its option number 84130 does not have the type of (scopeauth.v1.method)\n      give the other option another number",
		}},
		{"10-other-type-beside-ours", unknown(slices.Concat(varint(number, 1), message(number, message(3)))), []string{
			"acme.A/Do (acme/a.proto): its option number 84130 does not have the type of (scopeauth.v1.method)\n      give the other option another number",
		}},
		{"10-file-does-not-import-ours", protoFile{imports: []string{}, services: []protoService{{methods: []protoMethod{{option: `authenticated {}`}}}}}, []string{
			"acme.A (acme/a.proto): it has an option of number 84130, but the file does not import scopeauth/v1/scopeauth.proto, so the option is somebody else's\n      import \"scopeauth/v1/scopeauth.proto\", or give the other option another number",
		}},
		{"09-not-decodable", unknown(message(number, text(1, "\xff"))), []string{
			"acme.A/Do (acme/a.proto): its options cannot be decoded\n      generate the Go code of the file anew",
		}},
		{"13-no-description", declares(`identifier: "demo" scopes { name: "read.file" }`), []string{
			"acme/a.proto: resource server \"demo\": scope \"read.file\" has no description\n      add a description, Cognito insists on one",
		}},
		{"13-long-description", declares(`identifier: "demo" scopes { name: "read.file" description: "` + strings.Repeat("é", 257) + `" }`), []string{
			"acme/a.proto: resource server \"demo\": the description of scope \"read.file\" has 257 characters, Cognito takes 256\n      shorten it",
		}},
		{"13-duplicate-scope", declares(`identifier: "demo" scopes { name: "read.file" description: "a" } scopes { name: "read.file" description: "a" }`), []string{
			"acme/a.proto: resource server \"demo\": scope \"read.file\" is declared twice\n      remove one of the two",
		}},
		{"13-too-many-scopes", declares(`identifier: "demo" scopes { name: "read.file" description: "a" } ` + manyScopes(100)), []string{
			"acme/a.proto: resource server \"demo\": it has 101 scopes, Cognito takes 100\n      split it in two resource servers",
		}},
		{"13-scope-name", declares(`identifier: "demo" scopes { name: "read.file" description: "a" } scopes { name: "a/b" description: "b" }`), []string{
			"acme/a.proto: resource server \"demo\": the name of scope \"a/b\" has \"/\" at position 2; Cognito takes printable ASCII without space, quote, slash and backslash\n      write the name without the resource server, as in \"read.file\"",
		}},
		{"13-scope-length", declares(`identifier: "demo" scopes { name: "read.file" description: "a" } scopes { name: "` + long[:252] + `" description: "b" }`), []string{
			"acme/a.proto: resource server \"demo\": scope \"demo/" + long[:75] + "\"... has 257 characters with its resource server, Cognito takes 256\n      shorten the name of the scope or of the resource server",
		}},
		{"13-identifier", declares(`identifier: "de mo" name: "Demo"`), []string{
			"acme/a.proto: resource server \"de mo\": its identifier has \" \" at position 3; Cognito takes printable ASCII without space, quote and backslash\n      write the identifier that the resource server has in Cognito",
		}},
		{"13-no-identifier", declares(`name: "Demo"`), []string{
			"acme/a.proto: resource server \"\": its identifier is empty\n      write the identifier that the resource server has in Cognito",
		}},
		{"13-name", declares(`identifier: "demo" name: "a/b" scopes { name: "read.file" description: "a" }`), []string{
			"acme/a.proto: resource server \"demo\": Cognito does not take the name \"a/b\"\n      write a name of at most 256 letters, digits, spaces and _+=,.@-",
		}},
		{"13-long-name", declares(`identifier: "demo" name: "` + long + `" scopes { name: "read.file" description: "a" }`), []string{
			"acme/a.proto: resource server \"demo\": Cognito does not take the name \"" + long[:80] + "\"...\n      write a name of at most 256 letters, digits, spaces and _+=,.@-",
		}},
		{"13-url-without-name", declares(`identifier: "https://x.example"`), []string{
			"acme/a.proto: resource server \"https://x.example\": Cognito does not take the name \"https://x.example\"\n      write a name of at most 256 letters, digits, spaces and _+=,.@-",
		}},
		{"13-different-in-one-file", protoFile{
			option:   `resource_server { identifier: "demo" name: "One" scopes { name: "read.file" description: "a" } } resource_server { identifier: "demo" name: "Two" scopes { name: "read.file" description: "a" } }`,
			services: rule(`scope: "read.file"`).services,
		}, []string{
			"acme/a.proto: resource server \"demo\": it is declared differently in acme/a.proto\n      declare it in one file, or the same way in both",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := mustNew(t, files(t, tt.file))
			r := ruleOf(t, p, "/acme.A/Do")
			if r.Kind() != policy.KindNone || r.Permits([]string{"demo/read.file", "demo/write.file", ""}) {
				t.Errorf("the rule is %q, want none", r)
			}
			if got := faultTexts(p.Faults()); !slices.Equal(got, tt.want) {
				t.Errorf("Faults()\n got %q\nwant %q", got, tt.want)
			}
			var checked *policy.CheckError
			if err := p.Check("acme.A"); !errors.As(err, &checked) {
				t.Fatalf("Check = %v, want a CheckError", err)
			}
			got := faultTexts(checked.Faults)
			for i := range got {
				got[i] = strings.Replace(got[i], "; this concerns acme.A\n", "\n", 1)
			}
			// One cause in a file is told once, a cause in the annotations as often as it is there.
			if !slices.Equal(got, tt.want) {
				t.Errorf("Check\n got %q\nwant %q", got, tt.want)
			}
		})
	}
}

func faultTexts(faults []policy.Fault) []string {
	texts := make([]string, len(faults))
	for i, f := range faults {
		texts[i] = f.String()
	}
	return texts
}

// unknown returns a file whose method Do has raw options.
func unknown(raw []byte) protoFile {
	return service(`resource_server: "demo"`, protoMethod{raw: raw})
}

func unknownText(what string) string {
	return fmt.Sprintf("acme.A/Do (acme/a.proto): option (scopeauth.v1.method) has what this version of scopeauth does not know: %s\n      upgrade github.com/scopeauth/scopeauth", what)
}

// declares returns a file that declares a resource server, and a service that asks
// for a scope of server "demo".
func declares(server string) protoFile {
	return protoFile{option: `resource_server { ` + server + ` }`, services: rule(`scope: "read.file"`).services}
}

func manyScopes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `scopes { name: "s%d" description: "d" } `, i)
	}
	return b.String()
}
