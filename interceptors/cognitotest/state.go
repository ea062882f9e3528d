// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// WithStateFile keeps the user pools in a file, with secrets and private keys:
// what was created, changed or deleted, by the management API or by methods, is
// there again when a server is started with the same file, also after the program
// was killed. A change is on disk before it is answered; one that cannot be
// written is refused and does not happen. Tokens verify after a restart as before.
//
// The default, and an empty path, keep nothing.
//
// A new file, or an empty one, is seeded with the pools of [WithPool] and
// [WithConfigFile], or [DemoPool], and the keys of [WithKeys]. A state that is
// there already wins: then these pools and keys, and [WithDisallowedScopes] for the
// pools that are there, change nothing, and [Server.Notices] says so. To begin anew,
// delete the file. Faults, counts and the recent token requests are not kept.
// With [IssuerEmulator] the issuer has the server's address in it: it is the same
// after a restart if [WithAddr] or [WithURL] is.
//
// One server at a time has the file; another one's start fails. It is kept
// private (mode 0600): one that is open to others is made private. An unfinished
// change at its end, of a program that was killed, is cut off. Any other damage
// and a version that is not known are errors of NewServer that name the line, and
// the file is left as it was. Beside it are path.lock and, while it is written anew,
// path.new. A symbolic link is followed. Where the system has no flock (Windows,
// Solaris) a program that was killed leaves path.lock behind: delete it by hand.
func WithStateFile(path string) Option {
	return optionFunc(func(o *options) { o.state = path })
}

// WithStateErrors calls report with each error of the state file that refused a
// change, such as a full disk, for a program that logs it: an answer of the
// management API says only that nothing was changed. The error has no secrets.
// report is called by one goroutine at a time and holds all other changes up.
func WithStateErrors(report func(error)) Option {
	return optionFunc(func(o *options) { o.stateErrors = report })
}

// Notices returns what the start of the server did beside what its options say,
// in sentences for people: see [WithStateFile].
func (s *Server) Notices() []string { return slices.Clone(s.notices) }

// stateRecorder keeps changes in a journal.
type stateRecorder struct {
	journal *journal
	report  func(error) // or nil
}

func (r stateRecorder) record(c change) error {
	data, err := json.Marshal(c)
	if err == nil {
		err = r.journal.append(data)
	}
	if err != nil && r.report != nil {
		r.report(err)
	}
	return err
}

// load fills the store: from the state file if there is one with content, or
// else with the configured pools.
func (s *Server) load(o *options, pools []Pool) error {
	if o.state == "" {
		return s.seed(pools)
	}
	j, start, err := openJournal(o.state, s.store.payloads)
	if err != nil {
		return err
	}
	if err := s.loadFrom(j, &start, o, pools); err != nil {
		return errors.Join(err, j.close())
	}
	s.journal, s.notices = j, start.notices
	s.store.recorder = stateRecorder{j, o.stateErrors}
	return nil
}

func (s *Server) loadFrom(j *journal, start *journalStart, o *options, pools []Pool) error {
	if !start.exists {
		if err := s.seed(pools); err != nil {
			return err
		}
		payloads, err := s.store.payloads()
		if err != nil {
			return err
		}
		return j.rewrite(payloads)
	}
	for _, e := range start.entries {
		if err := s.store.replay(e.payload); err != nil {
			return stateError(fmt.Errorf("%s, line %d: %w. The file was left as it was", j.path, e.line, err))
		}
	}
	j.tidy()
	if o.poolsGiven || len(o.keys) > 0 || o.scopes != DropScopes {
		start.notices = append(start.notices, fmt.Sprintf("the user pools are those of the state file %s with their own keys and settings: configured pools and keys seed a new file and are not used", j.path))
	}
	return nil
}

// payloads is the snapshot as entries of a journal.
func (s *store) payloads() ([][]byte, error) {
	changes := s.snapshot()
	out := make([][]byte, len(changes))
	for i, c := range changes {
		data, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}

// replay applies an entry of a journal. What this program does not know is an
// error: it would be lost when the file is written anew.
func (s *store) replay(payload []byte) error {
	var c change
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return fmt.Errorf("not a change that this version knows: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one change")
	}
	if slices.Contains(c.ResourceServers, nil) || slices.Contains(c.Clients, nil) {
		return errors.New("a resource server or client is null")
	}
	return s.apply(c)
}
