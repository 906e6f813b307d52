package mapstage

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// TestCopiesInAnyOrder lets copies of one object meet in one record, in one bundle,
// in bundles of one run, and while they wait for an author, in every order: in the
// end the platform has the same.
func TestCopiesInAnyOrder(t *testing.T) {
	marked := func(level string) string {
		tlp, _ := stix.FindTLP(level)
		return srefs("object_marking_refs", tlp.ID)
	}
	author := sref("created_by_ref", ident(5))
	copies := []string{
		sobj(report(1), smod(1), `"name":"r"`, author, marked("red"), `"description":"first"`, srefs("object_refs", ident(1))),
		sobj(report(1), smod(1), `"name":"r"`, author, marked("green"), `"description":"second"`, srefs("object_refs", ident(2)), `"lang":"en"`),
		sobj(report(1), smod(3), `"name":"r"`, author, marked("green"), `"confidence":7`),
		sobj(report(1), smod(2), `"name":"r"`, author, marked("amber"), `"confidence":9`, `"labels":["x"]`),
	}
	want := ""
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 0, 3, 2}, {2, 3, 0, 1}, {2, 0, 1, 3}, {1, 3, 0, 2}} {
		for _, late := range []bool{false, true} { // the author comes last
			for _, place := range []string{"record", "bundle", "run"} {
				size := map[string]int{"record": 100, "bundle": 100, "run": 1}[place]
				w := newTestWorld(t, Options{MaxObjects: size, ResendAfter: time.Hour})
				var records [][]string
				for _, i := range order {
					records = append(records, []string{copies[i]})
				}
				if place == "record" {
					records = [][]string{slices.Concat(records...)}
				}
				others := []string{sobj(ident(1)), sobj(ident(2)), sobj(ident(5))}
				if late {
					records = append(records, others)
				} else {
					records = append([][]string{others}, records...)
				}
				w.wholeRun(spool.ReasonSchedule, records...)
				w.audit(nil)
				if got := finalState(w.upserted(report(1))); want == "" {
					want = got
				} else if got != want {
					t.Errorf("order %v in one %s, author late %v:\ngot  %s\nwant %s", order, place, late, got, want)
				}
			}
		}
	}
	red, _ := stix.FindTLP("red")
	if !strings.Contains(want, red.ID) || !strings.Contains(want, "second") || !strings.Contains(want, `"confidence":"7"`) {
		t.Errorf("the report is %s", want)
	}
}

// finalState writes an object with its lists sorted.
func finalState(o *stix.Object) string {
	state := map[string]string{}
	for key, raw := range o.All() {
		state[key] = string(raw)
		if raw[0] == '[' {
			list := o.Strings(key)
			slices.Sort(list)
			state[key] = fmt.Sprint(list)
		}
	}
	text, _ := json.Marshal(state)
	return string(text)
}

// A stub and a full copy that arrive alternately are each sent once.
func TestCopiesInTurns(t *testing.T) {
	w := newTestWorld(t, Options{ResendAfter: 24 * time.Hour})
	full := sobj(report(1), smod(1), `"name":"r"`, `"description":"d"`, srefs("object_refs", ident(1)))
	stub := sobj(report(1), smod(2), `"name":"r"`)
	w.wholeRun(spool.ReasonSchedule, []string{sobj(ident(1))})
	before := 0
	for i := range 10 {
		w.wholeRun(spool.ReasonSchedule, []string{[]string{full, stub}[i%2]})
		w.audit(nil)
		if i == 1 {
			before = len(w.sent)
		}
	}
	if n := len(w.sent) - before; n != 0 {
		t.Errorf("%d messages after the second run, want 0", n)
	}
	if got := w.upserted(report(1)); got.String("description") != "d" || !got.Has("object_refs") {
		t.Errorf("the report is %s", got.AppendJSON(nil))
	}
}

