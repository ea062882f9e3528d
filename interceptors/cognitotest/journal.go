// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// journalSlack is how much longer than twice its content a journal may get
// before it is written anew.
const journalSlack = 1 << 20

// journal is an append-only file of entries; see parseJournal for its form. What
// append has returned nil for is on disk. One program at a time has the file.
// Its methods are safe for concurrent use.
type journal struct {
	path   string // without symbolic links
	unlock func() error
	slack  int64
	// fold returns the shortest list of payloads with the meaning of the entries.
	fold foldFunc
	// What the operating system does; tests let it fail.
	open       func(path string, flag int) (journalFile, error)
	syncFolder func(path string) error

	mu      sync.Mutex
	pending *batch // takes entries until somebody writes it

	// disk is held while the file is written; mu may be locked inside.
	disk    sync.Mutex
	file    journalFile // nil when closed
	end     int64
	sum     uint32
	content int64 // the file's length if it were folded, as far as known
	broken  error // why nothing can be written any more
}

type foldFunc func(entries []journalEntry) ([][]byte, error)

// journalFile is what the journal needs of an *os.File.
type journalFile interface {
	Write(data []byte) (int, error)
	WriteAt(data []byte, offset int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
	Close() error
}

// batch is entries that are written and synced together, and share what becomes of it.
type batch struct {
	payloads [][]byte
	done     bool
	err      error
}

var errJournalClosed = failf("the state file is closed: the server has ended")

// journalStart is what was in a journal that has been opened.
type journalStart struct {
	entries []journalEntry
	// notices say what was repaired.
	notices []string
}

// openJournal locks and reads a journal. A file that is missing or empty gives
// no entries and is not touched: create it with rewrite before the first append.
// A file that others could read is made private, an unfinished last entry is cut
// off. Any other damage is an error that leaves the file as it was.
func openJournal(path string, fold foldFunc) (*journal, journalStart, error) {
	path, err := followLinks(path)
	if err != nil {
		return nil, journalStart{}, stateError(err)
	}
	unlock, err := lockJournal(path)
	if err != nil {
		return nil, journalStart{}, stateError(err)
	}
	j := &journal{path: path, unlock: unlock, slack: journalSlack, fold: fold, open: openFile, syncFolder: syncFolder}
	start, err := j.load()
	if err != nil {
		return nil, journalStart{}, errors.Join(stateError(err), j.close())
	}
	return j, start, nil
}

func openFile(path string, flag int) (journalFile, error) {
	f, err := os.OpenFile(path, flag, 0o600) //nolint:gosec // the program's own flag or test names the file
	if err != nil {
		return nil, err // not f: a nil *os.File would be an interface that is not nil
	}
	return f, nil
}

func stateError(err error) error { return fmt.Errorf("cognitotest: state file: %w", err) }

func (j *journal) load() (start journalStart, err error) {
	info, err := os.Stat(j.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return start, nil
	case err != nil:
		return start, err
	case !info.Mode().IsRegular():
		return start, fmt.Errorf("%s is not a regular file", j.path)
	}
	data, err := os.ReadFile(j.path)
	if err != nil {
		return start, err
	}
	if len(data) == 0 { // somebody has made room for it
		return start, nil
	}
	parsed, err := parseJournal(data)
	if err != nil {
		return start, fmt.Errorf("%s, %w", j.path, err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		// It has secrets and private keys. File systems without modes ignore this.
		if err := os.Chmod(j.path, mode&^0o077); err != nil {
			return start, fmt.Errorf("it is open to others and cannot be made private, chmod 600 it: %w", err)
		}
		start.notices = append(start.notices, fmt.Sprintf("%s was open to others (mode %04o), now it is private", j.path, mode))
	}
	f, err := j.open(j.path, os.O_RDWR)
	if err != nil {
		return start, err
	}
	j.file, j.end, j.sum, j.content = f, parsed.end, parsed.sum, parsed.end
	if cut := int64(len(data)) - parsed.end; cut > 0 {
		if err := j.truncate(); err != nil {
			return start, fmt.Errorf("%s ends with an unfinished entry that cannot be cut off: %w", j.path, err)
		}
		if parsed.unended == nil {
			start.notices = append(start.notices, fmt.Sprintf("%s ended with %d bytes of an unfinished change, from a program that was killed; they were cut off", j.path, cut))
		} else if err := j.write([][]byte{parsed.unended}); err != nil {
			return start, err
		}
	}
	start.entries = parsed.entries
	return start, nil
}

// append writes an entry and returns when it is on disk. Entries of concurrent
// calls share a sync of the disk. After an error the entry is not in the file.
func (j *journal) append(payload []byte) error {
	if err := checkPayload(payload); err != nil {
		return err
	}
	j.mu.Lock()
	if j.pending == nil {
		j.pending = new(batch)
	}
	b := j.pending
	b.payloads = append(b.payloads, payload)
	j.mu.Unlock()

	j.disk.Lock()
	defer j.disk.Unlock()
	if !b.done { // the first of the batch to get here writes it all
		j.mu.Lock()
		j.pending = nil
		j.mu.Unlock()
		b.done, b.err = true, j.commit(b.payloads)
	}
	return b.err
}

// commit needs disk.
func (j *journal) commit(payloads [][]byte) error {
	if j.broken != nil {
		return j.broken
	}
	if j.file == nil {
		return errJournalClosed
	}
	if err := j.untouched(); err != nil {
		j.broken = stateError(fmt.Errorf("%w; nothing is kept any more, restart the server", err))
		return j.broken
	}
	if j.end > 2*j.content+j.slack {
		if err := j.compact(); err != nil {
			j.content = j.end // it works as well as before, only longer; later again
		}
		if j.broken != nil {
			return j.broken
		}
	}
	return j.write(payloads)
}

// write appends at the end. When that fails it takes back what is half written.
func (j *journal) write(payloads [][]byte) error {
	var data []byte
	sum := j.sum
	for _, p := range payloads {
		data, sum = appendEntry(data, sum, p)
	}
	if _, err := j.file.WriteAt(data, j.end); err != nil {
		err = stateError(fmt.Errorf("the change was not kept: %w", err))
		if undo := j.truncate(); undo != nil {
			j.broken = stateError(fmt.Errorf("a write failed and could not be taken back (%w); nothing is kept any more, restart the server", undo))
		}
		return err
	}
	if err := j.file.Sync(); err != nil {
		// After a failed sync nobody knows what of the file is on disk.
		j.broken = stateError(fmt.Errorf("cannot be synced (%w); nothing is kept any more, restart the server", err))
		return errors.Join(j.broken, j.truncate())
	}
	j.end += int64(len(data))
	j.sum = sum
	return nil
}

func (j *journal) truncate() error {
	if err := j.file.Truncate(j.end); err != nil {
		return err
	}
	return j.file.Sync()
}

// untouched finds out whether the path still leads to the file as it was left.
// What is written to a deleted file would be gone.
func (j *journal) untouched() error {
	ours, err := j.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(j.path)
	if err != nil || !os.SameFile(ours, there) {
		return fmt.Errorf("%s was deleted or replaced while the server had it", j.path)
	}
	if there.Size() != j.end {
		return fmt.Errorf("%s was changed by another program while the server had it", j.path)
	}
	return nil
}

// compact writes the file anew with what its entries come to.
func (j *journal) compact() error {
	data, err := os.ReadFile(j.path)
	if err != nil {
		return err
	}
	parsed, err := parseJournal(data)
	if err != nil {
		return err
	}
	payloads, err := j.fold(parsed.entries)
	if err != nil {
		return err
	}
	return j.replace(payloads)
}

// rewrite makes the file hold exactly the payloads. A crash in the middle leaves the file as it was.
func (j *journal) rewrite(payloads [][]byte) error {
	for _, p := range payloads {
		if err := checkPayload(p); err != nil {
			return err
		}
	}
	j.disk.Lock()
	defer j.disk.Unlock()
	if j.broken != nil {
		return j.broken
	}
	if err := j.replace(payloads); err != nil {
		return stateError(err)
	}
	return j.broken
}

// replace writes a new file beside the old one and gives it the old one's name.
// An error means that the old file is still there and in use.
func (j *journal) replace(payloads [][]byte) error {
	data, sum := []byte(journalHeader), uint32(0)
	for _, p := range payloads {
		data, sum = appendEntry(data, sum, p)
	}
	beside := j.path + ".new"
	if err := j.writeSynced(beside, data); err != nil {
		return errors.Join(err, removeIfThere(beside))
	}
	// Some systems rename no open files.
	if j.file != nil {
		_ = j.file.Close()
		j.file = nil
	}
	failed := os.Rename(beside, j.path)
	f, err := j.open(j.path, os.O_RDWR)
	if failed != nil && errors.Is(err, fs.ErrNotExist) {
		return errors.Join(failed, removeIfThere(beside)) // there was none before
	}
	if err != nil {
		j.broken = stateError(fmt.Errorf("cannot be opened again (%w); nothing is kept any more, restart the server", err))
		return failed
	}
	j.file = f
	if failed != nil {
		return errors.Join(failed, removeIfThere(beside))
	}
	j.end, j.sum, j.content = int64(len(data)), sum, int64(len(data))
	if err := j.syncFolder(filepath.Dir(j.path)); err != nil {
		j.broken = stateError(fmt.Errorf("its folder cannot be synced (%w); nothing is kept any more, restart the server", err))
	}
	return nil
}

func (j *journal) writeSynced(path string, data []byte) error {
	if err := removeIfThere(path); err != nil { // left by a program that was killed
		return err
	}
	f, err := j.open(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// close waits for what is being written and lets other programs have the file.
func (j *journal) close() error {
	j.disk.Lock()
	defer j.disk.Unlock()
	var errs []error
	if j.file != nil {
		errs = append(errs, j.file.Close())
		j.file = nil
	}
	if j.unlock != nil {
		errs = append(errs, j.unlock())
		j.unlock = nil
	}
	if err := errors.Join(errs...); err != nil {
		return stateError(err)
	}
	return nil
}

// followLinks returns where the symbolic links of a path lead, also if nothing is there yet.
func followLinks(path string) (string, error) {
	const most = 40 // as Linux
	for range most {
		folder, name := filepath.Split(path) // unlike Dir it leaves a .. after a link as it is
		folder, err := filepath.EvalSymlinks(cmp.Or(folder, "."))
		if err != nil {
			return "", fmt.Errorf("its folder does not exist or cannot be read, create it: %w", err)
		}
		path = filepath.Join(folder, name)
		target, err := os.Readlink(path)
		if err != nil {
			return path, nil //nolint:nilerr // no link: reading the file finds out whether that is a problem
		}
		if !filepath.IsAbs(target) {
			target = folder + string(filepath.Separator) + target
		}
		path = target
	}
	return "", fmt.Errorf("%s: more than %d symbolic links", path, most)
}
