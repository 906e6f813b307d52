package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"threatmatch-connector/spool/internal/encoding"
)

// The places in a bbolt file at which these tests do damage.
const (
	metaOffset    = 16
	metaPageSize  = 8
	metaRoot      = 16
	metaTxid      = 48
	pageHeader    = 16
	elementSize   = 16
	branchPage    = 0x01
	leafPage      = 0x02
	bucketElement = 0x01
)

type boltMeta struct{ Root, HighWater, Txid uint64 }

// filled makes a spool with something in every bucket and returns its bytes as a killed process leaves them.
func filled(t *testing.T) []byte {
	t.Helper()
	d := newDriver(t, 12)
	for range 600 {
		d.step()
	}
	for n := range 20 {
		key := TaskKey{Alerts, TaskItem, fmt.Sprint("more ", n)}
		run := must(d.s.StartRun(d.m.epoch, t0, RunSpec{Reason: ReasonOnce, Tasks: []NewTask{{TaskKey: key}}}))
		rec := &NewRecord{Dataset: Alerts, Source: key.Source, Body: bodyOf(n)}
		ok(t, d.s.SettleTasks(d.m.epoch, t0, []Outcome{{Task: key, Run: run.ID, Record: rec}}))
	}
	must(d.s.StartRun(d.m.epoch, t0, RunSpec{Reason: ReasonOnce, Tasks: []NewTask{{TaskKey: TaskKey{Reports, TaskItem, "open"}}}}))
	crash(t, d.s)
	b := must(os.ReadFile(d.s.path))
	size := int(binary.NativeEndian.Uint32(b[metaOffset+metaPageSize:]))
	return b[:int(newestMeta(b, size).HighWater)*size] // without what is only reserved for growth
}

// putFile puts the bytes into a directory as the spool of a killed process.
func putFile(t *testing.T, b []byte) Options {
	t.Helper()
	dir := fastDir(t)
	ok(t, os.WriteFile(filepath.Join(dir, fileName), b, 0o600))
	return Options{Dir: dir, noReserve: true, NoCompact: true, Now: func() time.Time { return t0 }}
}

// pagesOf returns the offsets of the pages with the flags that the newest meta reaches.
func pagesOf(t *testing.T, b []byte, flags uint16) []int {
	t.Helper()
	size := int(binary.NativeEndian.Uint32(b[metaOffset+metaPageSize:]))
	m := newestMeta(b, size)
	var found []int
	var walk func(id uint64)
	walk = func(id uint64) {
		p := b[int(id)*size:]
		kind, count := binary.NativeEndian.Uint16(p[8:]), int(binary.NativeEndian.Uint16(p[10:]))
		if kind == flags {
			found = append(found, int(id)*size)
		}
		for i := range count {
			e := p[pageHeader+i*elementSize:]
			if kind == branchPage {
				walk(binary.NativeEndian.Uint64(e[8:]))
			} else if binary.NativeEndian.Uint32(e)&bucketElement != 0 {
				off := pageHeader + i*elementSize + int(binary.NativeEndian.Uint32(e[4:])) + int(binary.NativeEndian.Uint32(e[8:]))
				if root := binary.NativeEndian.Uint64(p[off:]); root != 0 {
					walk(root)
				}
			}
		}
	}
	walk(m.Root)
	if len(found) == 0 {
		t.Fatalf("no page with flags %#x", flags)
	}
	return found
}

func pageOf(t *testing.T, b []byte, flags uint16) int { return pagesOf(t, b, flags)[0] }

// newestMeta returns the newest meta in the bytes.
func newestMeta(b []byte, size int) boltMeta {
	ne := binary.NativeEndian
	read := func(at int) boltMeta {
		m := b[at+metaOffset:]
		return boltMeta{Root: ne.Uint64(m[metaRoot:]), HighWater: ne.Uint64(m[40:]), Txid: ne.Uint64(m[metaTxid:])}
	}
	if m0, m1 := read(0), read(size); m0.Txid > m1.Txid {
		return m0
	} else {
		return m1
	}
}

// Without a note of a clean stop every page is checked, also those that open does not read.
func TestMissingNoteChecksEveryPage(t *testing.T) {
	dir := t.TempDir()
	grown(t, dir)
	path := filepath.Join(dir, fileName)
	file := must(os.ReadFile(path))
	pages := pagesOf(t, file, leafPage)
	file[pages[len(pages)-1]] ^= 0xff
	ok(t, os.WriteFile(path, file, 0o600))
	ok(t, os.Remove(filepath.Join(dir, lockName)))
	s := mustOpen(t, Options{Dir: dir, ConnectorID: "c", NoCompact: true})
	if m := must(s.Meta()); m.SetAside == "" {
		t.Error("the damaged page was not found")
	}
}

