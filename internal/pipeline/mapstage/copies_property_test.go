package mapstage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// drawCopies draws copies of one report that contradict each other in every
// property; some claim to be from the future.
func drawCopies(t *rapid.T, required bool) []string {
	copies := make([]string, rapid.IntRange(2, 4).Draw(t, "copies"))
	for i := range copies {
		pick := func(key string, values ...string) string { return rapid.SampledFrom(values).Draw(t, key) }
		name := "same"
		if required {
			name = pick("name", "a", "b", "c")
		}
		more := []string{
			pick("modified", smod(1), smod(2), smod(3), `"modified":"2042-01-01T00:00:00.000Z"`), `"name":"` + name + `"`,
			sref("created_by_ref", ident(5)),
		}
		for _, property := range [][]string{
			{"description", `"one"`, `"two"`, `"three"`},
			{"confidence", "3", "40", "100"},
			{"lang", `"en"`, `"de"`},
			{"revoked", "true", "false"},
			{"x_note", `"p"`, `"q"`, `7`, `true`, `{"a":["b"]}`, `["p","r"]`, `["q"]`},
			{"labels", `["x"]`, `["y","x"]`},
		} {
			if v := pick(property[0], append(property[1:], "")...); v != "" {
				more = append(more, `"`+property[0]+`":`+v)
			}
		}
		// Always both: what was sent cannot be taken back from the platform.
		more = append(more, pick("times", `"start_time":"2020-01-01T00:00:00.000Z","stop_time":"2023-01-01T00:00:00.000Z"`,
			`"start_time":"2021-01-01T00:00:00.000Z","stop_time":"2022-01-01T00:00:00.000Z"`))
		if level := pick("level", "", "clear", "green", "amber", "red"); level != "" {
			tlp, _ := stix.FindTLP(level)
			more = append(more, srefs("object_marking_refs", tlp.ID))
		}
		copies[i] = sobj(report(1), more...)
	}
	return copies
}

// merged is what the merging rule makes of copies of one object, with stamps.
func (w *world) merged(copies []string) *stix.Object {
	var all *stix.Object
	for _, text := range copies {
		o := (&graph{}).mapped(w, text)
		o.Distrust(w.now())
		if all == nil {
			all = o
			continue
		}
		all = stix.Merge(all, o)
	}
	return all
}

// TestPropertyCopies lets contradicting copies meet in any order and place: in one
// record, in one bundle, while they wait, and after one of them was sent. The
// platform then has what the merging rule says. If a name by which the platform
// finds an object was sent already, only this is checked: no marking is weaker.
func TestPropertyCopies(t *testing.T) {
	w := newTestWorld(t, Options{})
	rapid.Check(t, func(t *rapid.T) {
		place := rapid.SampledFrom([]string{"record", "bundle", "waiting", "published"}).Draw(t, "place")
		required := rapid.Bool().Draw(t, "names at odds")
		size := 100
		if place == "published" || place == "waiting" {
			size = 1
		}
		w.renew(t, Options{MaxObjects: size, ResendAfter: time.Hour})
		copies := rapid.Permutation(drawCopies(t, required)).Draw(t, "order")
		run := w.startRun(spool.ReasonSchedule)
		if place == "published" {
			w.record(run, sobj(ident(5)))
		}
		if place == "record" {
			w.record(run, copies...)
		} else {
			for _, c := range copies {
				w.record(run, c)
				if rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
					w.restart()
				} else {
					w.once()
				}
			}
		}
		if place != "published" {
			w.record(run, sobj(ident(5)))
		}
		w.endFetch(run)
		w.work()
		w.deliver(-1)
		w.audit(nil)
		got, want := w.upserted(report(1)), w.merged(copies)
		if place == "published" && required {
			if got.SourceRank() < want.SourceRank() {
				t.Errorf("marked with rank %d, want %d", got.SourceRank(), want.SourceRank())
			}
			return
		}
		if g, f := comparable(got), comparable(want); g != f {
			t.Errorf("copies met in one %s:\n  %s\ngot  %s\nwant %s", place, strings.Join(copies, "\n  "), g, f)
		}
	})
}

// comparable writes what is said about an object, apart from its times: what an
// older copy adds later is sent under the newest time.
func comparable(o *stix.Object) string {
	o = o.Clone()
	o.Delete("modified")
	return fmt.Sprint(finalState(o))
}
