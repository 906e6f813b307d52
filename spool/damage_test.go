package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// place is a row to damage.
type place struct {
	path []string // of its bucket
	key  []byte
}

func (p place) kind() string {
	name := strings.Join(p.path, "/")
	switch {
	case name == bktMeta:
		return name + " " + string(p.key)
	case len(p.path) == 1 && strings.Contains("runs tasks held bundles dead waiting_by_id", name):
		return fmt.Sprintf("%s %c", name, p.key[0])
	}
	return name
}

func (p place) in(tx *bolt.Tx) *bolt.Bucket {
	b := tx.Bucket([]byte(p.path[0]))
	for _, name := range p.path[1:] {
		b = b.Bucket([]byte(name))
	}
	return b
}

// places returns the first row of each kind.
func places(t *testing.T, s *Spool) (out []place) {
	t.Helper()
	seen := map[string]bool{}
	var walk func(b *bolt.Bucket, path []string) error
	walk = func(b *bolt.Bucket, path []string) error {
		return b.ForEach(func(k, v []byte) error {
			if v == nil {
				return walk(b.Bucket(k), append(slices.Clone(path), string(k)))
			}
			p := place{path, bytes.Clone(k)}
			if !seen[p.kind()] {
				seen[p.kind()] = true
				out = append(out, p)
			}
			return nil
		})
	}
	ok(t, s.db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error { return walk(b, []string{string(name)}) })
	}))
	return out
}

// faults are what may happen to a row.
func faults() map[string]func(b *bolt.Bucket, k []byte) error {
	put := func(change func(v []byte) []byte) func(b *bolt.Bucket, k []byte) error {
		return func(b *bolt.Bucket, k []byte) error { return b.Put(k, change(bytes.Clone(b.Get(k)))) }
	}
	moved := func(change func(k []byte) []byte) func(b *bolt.Bucket, k []byte) error {
		return func(b *bolt.Bucket, k []byte) error {
			v, other := bytes.Clone(b.Get(k)), change(bytes.Clone(k))
			return errors.Join(b.Delete(k), b.Put(other, v))
		}
	}
	return map[string]func(b *bolt.Bucket, k []byte) error{
		"a bit of its value": put(func(v []byte) []byte {
			if len(v) > 0 {
				v[len(v)*2/3] ^= 0x10
			}
			return v
		}),
		"its value cut":            put(func(v []byte) []byte { return v[:len(v)/2] }),
		"removed":                  func(b *bolt.Bucket, k []byte) error { return b.Delete(k) },
		"a bit of its key":         moved(func(k []byte) []byte { k[len(k)-1] ^= 0x40; return k }),
		"a bit near its beginning": moved(func(k []byte) []byte { k[min(8, len(k)-1)] ^= 0x20; return k }),
		"no longer UTF-8":          moved(func(k []byte) []byte { k[min(7, len(k)-1)] ^= 0x80; return k }),
		"its key cut to a byte":    moved(func(k []byte) []byte { return k[:1] }),
		"some of its value in its key": func(b *bolt.Bucket, k []byte) error {
			v := bytes.Clone(b.Get(k))
			n := min(3, len(v))
			return errors.Join(b.Delete(k), b.Put(append(bytes.Clone(k), v[:n]...), v[n:]))
		},
		"its key cut": moved(func(k []byte) []byte { return k[:max(1, len(k)*3/4)] }),
	}
}

