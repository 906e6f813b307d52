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

// errUnusable means that the file itself is damaged, as against a row in it: only
// that sets it aside.
var errUnusable = fmt.Errorf("%w file", ErrCorrupt)

// checkPages checks the file before bbolt opens it: its length always, and every
// page where the process before did not close it. It wraps errUnusable for a file
// whose pages do not hold together.
func checkPages(ctx context.Context, path string, clean bool) error {
	m, err := boltfile.Newest(path)
	if err == nil && clean && m.Freelist != boltfile.NoFreelist {
		err = boltfile.CheckLength(path)
	} else if err == nil {
		// Without a written free list bbolt walks the pages itself, and would die of a damaged one.
		err = boltfile.Check(ctx, path)
	}
	if errors.Is(err, boltfile.ErrDamaged) {
		return fmt.Errorf("%w: %w", errUnusable, err)
	}
	return err
}

// asideMark stands between the name of the file and the time at which it was set aside.
const asideMark = ".damaged-"

// setAside moves a damaged file out of the way under a dated name, with a note
// beside it. The spool that is made in its place finds it by that name, so that
// nothing is lost by a kill in between.
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
			last = filepath.Join(dir, e.Name()) // they come in order
		}
	}
	return last, err
}
