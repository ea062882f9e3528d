// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strconv"
)

// A journal is lines of text. The first one is journalHeader. Each other one is
//
//	<checksum> <length> <payload>
//
// with the payload's length in bytes and a CRC-32C in 8 hexadecimal digits of all
// "<length> <payload>" from the first line on: a line that is missing or stands in
// another place shows as well as a changed one.
const (
	journalName   = "cognitotest state "
	journalHeader = journalName + "1\n"
)

// maxPayload bounds one entry.
const maxPayload = 64 << 20

var journalCRC = crc32.MakeTable(crc32.Castagnoli)

// unfinished is what a line can be that was not written to its end.
var unfinished = regexp.MustCompile(`(?s)^(?:[0-9a-f]{1,8}|[0-9a-f]{8} [0-9]{0,8}|[0-9a-f]{8} ([0-9]{1,8}) (.*))$`)

// journalEntry is one line.
type journalEntry struct {
	line    int
	payload []byte
}

type parsedJournal struct {
	entries []journalEntry
	end     int64 // of the last whole line
	sum     uint32
	unended []byte // the last entry, if only the end of its line is missing
}

// checkPayload needs one line that is not too long.
func checkPayload(payload []byte) error {
	if len(payload) > maxPayload {
		return failf("state file: a change of %d bytes, more than %d", len(payload), maxPayload)
	}
	if bytes.IndexByte(payload, '\n') >= 0 {
		return failf("state file: a change is one line")
	}
	return nil
}

// appendEntry appends a line to data. sum is the checksum of the line before.
func appendEntry(data []byte, sum uint32, payload []byte) ([]byte, uint32) {
	length := strconv.AppendInt(nil, int64(len(payload)), 10)
	sum = crc32.Update(sum, journalCRC, append(length, ' '))
	sum = crc32.Update(sum, journalCRC, payload)
	data = fmt.Appendf(data, "%08x %s ", sum, length)
	return append(append(data, payload...), '\n'), sum
}

// encodeJournal returns a whole file and its last checksum.
func encodeJournal(payloads [][]byte) (data []byte, sum uint32, err error) {
	data = []byte(journalHeader)
	for _, p := range payloads {
		if err := checkPayload(p); err != nil {
			return nil, 0, err
		}
		data, sum = appendEntry(data, sum, p)
	}
	return data, sum, nil
}

// parseJournal reads a file that is not empty. A program that is killed leaves
// the last line unfinished, a machine that loses power may fill it with zeros: that
// is left out. Everything else that is not as it was written is an error.
func parseJournal(data []byte) (parsedJournal, error) {
	var p parsedJournal
	if err := checkHeader(data); err != nil {
		return p, err
	}
	p.end = int64(len(journalHeader))
	for line := 2; ; line++ {
		rest := data[p.end:]
		text, _, whole := bytes.Cut(rest, []byte("\n"))
		if !whole {
			return p.last(line, bytes.TrimRight(rest, "\x00"))
		}
		payload, sum, ok := p.entry(text)
		if !ok {
			return p, p.damage(line)
		}
		p.entries = append(p.entries, journalEntry{line, payload})
		p.end, p.sum = p.end+int64(len(text))+1, sum
	}
}

func checkHeader(data []byte) error {
	if bytes.HasPrefix(data, []byte(journalHeader)) {
		return nil
	}
	first, _, _ := bytes.Cut(data, []byte("\n"))
	if version, ok := bytes.CutPrefix(first, []byte(journalName)); ok && len(version) < 10 {
		return fmt.Errorf("line 1: version %q, and this program knows only version 1. The file was left as it was: use the program that wrote it, or name another file", version)
	}
	return errors.New("line 1: this is no state file of cognitotest. The file was left as it was: name another one")
}

// entry reads a line without its end.
func (p *parsedJournal) entry(text []byte) (payload []byte, sum uint32, ok bool) {
	_, rest, ok1 := bytes.Cut(text, []byte(" "))
	_, payload, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok1 || !ok2 || len(payload) > maxPayload {
		return nil, 0, false
	}
	want, sum := appendEntry(make([]byte, 0, len(text)+1), p.sum, payload)
	return payload, sum, bytes.Equal(want[:len(want)-1], text)
}

// last judges what comes after the last end of a line. Only what a write that was
// cut short can leave is left out: a changed byte never looks like that.
func (p *parsedJournal) last(line int, rest []byte) (parsedJournal, error) {
	if len(rest) == 0 {
		return *p, nil
	}
	m := unfinished.FindSubmatch(rest)
	if m == nil {
		return *p, p.damage(line)
	}
	if m[1] == nil {
		return *p, nil
	}
	length, err := strconv.Atoi(string(m[1]))
	if err == nil && len(m[2]) < length {
		return *p, nil
	}
	payload, _, ok := p.entry(rest)
	if !ok {
		return *p, p.damage(line)
	}
	p.entries = append(p.entries, journalEntry{line, payload})
	p.unended = payload
	return *p, nil
}

func (p *parsedJournal) damage(line int) error {
	return fmt.Errorf("line %d (byte %d): damaged or edited: checksum and length do not fit. The file was left as it was: restore a copy, or keep what comes before in another file (head -n %d)", line, p.end, line-1)
}
