package spool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file that is removed or replaced while it is open is told of, and a snapshot still copies the open one, so that the
// copy can take its place.
func TestFileMissing(t *testing.T) {
	for name, hurt := range map[string]func(path string) error{
		"removed":  os.Remove,
		"replaced": func(path string) error { return os.Rename(path+".other", path) },
	} {
		t.Run(name, func(t *testing.T) {
			s := must(Open(t.Context(), Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true, NoCompact: true}))
			run := prepare(t, s)
			ok(t, s.Missing())
			ok(t, os.WriteFile(s.path+".other", make([]byte, 1<<16), 0o600))
			ok(t, hurt(s.path))
			if err := s.Missing(); err == nil || !strings.Contains(err.Error(), s.path+" was removed or replaced") {
				t.Errorf("got %v, want it to say so", err)
			}
			dir := fastDir(t)
			f := must(os.Create(filepath.Join(dir, fileName)))
			_, err := s.Snapshot(f)
			ok(t, err)
			ok(t, f.Close())
			ok(t, s.Close())
			again := must(Open(t.Context(), Options{Dir: dir, ConnectorID: "c", noReserve: true, NoCompact: true}))
			defer closeVerified(t, again)
			if _, err := again.Run(run); err != nil {
				t.Errorf("the copy lacks run %d: %v", run, err)
			}
		})
	}
}