// One rule for damage: whatever row is damaged in whatever way, after whatever stop, the spool opens, every hand-over
// gets past it, no error repeats for ever, and Verify reports it.
func TestOneRuleForDamage(t *testing.T) {
	t.Parallel()
	file := oneRecordAside(t)
	prepared := func() (Options, *Spool) {
		o := Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true, NoCompact: true, KeepRecords: time.Hour, Now: func() time.Time { return t0 }}
		s := must(Open(t.Context(), o))
		run := prepare(t, s)
		ok(t, s.SavePlatform(1, []byte(`{"a":1}`)))
		ok(t, s.MarkCrash(&CrashMark{Run: run, Seq: 3}))
		ok(t, s.SaveCursor(1, run, 2, 1))
		ok(t, s.ForgetRun(1, run-1))
		ok(t, s.Enqueue(1, ReasonRepull, nil, []NewTask{{TaskKey: item(Profiles, 9)}}))
		must(s.Salvage(t.Context(), file, t0, SalvageOptions{}))
		return o, s
	}
	o, s := prepared()
	all := places(t, s)
	for _, kind := range []string{"runs v", "runs s"} {
		if !slices.ContainsFunc(all, func(p place) bool { return p.kind() == kind }) {
			t.Fatalf("no row of kind %q", kind)
		}
	}
	crash(t, s)
	unclean := trimmed(must(os.ReadFile(s.path)))
	ok(t, must(Open(t.Context(), o)).Close())
	files := map[bool][2][]byte{
		false: {unclean, nil}, true: {trimmed(must(os.ReadFile(s.path))), must(os.ReadFile(filepath.Join(o.Dir, lockName)))},
	}
	for _, p := range all {
		for name, fault := range faults() {
			for _, clean := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, %s, clean %v", p.kind(), name, clean), func(t *testing.T) {
					o := o
					o.Dir = fastDir(t)
					path := filepath.Join(o.Dir, fileName)
					ok(t, os.WriteFile(path, files[clean][0], 0o600))
					if clean {
						ok(t, os.WriteFile(filepath.Join(o.Dir, lockName), files[clean][1], 0o600))
					}
					var before []byte
					db := must(bolt.Open(path, 0o600, nil))
					ok(t, db.Update(func(tx *bolt.Tx) error {
						b := p.in(tx)
						if b.Get(p.key) == nil {
							return fmt.Errorf("%s has no row %x", p.kind(), p.key)
						}
						before = bytes.Clone(b.Get(p.key))
						return fault(b, p.key)
					}))
					// What open repairs need not be reported; a watch row without a value has no bit to flip.
					repaired := p.path[0] == bktMeta || p.path[0] == bktRuns || p.kind() == "tasks b"
					var damaged bool
					ok(t, db.View(func(tx *bolt.Tx) error { damaged = !bytes.Equal(p.in(tx).Get(p.key), before); return nil }))
					ok(t, db.Close())
					pastOneDamage(t, o, file, damaged && !repaired)
				})
			}
		}
	}
	t.Logf("%d kinds of rows", len(all))
}