// A file that was set aside is told of as long as it exists, also in a directory that moved.
func TestSetAsideIsToldUntilItIsRemoved(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	ok(t, os.Mkdir(from, 0o700))
	ok(t, os.WriteFile(filepath.Join(from, fileName), []byte("no spool"), 0o600))
	s := mustOpen(t, Options{Dir: from, ConnectorID: "c", NoCompact: true})
	ok(t, s.Close())
	ok(t, os.Rename(from, to))
	s = mustOpen(t, Options{Dir: to, ConnectorID: "c", NoCompact: true})
	told := must(s.Meta()).SetAside
	if told != must(s.Stats()).Meta.SetAside || must(os.ReadFile(told)) == nil {
		t.Errorf("moved: told of %q", told)
	}
	ok(t, os.Remove(told))
	if a, b := must(s.Meta()).SetAside, must(s.Stats()).Meta.SetAside; a != "" || b != "" {
		t.Errorf("removed, but told of %q and %q", a, b)
	}
}

// Each kind of damage has its documented result: the file is set aside under a dated name with all its bytes and a
// new one replaces it, or it is used and the damage is reported where it is read.
func TestDamage(t *testing.T) {
	whole := filled(t)
	size := int(binary.NativeEndian.Uint32(whole[metaOffset+metaPageSize:]))
	flip := func(at int) func(b []byte) []byte {
		return func(b []byte) []byte { b[at] ^= 0xff; return b }
	}
	for _, c := range []struct {
		name  string
		do    func(b []byte) []byte
		aside bool
	}{
		{"untouched", func(b []byte) []byte { return b }, false},
		{"truncated to half", func(b []byte) []byte { return b[:int(newestMeta(b, size).HighWater/2)*size] }, true},
		{"its last used page cut", func(b []byte) []byte { return b[:int(newestMeta(b, size).HighWater-1)*size] }, true},
		{"truncated inside the first page", func(b []byte) []byte { return b[:100] }, true},
		{"zero length", func([]byte) []byte { return nil }, true},
		{"another file altogether", func([]byte) []byte { return bytes.Repeat([]byte("not a spool\n"), 5000) }, true},
		{"one meta page flipped", flip(metaOffset + metaRoot), false},
		{"the other meta page flipped", flip(size + metaOffset + metaTxid), false},
		{"both meta pages flipped", func(b []byte) []byte { return flip(size + metaOffset + 20)(flip(metaOffset + 20)(b)) }, true},
		{"a child of a branch page flipped", flip(pageOf(t, whole, branchPage) + pageHeader + 8), true},
		{"the flags of a branch page flipped", flip(pageOf(t, whole, branchPage) + 8), true},
		{"the id of a leaf page flipped", flip(pageOf(t, whole, leafPage)), true},
		{"a position in a leaf page flipped", flip(pageOf(t, whole, leafPage) + pageHeader + 6), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := putFile(t, c.do(bytes.Clone(whole)))
			s := must(Open(t.Context(), o))
			defer closeVerified(t, s)
			meta := must(s.Meta())
			if (meta.SetAside != "") != c.aside {
				t.Fatalf("set aside: %q", meta.SetAside)
			}
			if !c.aside {
				return
			}
			kept := must(os.ReadFile(meta.SetAside))
			if !bytes.Equal(kept, c.do(bytes.Clone(whole))) || !strings.Contains(meta.SetAside, "damaged-20260102T030405Z") {
				t.Fatalf("%s does not hold the damaged bytes", meta.SetAside)
			}
			if note := must(os.ReadFile(meta.SetAside + ".txt")); !bytes.Contains(note, []byte("corrupt")) {
				t.Fatalf("note %q", note)
			}
			if meta.StateKnown || meta.Epoch != 1 {
				t.Fatalf("the new spool: %+v", meta)
			}
			must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule}))
		})
	}
}

// Any byte of the file may flip: opening yields a spool, the old or a new one, and neither reading nor checking it
// hangs or crashes.
func TestRandomDamage(t *testing.T) {
	t.Parallel()
	whole := filled(t)
	r := rand.New(rand.NewPCG(5, 5))
	size := int(binary.NativeEndian.Uint32(whole[metaOffset+metaPageSize:]))
	pages := append(pagesOf(t, whole, branchPage), pagesOf(t, whole, leafPage)...)
	var aside, told, unseen int
	for range 60 {
		b := bytes.Clone(whole)
		page := pages[r.IntN(len(pages))]
		at := page + r.IntN(64) // where the structure is
		if r.IntN(3) == 0 {
			at = page + r.IntN(size)
		}
		b[at] ^= byte(1 + r.IntN(255))
		o := putFile(t, b)
		s, err := Open(t.Context(), o)
		if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrSchema) {
			told++
			continue
		}
		ok(t, err)
		broken, err := s.Verify(t.Context())
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d: %v", at, err)
		}
		switch {
		case must(s.Meta()).SetAside != "":
			aside++
		case len(broken) > 0 || err != nil:
			told++
		default:
			unseen++ // a free page, or bytes between entries
		}
		readAll(s)
		ok(t, s.Close())
	}
	t.Logf("%d set aside, %d told, %d without effect", aside, told, unseen)
}

