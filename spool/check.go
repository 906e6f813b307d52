package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterr "go.etcd.io/bbolt/errors"
)

// fullCheckLimit is the file size up to which an unclean stop has the whole
// file checked; above it, metas, roots and counters.
const fullCheckLimit = 256 << 20

// crashesForFull is how many unclean stops in a row have it checked whole
// whatever its size: a damage that the quick check does not see may be the cause.
const crashesForFull = 3

// CheckDamaged is the exit code of CheckMain for a damaged file.
const CheckDamaged = 65

// The modes of CheckMain.
const (
	checkFull  = "full"
	checkQuick = "quick"
)

// CheckMain is the body of the child process that Options.CheckCommand names.
// args are the mode ("full" or "quick") and the path. It returns the exit code:
// 0 whole, CheckDamaged damaged, 1 the check itself could not be done. A damage
// that kills the process is told by the way it dies.
func CheckMain(ctx context.Context, args []string, stderr io.Writer) int {
	if len(args) != 2 || args[0] != checkFull && args[0] != checkQuick {
		_, _ = fmt.Fprintln(stderr, "usage: full|quick PATH")
		return 1
	}
	err := CheckFile(ctx, args[1], args[0] == checkFull)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, err)
	if errors.Is(err, ErrCorrupt) {
		return CheckDamaged
	}
	return 1
}

// CheckFile checks a spool file that no process has open for writing: its
// length against both metas, the bounds of every page, and then bbolt's own
// view of its roots and the counters, or (full) of the whole file. Payloads are not part of it: a damaged
// payload is reported where it is read, and does not make the file unusable.
// It returns an error that wraps ErrCorrupt if the file is damaged. A damage can
// kill the process; use a child process where that matters.
func CheckFile(ctx context.Context, path string, full bool) error {
	if err := checkLength(path); err != nil {
		return err
	}
	if err := checkBounds(ctx, path); err != nil {
		return err
	}
	bo := Options{LockTimeout: 10 * time.Second}.boltReadOnly()
	bo.PreLoadFreelist = false // it would look at every page once more
	db, err := bolt.Open(path, 0, bo)
	if err != nil {
		return damaged(err)
	}
	err = db.View(func(tx *bolt.Tx) (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("%w: %v", ErrCorrupt, r)
			}
		}()
		if err := checkRoots(tx); err != nil || !full {
			return err
		}
		return checkPages(ctx, tx)
	})
	return errors.Join(err, db.Close())
}

// checkBounds walks the pages with plain reads.
func checkBounds(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	return walkPages(ctx, f, fi.Size())
}

// damaged turns bbolt's own complaints about a file into ErrCorrupt. What the
// system refuses, such as memory for the map, says nothing about the file.
func damaged(err error) error {
	_, isPath := errors.AsType[*os.PathError](err)
	_, isErrno := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, bolterr.ErrTimeout):
		return fmt.Errorf("%w: %v", ErrLocked, err)
	case isPath, isErrno:
		return err
	}
	return fmt.Errorf("%w: %v", ErrCorrupt, err)
}

// checkRoots reads the root of every bucket, its first and last entries, and the counters.
func checkRoots(tx *bolt.Tx) error {
	t := newTxn(tx, 0)
	for _, name := range Buckets() {
		b := tx.Bucket([]byte(name))
		if b == nil {
			return fmt.Errorf("%w: no bucket %s", ErrCorrupt, name)
		}
		c := b.Cursor()
		_, _ = c.First()
		_, _ = c.Last()
	}
	for _, name := range []string{subEntries, subLog, subRuns} {
		if tx.Bucket([]byte(bktIDs)).Bucket([]byte(name)) == nil {
			return fmt.Errorf("%w: no bucket %s/%s", ErrCorrupt, bktIDs, name)
		}
	}
	if t.meta().schema() != schema {
		return nil // another version's counters are that version's matter
	}
	if _, err := t.meta().state(); err != nil {
		return err
	}
	return t.meta().read(keyCounters, &counters{})
}

// checkPages walks all pages.
func checkPages(ctx context.Context, tx *bolt.Tx) error {
	const most = 20
	var found []string
	for err := range tx.Check() {
		if len(found) < most && ctx.Err() == nil {
			found = append(found, err.Error())
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(found) > 0 {
		return fmt.Errorf("%w: %s", ErrCorrupt, strings.Join(found, "; "))
	}
	return nil
}

// checkApart checks the file in a child process, or in this one if the options name none.
func checkApart(ctx context.Context, o Options, path string, crashes int) error {
	mode := checkQuick
	if fi, err := os.Stat(path); err != nil {
		return err
	} else if fi.Size() <= fullCheckLimit || crashes >= crashesForFull {
		mode = checkFull
	}
	if len(o.CheckCommand) == 0 {
		return CheckFile(ctx, path, mode == checkFull)
	}
	argv := append(append([]string{}, o.CheckCommand...), mode, path)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Stderr = &limitedWriter{w: &out, left: 64 << 10}
	err := cmd.Run()
	if err == nil {
		return nil
	}
	return childVerdict(ctx, err, out.String())
}

// childVerdict says what the end of the checking child means. A child that
// could not be started, was stopped, or did not get as far as checking says
// nothing about the file.
func childVerdict(ctx context.Context, err error, stderr string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(stderr), "\n")
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("check the file in a child process: %w", err)
	}
	if exit.ExitCode() == CheckDamaged || diedOfDamage(exit, stderr) {
		return fmt.Errorf("%w: %s (%v)", ErrCorrupt, line, err)
	}
	return fmt.Errorf("check the file in a child process: %w: %s", err, line)
}

// diedOfDamage reports whether the Go runtime or the kernel ended the child for
// touching what is not there.
func diedOfDamage(exit *exec.ExitError, stderr string) bool {
	if exit.ExitCode() == 2 {
		for _, mark := range []string{"unexpected fault address", "fatal error: fault", "SIGSEGV", "SIGBUS", "panic:"} {
			if strings.Contains(stderr, mark) {
				return true
			}
		}
	}
	return strings.Contains(exit.String(), "segmentation fault") || strings.Contains(exit.String(), "bus error")
}

// limitedWriter keeps the beginning of what is written and swallows the rest.
type limitedWriter struct {
	w    io.Writer
	left int
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	part := p[:min(len(p), l.left)]
	l.left -= len(part)
	if _, err := l.w.Write(part); err != nil {
		return 0, err
	}
	return len(p), nil
}
