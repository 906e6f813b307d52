package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/fault"
)

func newDirectory(t *testing.T, retention time.Duration) (*Directory, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive")
	d, err := NewDirectory(DirectoryOptions{Path: path, Retention: retention, Connector: ConnectorInfo{
		ID: "c", Name: "Threat Match", Type: "EXTERNAL_IMPORT", Scope: "threatmatch",
	}})
	if err != nil {
		t.Fatal(err)
	}
	return d, path
}

func objects(texts ...string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		buf := make([]byte, 0, 1024) // reused, as a reader of the spool does
		for _, s := range texts {
			if !yield(append(buf[:0], s...), nil) {
				return
			}
		}
	}
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestDirectoryFile(t *testing.T) {
	d, path := newDirectory(t, 0)
	at := time.Date(2026, 11, 1, 13, 4, 5, 678901234, time.FixedZone("x", 3600))
	b := DirectoryBundle{ID: "bundle--1", ApplicantID: "u", CommittedAt: at}
	for _, objs := range []iter.Seq2[[]byte, error]{objects(`{"id":"old"}`), objects(`{"id":"a","x":"<ü>"}`, `{"id":"b"}`)} {
		if err := d.Write(t.Context(), b, objs); err != nil {
			t.Fatal(err)
		}
	}
	want := "threat_match-20261101-120405-1793534645.678901.json"
	if got := names(t, path); !slices.Equal(got, []string{want}) {
		t.Fatalf("got files %v, want %s", got, want)
	}
	text, err := os.ReadFile(filepath.Join(path, want))
	if err != nil {
		t.Fatal(err)
	}
	const shape = `{"bundle_type":"DIRECTORY_BUNDLE","applicant_id":"u",` +
		`"connector":{"id":"c","name":"Threat Match","type":"EXTERNAL_IMPORT","scope":"threatmatch","auto":false,"validate_before_import":false},` +
		`"entities_types":null,"bundle":{"type":"bundle","id":"bundle--1","spec_version":"2.1","objects":[{"id":"a","x":"<ü>"},{"id":"b"}]},"update":false}`
	if string(text) != shape || !json.Valid(text) {
		t.Errorf("file:\n%s\nwant\n%s", text, shape)
	}
	b.CommittedAt = at.Add(time.Microsecond)
	if err := d.Write(t.Context(), b, objects()); err != nil {
		t.Fatal(err)
	}
	if got := names(t, path); len(got) != 2 {
		t.Errorf("got files %v, want one for each bundle", got)
	}
}

// TestDirectoryFailure: a bundle that cannot be written whole leaves nothing behind, and what was there before stays.
func TestDirectoryFailure(t *testing.T) {
	d, path := newDirectory(t, 0)
	b := DirectoryBundle{ID: "bundle--1", CommittedAt: time.Unix(1, 0)}
	if err := d.Write(t.Context(), b, objects(`{"id":"whole"}`)); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("spool damaged")
	err := d.Write(t.Context(), b, func(yield func([]byte, error) bool) {
		_ = yield([]byte(`{"id":"half"}`), nil) && yield(nil, boom)
	})
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), "bundle--1") {
		t.Errorf("got error %v, want the source's", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fault.ErrShutdown)
	if err := d.Write(ctx, b, objects(`{}`)); !fault.Is(err, fault.Shutdown) {
		t.Errorf("stopped: got %v, want the cause", err)
	}
	got := names(t, path)
	if len(got) != 1 || strings.HasSuffix(got[0], ".tmp") {
		t.Fatalf("got files %v, want only the one from before", got)
	}
	if text, _ := os.ReadFile(filepath.Join(path, got[0])); !strings.Contains(string(text), "whole") {
		t.Errorf("the file from before now holds %s", text)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(t.Context(), b, objects()); err == nil || fault.Is(err, fault.Fatal) {
		t.Errorf("without a directory: got %v, want an error", err)
	}
}

func TestExpire(t *testing.T) {
	d, path := newDirectory(t, 7*24*time.Hour)
	now := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	for name, days := range map[string]int{
		"threat_match-20261101-120405-1.5.json":     8,
		"threat_match-20261101-120405-1.5.json.tmp": 8,
		"threat_match-20261101-120405-2.5.json":     6,
		"threat_match-two-20261101-120405-1.5.json": 8, // another connector's
		"threat_match-notes.json":                   8,
		"threat_match-20261101-120405-1.5.txt":      8,
		"other.json":                                8,
	} {
		file := filepath.Join(path, name)
		at := now.Add(-time.Duration(days) * 24 * time.Hour)
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	n, err := d.Expire(now)
	if err != nil || n != 2 {
		t.Errorf("%d expired, %v; want those of this connector that are too old", n, err)
	}
	want := []string{
		"other.json", "threat_match-20261101-120405-1.5.txt", "threat_match-20261101-120405-2.5.json",
		"threat_match-notes.json", "threat_match-two-20261101-120405-1.5.json",
	}
	if got := names(t, path); !slices.Equal(got, want) {
		t.Errorf("got %v left", got)
	}
	keep, _ := newDirectory(t, 0)
	if n, err := keep.Expire(now); n != 0 || err != nil {
		t.Errorf("without a retention: %d expired, %v; want none", n, err)
	}
}

func TestNewDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", filepath.Join(file, "below")} {
		if _, err := NewDirectory(DirectoryOptions{Path: path}); !fault.Is(err, fault.Fatal) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// TestDirectoryMemory writes a bundle far larger than what may be kept in memory.
func TestDirectoryMemory(t *testing.T) {
	d, _ := newDirectory(t, 0)
	object := fmt.Appendf(nil, `{"x":%q}`, strings.Repeat("x", 10_000))
	many := func(yield func([]byte, error) bool) {
		for range 2000 {
			if !yield(object, nil) {
				return
			}
		}
	}
	per := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := d.Write(b.Context(), DirectoryBundle{ID: "b"}, many); err != nil {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	if per > 200_000 {
		t.Errorf("%d bytes for a bundle of 20 MB", per)
	}
}

// TestArchiveIsPrivate: nobody else on the machine can read the archive, and a symbolic link in the way is not
// followed.
func TestArchiveIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "archive")
	d, err := NewDirectory(DirectoryOptions{Path: path, Connector: ConnectorInfo{Name: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	b := DirectoryBundle{ID: "bundle--1", CommittedAt: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)}
	none := func(func([]byte, error) bool) {}
	if err := d.Write(t.Context(), b, none); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{path: 0o700, filepath.Join(path, d.fileName(b)): 0o600} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.CommittedAt = b.CommittedAt.Add(time.Second)
	if err := os.Symlink(victim, filepath.Join(path, d.fileName(b)+".tmp")); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(t.Context(), b, none); err == nil {
		t.Error("a link in the way was followed")
	}
	if raw, err := os.ReadFile(victim); err != nil || string(raw) != "mine" {
		t.Errorf("the file that the link names holds %q, %v", raw, err)
	}
}
