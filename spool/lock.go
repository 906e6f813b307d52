package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// LockInfo is what the lock file beside the spool says about the process that holds the spool, or held it last.
type LockInfo struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Version string    `json:"version,omitempty"`
	Socket  string    `json:"socket,omitempty"` // of the daemon's admin interface; may be empty
	Clean   bool      `json:"clean"`            // the process closed the spool
}

// err says who holds the spool and what to do.
func (i LockInfo) err() error {
	if i.PID == 0 {
		return fmt.Errorf("%w by another process", ErrLocked)
	}
	return fmt.Errorf("%w by pid %d, started at %s: use the spool commands, which ask that process, or stop it",
		ErrLocked, i.PID, i.Started.Format(time.RFC3339))
}

// ReadLock returns what the lock file in the directory says. That process may have died since. Without a lock file
// the error is os.ErrNotExist.
func ReadLock(dir string) (LockInfo, error) {
	var i LockInfo
	b, err := os.ReadFile(filepath.Join(dir, lockName))
	if err != nil {
		return i, err
	}
	if err := json.Unmarshal(b, &i); err != nil {
		return LockInfo{}, fmt.Errorf("lock file: %w", err)
	}
	return i, nil
}

// lock is the held lock file. The operating system releases it when the process dies, whatever the file says.
type lock struct {
	f      *os.File
	info   LockInfo // of this process
	before LockInfo // of the previous process
	visit  bool     // release restores the note of the previous process
}

// acquireLock locks the spool, or returns an ErrLocked that says who holds it.
func acquireLock(o Options) (*lock, error) {
	f, err := os.OpenFile(filepath.Join(o.Dir, lockName), os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	l := &lock{f: f, visit: o.Visit}
	b, err := io.ReadAll(f)
	if err == nil {
		_ = json.Unmarshal(b, &l.before) // an unreadable note counts as an unclean stop
		err = waitFlock(f, true, o.LockTimeout)
	}
	if err != nil {
		if errors.Is(err, ErrLocked) {
			err = l.before.err()
		}
		return nil, errors.Join(err, f.Close())
	}
	if i, err := ReadLock(o.Dir); err == nil {
		l.before = i // the previous process may have written it while we waited
	}
	l.info = LockInfo{PID: os.Getpid(), Started: o.Now().UTC(), Version: o.Version, Socket: o.Socket}
	if err := l.write(l.before.Clean); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// noteSize is the fixed length of a note, so that overwriting one needs no new room: a full disk must not keep the
// spool from opening.
const noteSize = 2048

// write stores the note durably. A full disk is not an error.
func (l *lock) write(clean bool) error {
	l.info.Clean = clean
	b, err := json.Marshal(l.info)
	if err != nil {
		return err
	}
	note := bytes.Repeat([]byte{' '}, max(noteSize, len(b)+1))
	copy(note, b)
	note[len(note)-1] = '\n'
	_, err = l.f.WriteAt(note, 0)
	if err == nil {
		err = l.f.Sync()
	}
	if diskFull(err) {
		return nil
	}
	return err
}

// release releases the lock. A note that cannot be written counts as unclean at the next start, which costs a check.
func (l *lock) release(clean bool) {
	if l.visit && clean && l.before.PID != 0 {
		l.info, clean = l.before, l.before.Clean
	}
	_ = l.write(clean)
	_ = l.f.Close()
}

// NoteSocket writes the address of the admin interface into the lock file.
func (s *Spool) NoteSocket(path string) error {
	if s.readOnly {
		return ErrReadOnly
	}
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.lock.info.Socket = path
	return s.lock.write(false)
}
