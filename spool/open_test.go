package spool

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Every opening for writing syncs, has a lock timeout, and has a cap.
func TestOpenOptions(t *testing.T) {
	o := Options{MaxSize: 4 << 30}.withDefaults().bolt()
	if o.NoSync || o.NoGrowSync {
		t.Error("syncing is off")
	}
	if o.Timeout <= 0 {
		t.Error("it waits for a lock for ever")
	}
	if want := 5<<30 + 256<<20; o.MaxSize != want || o.InitialMmapSize != want {
		t.Errorf("cap %d, mapped %d, want %d", o.MaxSize, o.InitialMmapSize, want)
	}
	if o.FreelistType != bolt.FreelistMapType || !o.NoFreelistSync {
		t.Error("the free list is kept the slow way")
	}
	s := mustOpen(t, Options{})
	if s.db.NoSync || s.db.NoGrowSync {
		t.Error("the open file does not sync")
	}
}

func TestNewSpool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := mustOpen(t, Options{Dir: dir, ConnectorID: "c1"})
	m := must(s.Meta())
	if m.ConnectorID != "c1" || m.Epoch != 1 || m.Schema != schema || m.Unclean || m.StateKnown || m.SetAside != "" {
		t.Errorf("meta %+v", m)
	}
	for path, want := range map[string]fs.FileMode{dir: 0o700, s.path: 0o600, filepath.Join(dir, lockName): 0o600} {
		if got := must(os.Stat(path)).Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
}

// A crash while the file is created or compacted leaves a file under another name, which the next start removes.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{newName, compactName} {
		ok(t, os.WriteFile(filepath.Join(dir, name), []byte("half a file"), 0o600))
	}
	mustOpen(t, Options{Dir: dir, ConnectorID: "c"})
	for _, name := range []string{newName, compactName} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}

func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Options{Dir: dir, ConnectorID: "c", Version: "1.2", Now: func() time.Time { return t0 }})
	ok(t, s.NoteSocket("/run/admin.sock"))
	for _, readOnly := range []bool{false, true} {
		_, err := Open(t.Context(), Options{Dir: dir, LockTimeout: 20 * time.Millisecond, ReadOnly: readOnly})
		if !errors.Is(err, ErrLocked) {
			t.Fatalf("read-only %v: %v", readOnly, err)
		}
		for _, want := range []string{fmt.Sprint("pid ", os.Getpid()), "2026-01-02T03:04:05Z", "spool commands"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
	info := must(ReadLock(dir))
	if info.Socket != "/run/admin.sock" || info.Version != "1.2" || info.Clean {
		t.Errorf("lock file %+v", info)
	}
	ok(t, s.Close())
	if info := must(ReadLock(dir)); !info.Clean {
		t.Errorf("after closing: %+v", info)
	}
}

// A reader has the file open; a daemon that starts meanwhile says so.
func TestReaderHoldsTheFile(t *testing.T) {
	dir := t.TempDir()
	ok(t, mustOpen(t, Options{Dir: dir, ConnectorID: "c"}).Close())
	r := must(Open(t.Context(), Options{Dir: dir, ReadOnly: true}))
	_, err := Open(t.Context(), Options{Dir: dir, LockTimeout: 20 * time.Millisecond})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "reading") {
		t.Fatalf("got error %v, want locked by a reader", err)
	}
	second := must(Open(t.Context(), Options{Dir: dir, ReadOnly: true}))
	ok(t, errors.Join(r.Close(), second.Close()))
	mustOpen(t, Options{Dir: dir})
}

