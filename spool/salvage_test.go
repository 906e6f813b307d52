package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/spool/internal/boltfile"
)

// aside writes the bytes of a spool file under the name of a set-aside one.
func aside(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(fastDir(t), fileName+asideMark+"20260102T030405Z")
	ok(t, os.WriteFile(path, b, 0o600))
	return path
}

// oneRecordAside makes a set-aside file with one record.
func oneRecordAside(t *testing.T) string {
	t.Helper()
	s := must(Open(t.Context(), Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true, NoCompact: true}))
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Tasks: []NewTask{{TaskKey: item(Alerts, 1)}}}))
	rec := &NewRecord{Dataset: Alerts, Source: "1", Fetched: t0, Body: bodyOf(1)}
	ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, 1), Run: run.ID, Record: rec}}))
	crash(t, s)
	return aside(t, trimmed(must(os.ReadFile(s.path))))
}

// trimmed is a spool's file without the 16 MiB at its end into which it has not grown yet.
func trimmed(file []byte) []byte {
	const page = 4096
	used := (len(bytes.TrimRight(file, "\x00")) + page - 1) / page * page
	return file[:min(used, len(file))]
}

func newSpool(t *testing.T) *Spool {
	t.Helper()
	s := must(Open(t.Context(), Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true, NoCompact: true, Now: func() time.Time { return t0 }}))
	t.Cleanup(func() { closeVerified(t, s) })
	return s
}

// undelivered makes a spool of a killed process, with n records, and returns its file and what it holds that is not
// delivered, each as a record's body.
func undelivered(t *testing.T, n int) (file []byte, want map[string]bool) {
	t.Helper()
	s := must(Open(t.Context(), Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true, NoCompact: true}))
	run := prepare(t, s)
	ok(t, s.SaveCursor(1, run, 2, 2))
	ok(t, s.SkipMessage(1, run, 2, 4, DeadLetter{Class: "too_large"}))
	var settled []Outcome
	for i := range n {
		rec := &NewRecord{Dataset: Alerts, Source: fmt.Sprint("r", i), Fetched: t0, Body: bodyOf(100 + i)}
		settled = append(settled, Outcome{Task: item(Alerts, 7), Run: run, Keep: &TaskState{}, Record: rec})
	}
	ok(t, s.SettleTasks(1, t0, settled))
	big := &NewRecord{Dataset: Alerts, Source: "big", Body: noise(530_000)} // in three fragments
	ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, 7), Run: run, Keep: &TaskState{}, Record: big}}))
	healed := Outcome{Task: item(Alerts, 7), Run: run, Keep: &TaskState{}, Note: &DeadLetter{Stage: StageMap, Class: "healed", Source: "h", Payload: []byte("{}")}}
	ok(t, s.SettleTasks(1, t0, []Outcome{healed}))
	ok(t, s.update("heal", frees(), func(tx *txn) error { tx.dead().heal(t0, Alerts, "h", ""); return nil }))
	want = map[string]bool{string(big.Body): true}
	for i := range n {
		want[string(bodyOf(100+i))] = true
	}
	for _, i := range []int{2, 3} {
		want[string(bodyOf(i))] = true
	}
	for _, i := range []int{20, 30, 31} {
		want[string(answer(bodyOf(i)))] = true
	}
	want[string(answer(bytes.Join([][]byte{bodyOf(42), bodyOf(43), bodyOf(45)}, []byte(","))))] = true
	crash(t, s)
	return trimmed(must(os.ReadFile(s.path))), want
}

