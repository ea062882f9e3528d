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
	// snapshot returns payloads that mean the same as all entries so far. It is
	// called by append and tidy.
	snapshot func() ([][]byte, error)
	// What the operating system does; tests let it fail.
	open       func(path string, flag int) (journalFile, error)
	syncFolder func(path string) error

	mu      sync.Mutex // held while the file is written
	file    journalFile
	end     int64
	sum     uint32
	content int64 // how long the file was, or would have been, when it was last compared with a snapshot
	broken  error // why nothing can be written any more
}

// journalFile is what the journal needs of an *os.File.
type journalFile interface {
	Write(data []byte) (int, error)
	WriteAt(data []byte, offset int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
	Close() error
}

var errJournalClosed = failf("the state file is closed: the server has ended")

// journalStart is what was in a journal that has been opened.
type journalStart struct {
	exists  bool // or the file is missing or empty
	entries []journalEntry
	// notices say what was repaired.
	notices []string
}

// openJournal locks and reads a journal. A file that is missing or empty is not
// touched: create it with rewrite before the first append.
// A file that others could read is made private, an unfinished last entry is cut
// off. Any other damage is an error that leaves the file as it was.
func openJournal(path string, snapshot func() ([][]byte, error)) (*journal, journalStart, error) {
	path, err := followLinks(path)
	if err != nil {
		return nil, journalStart{}, stateError(err)
	}
	unlock, err := lockJournal(path)
	if err != nil {
		return nil, journalStart{}, stateError(err)
	}
	j := &journal{path: path, unlock: unlock, slack: journalSlack, snapshot: snapshot, open: openFile, syncFolder: syncFolder}
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
	j.file, j.end, j.sum = f, parsed.end, parsed.sum
	if cut := int64(len(data)) - parsed.end; cut > 0 {
		if err := j.truncate(); err != nil {
			return start, fmt.Errorf("%s ends with an unfinished entry that cannot be cut off: %w", j.path, err)
		}
		if parsed.unended == nil {
			start.notices = append(start.notices, fmt.Sprintf("%s ended with %d bytes of an unfinished change, from a program that was killed; they were cut off", j.path, cut))
		} else if err := j.write(parsed.unended); err != nil {
			return start, err
		}
	}
	start.exists, start.entries = true, parsed.entries
	return start, nil
}

// append writes an entry and returns when it is on disk. After an error the
// entry is not in the file.
func (j *journal) append(payload []byte) error {
	if err := checkPayload(payload); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil && j.broken == nil {
		return errJournalClosed
	}
	if j.broken != nil {
		return j.broken
	}
	if err := j.untouched(); err != nil {
		j.broken = stateError(fmt.Errorf("%w; nothing is kept any more, restart the server", err))
		return j.broken
	}
	j.compact()
	if j.broken != nil {
		return j.broken
	}
	return j.write(payload)
}

// write appends at the end. When that fails it takes back what is half written.
func (j *journal) write(payload []byte) error {
	data, sum := appendEntry(nil, j.sum, payload)
	if _, err := j.file.WriteAt(data, j.end); err != nil {
		err = stateError(err)
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

// tidy writes the file anew if it has grown far beyond its content, which append does too.
func (j *journal) tidy() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.compact()
}

// compact is tidy for who holds the mutex. If it fails the file works as well
// as before and is only longer: later again.
func (j *journal) compact() {
	grown := func() bool { return j.end > 2*j.content+j.slack }
	if !grown() {
		return
	}
	payloads, err := j.snapshot()
	if err == nil {
		var data []byte
		var sum uint32
		data, sum, err = encodeJournal(payloads)
		j.content = int64(len(data))
		if err == nil && grown() {
			err = j.replace(data, sum)
		}
	}
	if err != nil {
		j.content = j.end
	}
}

// rewrite makes the file hold exactly the payloads. A crash in the middle leaves the file as it was.
func (j *journal) rewrite(payloads [][]byte) error {
	data, sum, err := encodeJournal(payloads)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	if err := j.replace(data, sum); err != nil {
		return stateError(err)
	}
	return j.broken
}

// replace writes a new file beside the old one and gives it the old one's name.
// An error means that the old file is still there and in use.
func (j *journal) replace(data []byte, sum uint32) error {
	beside := j.path + ".new"
	if err := j.writeSynced(beside, data); err != nil {
		return errors.Join(err, removeIfThere(beside))
	}
	isNew := j.file == nil
	if !isNew { // some systems rename no open files
		_ = j.file.Close()
		j.file = nil
	}
	failed := os.Rename(beside, j.path)
	if failed != nil {
		failed = errors.Join(failed, removeIfThere(beside))
		if isNew {
			return failed
		}
	}
	f, err := j.open(j.path, os.O_RDWR)
	if err != nil {
		j.broken = stateError(fmt.Errorf("cannot be opened again (%w); nothing is kept any more, restart the server", err))
		return failed
	}
	j.file = f
	if failed != nil {
		return failed
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
	j.mu.Lock()
	defer j.mu.Unlock()
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
