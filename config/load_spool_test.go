package config

import (
	"path/filepath"
	"testing"
)

func TestLoadSpoolNeedsNothingElse(t *testing.T) {
	dir := t.TempDir()
	s, a, err := LoadSpool(Options{Dir: dir, Environ: []string{"SPOOL_DIR=" + filepath.Join(dir, "s"), "CONNECTOR_ID=bad"}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Dir != filepath.Join(dir, "s") || a.Socket != filepath.Join(s.Dir, "admin.sock") {
		t.Errorf("got %q, %q", s.Dir, a.Socket)
	}
	if _, _, err := LoadSpool(Options{Dir: dir, Environ: []string{"SPOOL_MAX_SIZE=many"}}); err == nil {
		t.Error("a wrong spool setting was not told")
	}
}