// pastOneDamage opens the spool and works it off to the end.
func pastOneDamage(t *testing.T, o Options, aside string, wantTold bool) {
	s := must(Open(t.Context(), o))
	defer func() { ok(t, s.Close()) }()
	if m := must(s.Meta()); m.SetAside != "" || m.ConnectorID != "c" {
		t.Fatalf("set aside or another's: %+v", m)
	}
	told := must(s.Verify(t.Context()))
	if wantTold && len(told) == 0 {
		t.Error("Verify says nothing")
	}
	readAll(s)
	must(s.Watermarks())
	must(s.Stats())
	must(s.Runs(0, 100))
	must(s.ParkedTasks(100))
	must(s.DeadLetters(0, 100))
	must(s.OpenDeadLetters(0, 100))
	must(s.WatchedIDs(Held, "", 100))
	for _, r := range must(s.OpenRuns()) {
		must(s.OpenTasks(r.ID))
		must(s.FailingTasks(r.ID, 100))
		must(s.WatchedIDs(r.ID, "", 100))
		_, _, err := s.Unconfirmed(r.ID, 100)
		ok(t, err)
	}
	for _, bucket := range Exportable() {
		for after, n := "", 0; n == 0 || after != ""; n++ {
			var err error
			if _, after, err = s.Export(bucket, after, 1<<10); err != nil || n > 1000 {
				t.Fatalf("export %s: %v after %d steps", bucket, err, n)
			}
		}
	}
	for _, bucket := range Searchable() {
		_, _, err := s.Search(bucket, Query{STIX: stixOf(40)}, "", 1<<30)
		ok(t, err)
	}
	epoch := must(s.Meta()).Epoch
	ok(t, s.MarkResumed())
	must(s.Salvage(t.Context(), aside, t0, SalvageOptions{BeforeReset: true}))
	due, _, _, err := s.WatchedWorks(t0.AddDate(1, 0, 0), 10)
	ok(t, err)
	for _, w := range due {
		ok(t, s.SaveVerdict(t0, w, []DeadLetter{{Class: "rejected", STIX: stixOf(1), Payload: []byte(`{}`)}}, true))
	}
	if _, _, all, err := s.WatchedWorks(t0, 10); all > 0 {
		t.Errorf("%d works are watched for ever: %v", all, err)
	}
	run, err := s.StartRun(epoch, t0, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0}, Parked: true})
	ok(t, err)
	for range 5 {
		if _, more, err := s.StartQueued(epoch, t0, false, 0); err != nil || !more {
			ok(t, err)
			break
		}
	}
	_, err = s.Retry(epoch, t0, []uint64{1}, nil)
	if err != nil && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	for round := 0; ; round++ {
		open := must(s.OpenRuns())
		if len(open) == 0 {
			break
		}
		if round > 20 {
			t.Fatalf("after %d rounds %d runs are open, of them %+v", round, len(open), open[0])
		}
		for _, r := range open {
			drainRun(t, s, epoch, r)
		}
	}
	if run.ID == 0 {
		t.Error("got no run, want that of the fixture")
	}
	letters := allDead(t, s)
	for _, d := range letters {
		must(s.Drop([]uint64{d.Key}, nil, nil))
	}
	_, _, err = s.Reset(t0)
	ok(t, err)
	for range 3 {
		must(s.Prune(t0, t0))
	}
}

// drainRun does what the stages would do for one run.
func drainRun(t *testing.T, s *Spool, epoch uint64, r Run) {
	t.Helper()
	tasks, _, err := s.ReadyTasks(r.ID, t0.AddDate(1, 0, 0), 100, nil)
	ok(t, err)
	for _, task := range tasks {
		ok(t, s.SettleTasks(epoch, t0, []Outcome{{Task: task.TaskKey, Run: r.ID}}))
	}
	passBusy(t, s.FinishFetch(epoch, r.ID, t0))
	ok(t, s.MarkResumed())
	if now := must(s.Run(r.ID)); now.MappedAt.IsZero() {
		c := MapCommit{Run: r.ID}
		for _, rec := range must(s.Records(r.ID, 0, 100, 1<<30)) {
			c.Records = append(c.Records, rec.Seq)
		}
		for _, w := range must(s.Objects(r.ID, 0, 100)) {
			c.Unwait = append(c.Unwait, w.STIX)
		}
		for _, h := range must(s.Objects(Held, 0, 100)) {
			c.Unhold = append(c.Unhold, h.STIX)
		}
		ok(t, s.CommitMap(epoch, t0, c))
	}
	passBusy(t, s.FinishMap(epoch, r.ID, t0))
	for range 100 {
		b, err := s.NextBundle()
		if errors.Is(err, ErrNotFound) {
			break
		}
		ok(t, err)
		if _, err := s.BundleObjects(b.Run, b.Seq, b.Confirmed, 1<<30); err != nil {
			bad, isBlock := errors.AsType[*BlockError](err)
			if !isBlock {
				t.Fatal(err)
			}
			for i := max(bad.From, b.Confirmed); i < bad.To; i++ {
				ok(t, s.SkipMessage(epoch, b.Run, b.Seq, i, DeadLetter{Class: "corrupt"}))
			}
		}
		ok(t, s.SaveCursor(epoch, b.Run, b.Seq, b.Objects))
		ok(t, s.EndBundle(epoch, b.Run, b.Seq, Work{}, nil))
	}
	passBusy(t, s.FinishRun(epoch, r.ID, t0))
}

func passBusy(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrBusy) {
		ok(t, err)
	}
}
