// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package envflag_test

import (
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/examples/fileserver/envflag"
	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func TestPrecedence(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		env  string
		want string
	}{
		{"default", nil, "", "fallback"},
		{"environment over default", nil, "env", "env"},
		{"flag over environment", []string{"-addr", "flag"}, "env", "flag"},
		{"flag over default", []string{"--addr=flag"}, "", "flag"},
		{"empty flag over environment", []string{"-addr="}, "env", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got string
			set := envflag.New()
			set.String(&got, "addr", "ADDR", "HOST:PORT", "fallback", "the address")
			env := func(name string) string { return map[string]string{"ADDR": tt.env}[name] }
			if err := set.Parse(tt.args, env); err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("-addr: got %q, want %q", got, tt.want)
			}
		})
	}
}

// seconds is a flag with a syntax of its own.
type seconds time.Duration

func (s *seconds) String() string { return time.Duration(*s).String() }

func (s *seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	*s = seconds(d)
	return err
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		env  map[string]string
		want error // nil: any
	}{
		{"help", []string{"-help"}, nil, flag.ErrHelp},
		{"short help", []string{"-h"}, nil, flag.ErrHelp},
		{"unknown flag", []string{"-nope"}, nil, nil},
		{"bad flag value", []string{"-drain", "soon"}, nil, nil},
		{"bad variable", nil, map[string]string{"DRAIN": "soon"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var d seconds
			set := envflag.New()
			set.Value(&d, "drain", "DRAIN", "DURATION", "how long")
			err := set.Parse(tt.args, func(name string) string { return tt.env[name] })
			if err == nil {
				t.Fatal("got no error, want one")
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got error %v, want %v", err, tt.want)
			}
		})
	}
}

func ExampleSet_Help() {
	var addr string
	drain := seconds(10 * time.Second)
	set := envflag.New()
	set.String(&addr, "addr", "ADDR", "HOST:PORT", "127.0.0.1:8443", "where to listen")
	set.Value(&drain, "drain-timeout", "DRAIN_TIMEOUT", "DURATION", "how long calls may\ntake to end")
	set.Env("COGNITO_CLIENT_SECRET", "the app client's secret")
	fmt.Print(set.Help())
	// Output:
	//   -addr HOST:PORT   or ADDR
	//         where to listen (default 127.0.0.1:8443)
	//   -drain-timeout DURATION   or DRAIN_TIMEOUT
	//         how long calls may
	//         take to end (default 10s)
	//   COGNITO_CLIENT_SECRET (environment only)
	//         the app client's secret
}