func noise(n int) []byte {
	b, r := make([]byte, n), rand.New(rand.NewPCG(7, 7))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// broughtBack returns how often each body is among the records of the open runs.
func broughtBack(t *testing.T, s *Spool) map[string]int {
	t.Helper()
	got := map[string]int{}
	for _, run := range must(s.OpenRuns()) {
		if run.Reason != ReasonRetry {
			t.Errorf("run %d has reason %s, want %s", run.ID, run.Reason, ReasonRetry)
		}
		for seq := uint64(0); ; {
			recs := must(s.Records(run.ID, seq, 1000, 1<<30))
			if len(recs) == 0 {
				break
			}
			for _, r := range recs {
				ok(t, r.Err)
				got[string(r.Body)]++
				seq = r.Seq
			}
		}
	}
	return got
}

func compareBack(t *testing.T, got map[string]int, want map[string]bool) {
	t.Helper()
	for body := range want {
		if got[body] != 1 {
			t.Errorf("%.60s came back %d times, want once", body, got[body])
		}
	}
	for body := range got {
		if !want[body] {
			t.Errorf("%.60s came back, though it was delivered or never there", body)
		}
	}
}

// What was not delivered comes back from an intact file, once, and nothing else.
func TestSalvage(t *testing.T) {
	file, want := undelivered(t, 10)
	path := aside(t, file)
	s := newSpool(t)
	marksBefore := must(s.Watermarks())
	rows := map[string]int64{"records": 13, "waiting": 1, "held": 2, "objects": 3, "dead_letters": 3}
	for range 2 {
		look := must(s.LookSalvage(t.Context(), path, SalvageOptions{}))
		if !maps.Equal(look.Rows, rows) || look.Unread != 0 || look.Parked != 1 || look.Run != 0 || look.Finished {
			t.Fatalf("it would bring %+v, want %v and one parked item", look, rows)
		}
	}
	if n := len(must(s.OpenRuns())); n != 0 {
		t.Fatalf("looking made %d runs", n)
	}
	got := must(s.Salvage(t.Context(), path, t0, SalvageOptions{}))
	if !maps.Equal(got.Rows, rows) || got.Run == 0 {
		t.Errorf("it brought %+v, want %v", got, rows)
	}
	if must(s.Run(got.Run)).FetchedAt.IsZero() {
		t.Error("its run is being fetched, and would wait for ThreatMatch")
	}
	compareBack(t, broughtBack(t, s), want)
	classes := map[string]string{}
	for _, d := range allDead(t, s) {
		classes[d.Class] = string(d.Payload)
	}
	if len(classes) != 3 || classes["invalid"] != `{"a":1}` || classes["too_large"] != string(bodyOf(44)) {
		t.Errorf("dead letters %v", classes)
	}
	if now := must(s.Watermarks()); !maps.Equal(now, marksBefore) {
		t.Errorf("watermarks %v, before %v", now, marksBefore)
	}
	copied := aside(t, file) // the same file under another name
	if again := must(s.Salvage(t.Context(), copied, t0, SalvageOptions{})); !again.Finished || len(again.Rows) != 0 || !maps.Equal(again.Before, rows) {
		t.Errorf("again it brought %+v", again)
	}
	compareBack(t, broughtBack(t, s), want)
}

// An interrupted salvage continues where it was, whatever happened to its run.
func TestSalvageInterrupted(t *testing.T) {
	file, want := undelivered(t, 1100)
	path := aside(t, file)
	for _, mapped := range []bool{false, true} {
		s := newSpool(t)
		got := map[string]int{}
		rounds := 0
		for ; ; rounds++ {
			ctx, cancel := context.WithCancelCause(t.Context())
			killed := errors.New("killed")
			s.hook = func(point string) {
				if point == "salvage:after" {
					cancel(killed)
				}
			}
			_, err := s.Salvage(ctx, path, t0, SalvageOptions{})
			s.hook = nil
			cancel(nil)
			if err == nil {
				break
			}
			if !errors.Is(err, killed) {
				t.Fatal(err)
			}
			for _, run := range must(s.OpenRuns()) {
				if mapped {
					maps.Copy(got, broughtBack(t, s))
					for must(s.Run(run.ID)).DoneAt.IsZero() {
						drainRun(t, s, 1, run)
					}
				}
			}
			if rounds > 20 {
				t.Fatal("it does not end")
			}
		}
		for body, n := range broughtBack(t, s) {
			got[body] += n
		}
		if rounds < 2 {
			t.Errorf("interrupted %d times, want several", rounds)
		}
		compareBack(t, got, want)
	}
}

// dying is a context that ends when it was asked so often.
type dying struct {
	context.Context
	left *int
}

func (d dying) Err() error {
	if *d.left--; *d.left < 0 {
		return context.Canceled
	}
	return nil
}

// A salvage that is cancelled while it reads takes nothing that it read in part for the whole.
func TestSalvageCancelled(t *testing.T) {
	file, want := undelivered(t, 20)
	path := aside(t, file)
	s := newSpool(t)
	rounds := 0
	for ; ; rounds++ {
		left := 1 + 9*rounds
		_, err := s.Salvage(dying{t.Context(), &left}, path, t0, SalvageOptions{})
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if rounds < 5 {
		t.Errorf("cancelled %d times, want several", rounds)
	}
	compareBack(t, broughtBack(t, s), want)
}

// asking is a context that calls fn whenever it is asked whether it ended.
type asking struct {
	context.Context
	fn func()
}

func (a asking) Err() error {
	a.fn()
	return nil
}

// A reset drops what a salvage has brought so far. The salvage ends there, and brings all of it when it is repeated.
func TestSalvageAcrossReset(t *testing.T) {
	file, want := undelivered(t, 1100)
	path := aside(t, file)
	s := newSpool(t)
	reset := false
	ctx := asking{t.Context(), func() {
		if reset || must(s.Stats()).Records == 0 {
			return
		}
		reset = true
		_, _, err := s.Reset(t0)
		ok(t, err)
	}}
	if _, err := s.Salvage(ctx, path, t0, SalvageOptions{}); !reset || !errors.Is(err, ErrEpoch) {
		t.Errorf("got %v with reset %v, want ErrEpoch", err, reset)
	}
	must(s.Salvage(t.Context(), path, t0, SalvageOptions{BeforeReset: true}))
	compareBack(t, broughtBack(t, s), want)
}

// A run whose fetch has ended takes nothing more: what comes back later goes into another one.
func TestSalvageIntoAnotherRun(t *testing.T) {
	file, want := undelivered(t, 1100)
	path, s := aside(t, file), newSpool(t)
	killed := errors.New("killed")
	ctx, cancel := context.WithCancelCause(t.Context())
	s.hook = func(point string) {
		if point == "salvage:after" {
			cancel(killed)
		}
	}
	if _, err := s.Salvage(ctx, path, t0, SalvageOptions{}); !errors.Is(err, killed) {
		t.Fatalf("got %v, want %v", err, killed)
	}
	s.hook = nil
	first := must(s.OpenRuns())[0]
	ok(t, s.FinishFetch(1, first.ID, t0))
	if got := must(s.Salvage(t.Context(), path, t0, SalvageOptions{})); got.Run == first.ID {
		t.Errorf("it went on in run %d, whose fetch had ended", got.Run)
	}
	compareBack(t, broughtBack(t, s), want)
}

// Whatever happens to the pages, a salvage ends, brings back only rows that were there, and says what it could not
// read; if one byte is lost the rest comes back.
func TestSalvageOfDamagedPages(t *testing.T) {
	t.Parallel()
	file, want := undelivered(t, 60)
	lacking := func(back map[string]bool) (n int) {
		for body := range want {
			for _, piece := range piecesOf([]byte(body)) {
				if !back[piece] {
					n++
				}
			}
		}
		return n
	}
	const size = 4096
	used := int(newestMeta(file, size).HighWater)
	path := aside(t, file)
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 120 {
		b := bytes.Clone(file)
		var what string
		switch page := (2 + n/3*(used-2)/40) * size; n % 3 {
		case 0:
			what = fmt.Sprintf("page %d overwritten", page/size)
			for i := range size {
				b[page+i] = byte(r.Uint32())
			}
		case 1:
			at := 2*size + r.IntN(len(b)-2*size)
			what = fmt.Sprintf("a bit of byte %d", at)
			b[at] ^= 1 << r.IntN(8)
		case 2:
			what = fmt.Sprintf("cut at page %d", page/size)
			b = b[:page]
		}
		ok(t, os.WriteFile(path, b, 0o600))
		back, unread, err := rescuedFrom(t, path)
		if err != nil && (n%3 == 1 || !errors.Is(err, ErrCorrupt) && !errors.Is(err, boltfile.ErrDamaged)) {
			t.Errorf("%s: %v", what, err)
		}
		lost := lacking(back)
		if err == nil && lost > 0 && unread == 0 {
			t.Errorf("%s: %d rows are lost and it does not say so", what, lost)
		}
		if n%3 == 1 && lost > 3 { // what is left of a bundle's block
			t.Errorf("%s: of one damaged byte %d rows are lost", what, lost)
		}
	}
}

// piecesOf splits a record's body into its objects.
func piecesOf(body []byte) []string {
	text := strings.TrimSuffix(strings.TrimPrefix(string(body), `{"objects":[`), "]}")
	return strings.Split(text, "},{")
}

// rescuedFrom reads a set-aside file and returns what it gives, in pieces.
func rescuedFrom(t *testing.T, path string) (back map[string]bool, unread int, err error) {
	t.Helper()
	f, err := openAside(t.Context(), path, "")
	if err != nil {
		return nil, 0, err
	}
	defer func() { ok(t, f.Close()) }()
	back = map[string]bool{}
	for r := range f.each(rowPlace{}, func(error) { unread++ }) {
		for _, rec := range r.records {
			for _, piece := range piecesOf(rec.Body) {
				back[piece] = true
			}
		}
	}
	return back, unread, nil
}

// Only a file of the same connector comes back, not the spool's own, and one from before a reset only if that is
// asked for.
func TestSalvageRefused(t *testing.T) {
	file, want := undelivered(t, 1)
	path := aside(t, file)
	other := must(Open(t.Context(), Options{Dir: fastDir(t), ConnectorID: "other", noReserve: true}))
	defer closeVerified(t, other)
	if _, err := other.Salvage(t.Context(), path, t0, SalvageOptions{}); !errors.Is(err, ErrConnector) {
		t.Errorf("another connector's file: %v, want %v", err, ErrConnector)
	}
	s := newSpool(t)
	if _, err := s.Salvage(t.Context(), s.path, t0, SalvageOptions{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("its own file: %v, want %v", err, ErrInvalid)
	}
	if _, err := s.Salvage(t.Context(), aside(t, make([]byte, 1<<16)), t0, SalvageOptions{}); !errors.Is(err, ErrCorrupt) && err == nil {
		t.Errorf("zeros: %v", err)
	}
	must(s.Salvage(t.Context(), path, t0, SalvageOptions{}))
	_, _, err := s.Reset(t0)
	ok(t, err)
	if _, err := s.Salvage(t.Context(), path, t0, SalvageOptions{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("after a reset: %v, want %v", err, ErrInvalid)
	}
	must(s.Salvage(t.Context(), path, t0, SalvageOptions{BeforeReset: true}))
	compareBack(t, broughtBack(t, s), want)
}

// A file that does not say whose it is comes back if the caller says so, and not otherwise. What the file says counts
// more.
func TestSalvageOfNamelessFile(t *testing.T) {
	file, want := undelivered(t, 1)
	nameless := bytes.ReplaceAll(file, []byte(`_id":"c"`), []byte(`_id":"d"`)) // no checksum fits any more
	if bytes.Equal(nameless, file) {
		t.Fatal("the id is not in the file")
	}
	path := aside(t, nameless)
	s := newSpool(t)
	for name, err := range map[string]error{"": ErrNoOwner, "other": ErrConnector} {
		if _, got := s.Salvage(t.Context(), path, t0, SalvageOptions{ConnectorID: name}); !errors.Is(got, err) {
			t.Errorf("said to be of %q: got %v, want %v", name, got, err)
		}
	}
	must(s.Salvage(t.Context(), path, t0, SalvageOptions{ConnectorID: "c"}))
	compareBack(t, broughtBack(t, s), want)
	other := must(Open(t.Context(), Options{Dir: fastDir(t), ConnectorID: "other", noReserve: true}))
	defer closeVerified(t, other)
	if _, err := other.Salvage(t.Context(), aside(t, file), t0, SalvageOptions{ConnectorID: "other"}); !errors.Is(err, ErrConnector) {
		t.Errorf("a file that says it is of another: got %v, want %v", err, ErrConnector)
	}
}

// Parked items are not brought back: they held last_run back, so the lists name them again. A damaged one changes
// nothing about that.
func TestSalvageLeavesLastRun(t *testing.T) {
	o := Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true, NoCompact: true}
	old := must(Open(t.Context(), o))
	run := must(old.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0}, Tasks: []NewTask{{TaskKey: item(Alerts, 1)}}}))
	ok(t, old.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, 1), Run: run.ID, Keep: &TaskState{LastError: "parked since"}, Park: true}}))
	crash(t, old)
	file := bytes.ReplaceAll(must(os.ReadFile(old.path)), []byte("parked since"), []byte("pArked since"))
	s := newSpool(t)
	must(s.AdoptState(1, map[Dataset]time.Time{Alerts: t0}))
	before := must(s.Watermarks())
	if got := must(s.Salvage(t.Context(), aside(t, file), t0, SalvageOptions{})); got.Parked != 1 || got.Run != 0 {
		t.Errorf("it brought %+v", got)
	}
	if now := must(s.Watermarks()); !maps.Equal(now, before) {
		t.Errorf("watermarks %v, before %v", now, before)
	}
}