// TestMergedIsBounded: where each answer adds to an object that is not sent yet, what would be too much becomes a dead
// letter, whose marking restricts the others.
func TestMergedIsBounded(t *testing.T) {
	red, _ := stix.FindTLP("red")
	more := func(copy int, id, ref string) string {
		said := []string{smod(copy), `"name":"r"`, ref}
		for i := range 100 {
			said = append(said, fmt.Sprintf(`"x_%d_%d":1`, copy, i))
		}
		if copy == 7 {
			said = append(said, srefs("object_marking_refs", red.ID))
		}
		return sobj(id, said...)
	}
	for _, place := range []string{"bundle", "waiting", "held"} {
		w := newTestWorld(t, Options{MaxObjects: map[string]int{"bundle": 100}[place] + 1, ResendAfter: time.Hour})
		id, ref, missing := report(1), sref("created_by_ref", ident(5)), sobj(ident(5))
		if place == "held" {
			id, ref = rel(1), sref("source_ref", ident(5))+","+sref("target_ref", ident(6))+`,"relationship_type":"related-to"`
		}
		run := w.startRun(spool.ReasonSchedule)
		w.record(run, sobj(ident(6)))
		for i := range 8 {
			w.record(run, more(i, id, ref))
			w.once()
			if place == "held" {
				w.endFetch(run)
				w.work()
				w.deliver(-1)
				run = w.startRun(spool.ReasonSchedule)
			}
		}
		w.record(run, missing)
		w.endFetch(run)
		w.work()
		w.deliver(-1)
		w.audit(nil)
		got, dead := w.upserted(id), w.dead()
		if got == nil || got.Len() > stix.MaxProperties || got.Len() < 400 || got.SourceRank() != red.Rank || len(dead) != 4 {
			t.Fatalf("%s: sent %t, %d dead letters", place, got != nil, len(dead))
		}
		for _, d := range dead {
			if d.STIX != id || d.Class != mapping.DeadElement || !strings.Contains(d.Error, "more than 500 properties") || !strings.Contains(string(d.Payload), "_99") {
				t.Errorf("%s: dead letter %s %s %s", place, d.STIX, d.Class, d.Error)
			}
		}
	}
}

// TestHeldMeetsWaiting: an object that waited while an earlier run's copy came to be held, and is held itself, replaces
// that copy, which becomes a dead letter if they are too much together.
func TestHeldMeetsWaiting(t *testing.T) {
	red, _ := stix.FindTLP("red")
	many := func(name string) (list string) {
		for i := range 300 {
			list += fmt.Sprintf(`,"x_%s_%d":1`, name, i)
		}
		return list
	}
	w := newTestWorld(t, Options{})
	res := &fakeResolver{err: fmt.Errorf("down")}
	w.resolver = res
	w.restart()
	first := w.startRun(spool.ReasonSchedule)
	w.record(first, srel(1, ident(9), ident(7), smod(1)+many("a"), srefs("object_marking_refs", red.ID)))
	w.endFetch(first)
	second := w.startRun(spool.ReasonSchedule)
	w.record(second, srel(1, ident(8), ident(8), smod(2)+many("b")))
	w.endFetch(second)
	w.work()
	res.err = nil
	for range 2 {
		w.clock = w.clock.Add(time.Hour)
		w.work()
	}
	held, dead := w.held()[rel(1)], w.dead()
	if held.Watch != ident(8) || !strings.Contains(string(held.JSON), "x_b_299") || !strings.Contains(string(held.JSON), red.ID) {
		t.Errorf("held for %s: %.300s", held.Watch, held.JSON)
	}
	if len(dead) != 1 || !strings.Contains(string(dead[0].Payload), "x_a_299") || !strings.Contains(dead[0].Error, "more than 500 properties") {
		t.Errorf("dead letters %v", dead)
	}
}

// TestDeadLettersFillTheBundle: what becomes a dead letter is committed as soon as it is as large as a bundle.
func TestDeadLettersFillTheBundle(t *testing.T) {
	w := newTestWorld(t, Options{MaxBytes: 3000})
	run := w.startRun(spool.ReasonSchedule)
	for range 8 {
		w.record(run, `{"x_a":"`+strings.Repeat("x", 1000)+`"}`)
	}
	w.once()
	if n := len(w.dead()); n != 6 {
		t.Errorf("%d dead letters are committed, want 6", n)
	}
}