// readAll reads what the stages read; errors are fine, crashes are not.
func readAll(s *Spool) {
	for _, name := range Buckets() {
		entries, _ := s.List(name, "", 1000)
		for _, e := range entries {
			_, _, _ = s.Show(name, e.Key)
		}
	}
	runs, _ := s.OpenRuns()
	for _, r := range runs {
		_, _ = s.Records(r.ID, 0, 1000, 1<<30)
		_, _ = s.Objects(r.ID, 0, 1000)
		_, _, _ = s.ReadyTasks(r.ID, t0, 1000, nil)
	}
	_, _ = s.Objects(Held, 0, 1000)
	_, _ = s.DeadLetters(0, 1000)
	_, _ = s.NextBundle()
	_, _ = s.Stats()
}

// damageValue flips a byte in the last third of a value, bypassing bbolt's checks, so that only our own checksums
// notice.
func damageValue(t *testing.T, s *Spool, bucket string, key []byte) {
	t.Helper()
	ok(t, s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if bucket == bktIDs {
			b = b.Bucket([]byte(subEntries))
		}
		v := bytes.Clone(b.Get(key))
		if v == nil {
			return fmt.Errorf("%s has no key %x", bucket, key)
		}
		v[len(v)-1-len(v)/4] ^= 0x10
		return b.Put(key, v)
	}))
}

// A payload that fails its checksum is reported where it is read, with the bytes that are there; nothing else is
// affected, and every stage can get past it.
func TestDamagedPayloads(t *testing.T) {
	s := must(Open(t.Context(), Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true}))
	defer func() { ok(t, s.Close()) }()
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0}, Tasks: []NewTask{
		{TaskKey: item(Alerts, 1)}, {TaskKey: item(Alerts, 2)}, {TaskKey: item(Alerts, 3)}, {TaskKey: item(Alerts, 4)},
	}}))
	for n := 1; n <= 2; n++ {
		rec := &NewRecord{Dataset: Alerts, Source: fmt.Sprint(n), Body: bodyOf(n)}
		ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, n), Run: run.ID, Record: rec}}))
	}
	var b NewBundle
	for n := 1; n <= 400; n++ {
		b.Objects = append(b.Objects, BundleObject{STIX: stixOf(n), JSON: bodyOf(n)})
	}
	ok(t, s.CommitMap(1, t0, MapCommit{
		Run: run.ID, Bundles: []NewBundle{b},
		IDs:  []IDPut{{STIX: stixOf(1), ID: ID{Run: run.ID, Kind: "indicator", Hash: [16]byte{1}}}},
		Wait: []Object{{STIX: stixOf(901), Watch: stixOf(1), JSON: bodyOf(901)}},
		Hold: []Object{{STIX: stixOf(902), Watch: stixOf(1), JSON: bodyOf(902)}},
		Dead: []DeadLetter{{Class: "x", Dataset: Alerts, Source: "7", Payload: bodyOf(7)}},
	}))
	bundle := must(s.NextBundle())
	ok(t, s.SaveCursor(1, run.ID, bundle.Seq, 3))

	damageValue(t, s, bktRecords, encoding.Pair(run.ID, 1))
	damageValue(t, s, bktBundles, blockKey(run.ID, bundle.Seq, 0))
	damageValue(t, s, bktWaiting, encoding.Pair(run.ID, 1))
	damageValue(t, s, bktHeld, numKey(pfxHeld, 1))
	damageValue(t, s, bktDead, numKey(pfxDead, 1))
	damageValue(t, s, bktTasks, prefixed(pfxTask, taskKey(item(Alerts, 3))))
	damageValue(t, s, bktIDs, encoding.IDKey(stixOf(1)))
	damageValue(t, s, bktCursors, encoding.Pair(run.ID, bundle.Seq))

	broken := strings.Join(must(s.Verify(t.Context())), "\n")
	for _, want := range []string{"record 1/1", "bundle 1/1 objects 0", "waiting", "held", "dead letter 1", "task alerts/item/3", "ids: " + stixOf(1), "cursor 1/1"} {
		if !strings.Contains(broken, want) {
			t.Errorf("Verify does not name %q:\n%s", want, broken)
		}
	}

	recs := must(s.Records(run.ID, 0, 10, 1<<20))
	if len(recs) != 2 || !errors.Is(recs[0].Err, ErrCorrupt) || len(recs[0].Body) == 0 || recs[1].Err != nil {
		t.Fatalf("records: %v, %v", recs[0].Err, recs[1].Err)
	}
	if w := must(s.Objects(run.ID, 0, 10)); len(w) != 1 || !errors.Is(w[0].Err, ErrCorrupt) || w[0].STIX != stixOf(901) {
		t.Fatalf("waiting: %+v", w)
	}
	if h := must(s.ObjectsByID(Held, []string{stixOf(902)}))[stixOf(902)]; !errors.Is(h.Err, ErrCorrupt) || h.STIX != stixOf(902) {
		t.Fatalf("held: %+v", h)
	}
	if d := must(s.DeadLetters(0, 10)); len(d) != 1 || !errors.Is(d[0].Err, ErrCorrupt) || len(d[0].Payload) == 0 {
		t.Fatalf("dead: %+v", d)
	}
	if ids := must(s.LookupIDs([]string{stixOf(1)})); len(ids) != 0 {
		t.Fatalf("a damaged id counts as known: %v", ids)
	}
	tasks, _, err := s.ReadyTasks(run.ID, t0, 10, nil)
	ok(t, err)
	if len(tasks) != 2 || tasks[0].TaskKey != item(Alerts, 3) || tasks[0].Run != run.ID {
		t.Fatalf("tasks: %+v", tasks)
	}
	s.pastDamage(t, run, bundle, recs)
}

