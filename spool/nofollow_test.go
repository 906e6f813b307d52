//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package spool

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLinksAreNotFollowed: a symbolic link in place of the lock or of the reserve does not make us write to its
// target.
func TestLinksAreNotFollowed(t *testing.T) {
	for _, name := range []string{lockName, "spool.reserve"} {
		dir := t.TempDir()
		victim := filepath.Join(t.TempDir(), "victim")
		if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.Symlink(victim, path); err != nil {
			t.Fatal(err)
		}
		var err error
		if name == lockName {
			_, err = acquireLock(Options{Dir: dir, Now: time.Now})
		} else {
			err = writeZeros(path, 10)
		}
		if err == nil {
			t.Errorf("%s: the link was followed", name)
		}
		if raw, err := os.ReadFile(victim); err != nil || string(raw) != "mine" {
			t.Errorf("%s: the file that it points to holds %q, %v", name, raw, err)
		}
	}
}
