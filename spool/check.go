package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"threatmatch-connector/spool/internal/boltfile"
)

// ErrUnusable is an ErrCorrupt of the file itself, not only of a row in it. Only such a file is set aside, by an Open
// that may write.
var ErrUnusable = fmt.Errorf("%w file", ErrCorrupt)

// checkPages checks the file before bbolt opens it: always its length, and every page unless the last stop was clean.
// It wraps ErrUnusable for a file whose pages are inconsistent.
func checkPages(ctx context.Context, path string, clean bool) error {
	m, err := boltfile.Newest(path)
	// Without a written free list bbolt walks the pages itself, and would crash on a damaged one.
	if err == nil && (!clean || m.Freelist == boltfile.NoFreelist) {
		err = boltfile.Check(ctx, path)
	}
	if errors.Is(err, boltfile.ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return err
}

// asideMark separates the name of the file from the time at which it was set aside.
const asideMark = ".damaged-"

// setAside renames a damaged file to a dated name and puts a note beside it. The new spool finds it by that name, so
// that a kill in between loses nothing.
func setAside(path string, now time.Time, damage error) error {
	base := path + asideMark + now.UTC().Format("20060102T150405Z")
	to := base
	for n := 2; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
		to = fmt.Sprintf("%s-%d", base, n)
	}
	if err := os.Rename(path, to); err != nil {
		return err
	}
	note := fmt.Sprintf("Set aside at %s: %v\n", now.UTC().Format(time.RFC3339), damage)
	if err := os.WriteFile(to+".txt", []byte(note), 0o600); err != nil && !diskFull(err) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// lastAside returns the file in the directory that was set aside last, or "".
func lastAside(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	last := ""
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), fileName+asideMark) && filepath.Ext(e.Name()) != ".txt" {
			last = filepath.Join(dir, e.Name()) // ReadDir returns them in order
		}
	}
	return last, err
}