// pastDamage gets past everything damaged by the usual means.
func (s *Spool) pastDamage(t *testing.T, run Run, bundle Bundle, recs []Record) {
	_, err := s.BundleObjects(run.ID, bundle.Seq, 0, 1<<30)
	bad, isBlock := errors.AsType[*BlockError](err)
	if !isBlock || !errors.Is(err, ErrCorrupt) || bad.From != 0 || bad.To < 10 {
		t.Fatalf("damaged block: %v", err)
	}
	for i := bad.From; i < bad.To; i++ {
		ok(t, s.SkipMessage(1, run.ID, bundle.Seq, i, DeadLetter{Class: "corrupt"}))
	}
	rest := must(s.BundleObjects(run.ID, bundle.Seq, bad.To, 1<<30))
	if len(rest) == 0 || rest[0].STIX != stixOf(bad.To+1) {
		t.Fatalf("the objects behind the damage: %d", len(rest))
	}
	ok(t, s.SaveCursor(1, run.ID, bundle.Seq, bundle.Objects))
	ok(t, s.EndBundle(1, run.ID, bundle.Seq, Work{}, nil))
	var kept int
	for _, d := range must(s.DeadLetters(1, 1000)) {
		kept += len(d.Payload)
	}
	if kept == 0 {
		t.Fatal("the damaged block's bytes are gone")
	}
	for n := 3; n <= 4; n++ {
		ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, n), Run: run.ID}}))
	}
	ok(t, s.FinishFetch(1, run.ID, t0))
	ok(t, s.CommitMap(1, t0, MapCommit{
		Run: run.ID, Records: []uint64{recs[0].Seq, recs[1].Seq}, Unwait: []string{stixOf(901)}, Unhold: []string{stixOf(902)},
		IDs:  []IDPut{{STIX: stixOf(1), ID: ID{Run: run.ID}}},
		Dead: []DeadLetter{{Class: "corrupt", Payload: recs[0].Body}},
	}))
	ok(t, s.FinishMap(1, run.ID, t0))
	ok(t, s.FinishRun(1, run.ID, t0))
	_, err = s.Drop([]uint64{1}, nil, nil)
	ok(t, err)
	for _, b := range must(s.Verify(t.Context())) {
		if !strings.HasPrefix(b, "counter messages") { // the damaged cursor counts one of three
			t.Error(b)
		}
	}
}

// A run that is not done and has lost the row that says it is open goes on after a repair.
func TestLostOpenRow(t *testing.T) {
	o := Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true}
	s := must(Open(t.Context(), o))
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule}))
	ok(t, s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte(bktRuns)).Delete(numKey(pfxOpen, run.ID)) }))
	crash(t, s)
	s = must(Open(t.Context(), o))
	defer func() { ok(t, s.Close()) }()
	if runs := must(s.OpenRuns()); len(runs) != 1 || runs[0].ID != run.ID {
		t.Errorf("got open runs %+v, want run %d", runs, run.ID)
	}
}