func TestAnotherConnector(t *testing.T) {
	dir := t.TempDir()
	ok(t, mustOpen(t, Options{Dir: dir, ConnectorID: "mine", Version: "one"}).Close())
	for _, readOnly := range []bool{false, true} {
		_, err := Open(t.Context(), Options{Dir: dir, ConnectorID: "yours", ReadOnly: readOnly})
		if !errors.Is(err, ErrConnector) || !strings.Contains(err.Error(), "mine") || !strings.Contains(err.Error(), "yours") {
			t.Errorf("read-only %v: %v", readOnly, err)
		}
	}
	if i := must(ReadLock(dir)); !i.Clean || i.Version != "one" {
		t.Errorf("the note is of the process that was refused: %+v", i)
	}
	// A process that is refused does not mark a file as clean whose last process is unknown.
	ok(t, os.Remove(filepath.Join(dir, lockName)))
	if _, err := Open(t.Context(), Options{Dir: dir, ConnectorID: "yours"}); !errors.Is(err, ErrConnector) {
		t.Errorf("without a note: %v", err)
	}
	if i := must(ReadLock(dir)); i.Clean {
		t.Errorf("the note says that the spool was closed: %+v", i)
	}
	mustOpen(t, Options{Dir: dir}) // inspection does not check
}

// A spool that a tool made without knowing the connector is bound to the first one that opens it.
func TestBoundLater(t *testing.T) {
	dir := t.TempDir()
	ok(t, mustOpen(t, Options{Dir: dir}).Close())
	s := mustOpen(t, Options{Dir: dir, ConnectorID: "c"})
	if m := must(s.Meta()); m.ConnectorID != "c" {
		t.Errorf("got meta %+v, want connector c", m)
	}
}

// Reading changes nothing: not a byte of any file, and no file is added or removed.
func TestReadingChangesNothing(t *testing.T) {
	o := putFile(t, filled(t))
	before := snapshotDir(t, o.Dir)
	s := must(Open(t.Context(), Options{Dir: o.Dir, ReadOnly: true}))
	readAll(s)
	must(s.Verify(t.Context()))
	must(s.Snapshot(&bytes.Buffer{}))
	if _, err := s.StartRun(1, t0, RunSpec{}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("a run was started: %v", err)
	}
	if err := s.NoteSocket("x"); !errors.Is(err, ErrReadOnly) {
		t.Errorf("a socket was noted: %v", err)
	}
	if m := must(s.Meta()); !m.Unclean {
		t.Error("the unclean stop is not told")
	}
	ok(t, s.Close())
	if after := snapshotDir(t, o.Dir); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// snapshotDir describes a directory to the byte and the modification time.
func snapshotDir(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	for _, e := range must(os.ReadDir(dir)) {
		fi := must(e.Info())
		b := must(os.ReadFile(filepath.Join(dir, e.Name())))
		fmt.Fprintf(&out, "%s %v %d %v %x\n", e.Name(), fi.Mode(), fi.Size(), fi.ModTime(), sha256.Sum256(b))
	}
	return out.String()
}

func TestNothingToRead(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(t.Context(), Options{Dir: dir, ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if left := must(os.ReadDir(dir)); len(left) > 0 {
		t.Fatalf("reading made %v", left)
	}
}

// After Close every method returns ErrClosed; none panics.
func TestClosed(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	file := oneRecordAside(t)
	ok(t, s.Close())
	ok(t, s.Close())
	_ = s.Room()
	typed := map[string][]any{ // where zero values are refused first
		"Enqueue": {uint64(1), ReasonRepull, []uint64(nil), []NewTask{{TaskKey: item(Alerts, 1)}}},
		"Export":  {bktDead, "", int64(1)},
		"Search":  {bktDead, Query{}, "", int64(1)},
		"Retry":   {uint64(1), t0, []uint64{1}, []TaskKey(nil)},
		"Drop":    {[]uint64{1}, []TaskKey(nil), []string(nil)},
		"Salvage": {t.Context(), file, t0, SalvageOptions{}}, "LookSalvage": {t.Context(), file, SalvageOptions{}},
		"Snapshot": {io.Writer(io.Discard)}, "Verify": {t.Context()}, "Pause": {t0, StageFetch},
	}
	v := reflect.ValueOf(s)
	for i := range v.NumMethod() {
		name := v.Type().Method(i).Name
		if name == "Close" || name == "Room" {
			continue
		}
		m := v.Method(i)
		var args []reflect.Value
		for n := range m.Type().NumIn() {
			if given := typed[name]; given != nil {
				args = append(args, reflect.ValueOf(given[n]))
			} else {
				args = append(args, reflect.Zero(m.Type().In(n)))
			}
		}
		out := m.Call(args)
		if err, _ := out[len(out)-1].Interface().(error); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
}

// Unclean stops are reported by the next process only.
func TestUncleanStops(t *testing.T) {
	o := Options{Dir: t.TempDir(), ConnectorID: "c", noReserve: true}
	for n := range 4 {
		s := must(Open(t.Context(), o))
		if got := must(s.Meta()).Unclean; got != (n > 0) {
			t.Errorf("start %d: unclean %v", n, got)
		}
		crash(t, s)
	}
	ok(t, mustOpen(t, o).Close())
	if m := must(mustOpen(t, o).Meta()); m.Unclean {
		t.Error("unclean after a clean stop")
	}
}

// An operator's command between two runs does not hide how the last one ended.
func TestVisitHidesNoCrash(t *testing.T) {
	o := Options{Dir: t.TempDir(), ConnectorID: "c", noReserve: true, Version: "daemon"}
	visit := Options{Dir: o.Dir, noReserve: true, Version: "command", Visit: true}
	crash(t, must(Open(t.Context(), o)))
	crash(t, must(Open(t.Context(), o)))
	before := must(ReadLock(o.Dir))
	for range 2 {
		ok(t, must(Open(t.Context(), visit)).Close())
	}
	if got := must(ReadLock(o.Dir)); got != before || got.Clean {
		t.Errorf("the note says %+v, before %+v", got, before)
	}
	s := must(Open(t.Context(), o))
	if m := must(s.Meta()); !m.Unclean {
		t.Errorf("the crash is forgotten: %+v", must(ReadLock(o.Dir)))
	}
	ok(t, s.Close())
	ok(t, must(Open(t.Context(), visit)).Close())
	if got := must(ReadLock(o.Dir)); !got.Clean || got.Version != "daemon" {
		t.Errorf("after a clean stop the note says %+v", got)
	}
	if m := must(must(Open(t.Context(), o)).Meta()); m.Unclean {
		t.Error("a visit counts as a crash")
	}
}

func setSchema(t *testing.T, s *Spool, n int) {
	t.Helper()
	ok(t, s.db.Update(func(tx *bolt.Tx) error {
		newTxn(tx, 0).meta().stamp(n)
		return nil
	}))
}

// A file of a newer version is refused and left unchanged.
func TestNewerSchema(t *testing.T) {
	o := Options{Dir: t.TempDir(), ConnectorID: "c", noReserve: true}
	s := must(Open(t.Context(), o))
	setSchema(t, s, schema+1)
	ok(t, s.Close())
	before := must(os.ReadFile(s.path))
	for _, readOnly := range []bool{false, true} {
		o.ReadOnly = readOnly
		if _, err := Open(t.Context(), o); !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "newer version") {
			t.Errorf("read-only %v: %v", readOnly, err)
		}
	}
	if after := must(os.ReadFile(s.path)); !bytes.Equal(before, after) {
		t.Error("the newer file was changed")
	}
}

// Each step of a migration is one transaction with its number: if one fails, the file is at the step before and
// continues from there.
func TestMigrationSteps(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	defer setSchema(t, s, schema)
	var did []int
	fail := true
	step := func(n int) migration {
		return func(t *txn) (bool, error) {
			t.meta().save(keyPlatform, n)
			if n == schema+1 && fail {
				return false, errors.New("no")
			}
			did = append(did, n)
			return true, nil
		}
	}
	steps := map[int]migration{schema: step(schema), schema + 1: step(schema + 1)}
	if err := s.migrate(schema+2, steps); err == nil {
		t.Fatal("a failing step went through")
	}
	if m := must(s.Meta()); m.Schema != schema+1 {
		t.Fatalf("at schema %d", m.Schema)
	}
	fail = false
	ok(t, s.migrate(schema+2, steps))
	if m := must(s.Meta()); m.Schema != schema+2 || len(did) != 2 || did[1] != schema+1 {
		t.Fatalf("at schema %d after %v", m.Schema, did)
	}
	if err := s.migrate(schema, steps); !errors.Is(err, ErrSchema) {
		t.Fatalf("downwards: %v", err)
	}
}
