package mapstage

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// TestIncompleteCopies: a copy that lacks what OpenCTI needs comes in another answer
// than a whole one, before or after it. It is a dead letter; its stricter marking
// restricts the whole one wherever that is still in hand, also after a crash.
func TestIncompleteCopies(t *testing.T) {
	red, _ := stix.FindTLP("red")
	whole := sobj(sid("indicator", 1), smod(1), `"name":"in"`, `"pattern_type":"stix","pattern":"[url:value='x']"`, `"labels":["TLP:GREEN"]`, sref("created_by_ref", ident(5)))
	author := sobj(ident(5), `"name":"Author"`, `"identity_class":"organization"`)
	need := sobj(ident(6), `"name":"Other"`, `"identity_class":"organization"`)
	relation := func(more string) string {
		return sobj(rel(1), smod(1), sref("source_ref", ident(5)), sref("target_ref", ident(6)), more)
	}
	w := newSetWorld(t, mapping.Settings{})
	for _, lacking := range []string{
		sobj(sid("indicator", 1), smod(2), `"name":"in"`, `"object_marking_refs":["`+red.ID+`"]`),
		sobj(sid("indicator", 1), `"pattern_type":"stix","pattern":"[broken"`, `"x_tlp":"RED"`),
		sobj(sid("indicator", 1), smod(1), `"pattern_type":"stix"`, `"labels":["tlp:red"]`),
	} {
		for place, size := range map[string]int{"record": 100, "bundle": 100, "waiting": 1, "after a crash": 1, "published": 1, "delivered": 1} {
			for _, first := range []string{lacking, whole} {
				if place == "published" || place == "delivered" {
					first = whole
				}
				second := whole
				if first == whole {
					second = lacking
				}
				t.Run(fmt.Sprintf("%s/%.40s", place, first), func(t *testing.T) {
					w.renew(t, Options{MaxObjects: size, ResendAfter: time.Hour})
					run := w.startRun(spool.ReasonSchedule)
					if place != "waiting" && place != "after a crash" {
						w.record(run, author)
					}
					if place == "record" {
						w.record(run, first, second)
					} else {
						w.record(run, first)
						w.once()
						w.once()
						if place == "after a crash" {
							w.restart()
						}
						if place == "delivered" {
							w.deliver(-1)
						}
						w.record(run, second)
					}
					if place == "waiting" || place == "after a crash" {
						w.once()
						w.record(run, author)
					}
					w.endFetch(run)
					w.work()
					w.deliver(-1)
					w.auditCounters()
					rank := red.Rank
					if place == "delivered" {
						rank = 2
						if n := w.counters()["restricted_late"]; n != 1 {
							t.Errorf("told %d times", n)
						}
					}
					if got := w.upserted(sid("indicator", 1)); got == nil || got.SourceRank() != rank {
						t.Errorf("sent %v, want the rank %d", got, rank)
					}
					if n := len(w.dead()); n != 1 && place != "record" {
						t.Errorf("%d dead letters, want 1", n)
					}
				})
			}
		}
	}
	t.Run("held", func(t *testing.T) {
		w.renew(t, Options{})
		w.wholeRun(spool.ReasonSchedule, []string{author, relation(`"relationship_type":"related-to"`)})
		w.wholeRun(spool.ReasonSchedule, []string{relation(`"labels":["TLP:RED"]`)})
		w.wholeRun(spool.ReasonSchedule, []string{need})
		w.auditCounters()
		if got := w.upserted(rel(1)); got == nil || got.SourceRank() != red.Rank {
			t.Errorf("sent %v, want it TLP:RED", got)
		}
	})
	t.Run("comes again", func(t *testing.T) {
		w.renew(t, Options{MaxObjects: 1, ResendAfter: time.Hour})
		run := w.startRun(spool.ReasonSchedule)
		for _, o := range []string{author, whole, sobj(sid("indicator", 1), `"labels":["TLP:RED"]`), whole} {
			w.record(run, o)
			w.work()
			w.deliver(-1)
		}
		w.auditCounters()
		if got := w.last(sid("indicator", 1)); got.SourceRank() != red.Rank {
			t.Errorf("sent %s, want it TLP:RED", got.AppendJSON(nil))
		}
	})
	t.Run("sent again", func(t *testing.T) {
		w.renew(t, Options{})
		for range 2 { // the whole copy alone does not lower what restricted it, though it is sent again
			w.wholeRun(spool.ReasonSchedule, []string{author}, []string{whole}, []string{sobj(sid("indicator", 1), `"labels":["TLP:RED"]`)})
		}
		w.wholeRun(spool.ReasonSchedule, []string{author}, []string{whole})
		if got := w.last(sid("indicator", 1)); got.SourceRank() != red.Rank {
			t.Errorf("sent %s, want it TLP:RED", got.AppendJSON(nil))
		}
	})
}

// TestFilteredElsewhere: what a filter takes out of one answer, or of one piece of it, is
// named in another of the run. References to it go, and what is nothing without them.
func TestFilteredElsewhere(t *testing.T) {
	hidden := sobj(ident(7), `"name":"Hidden"`, `"identity_class":"organization"`, `"labels":["TLP:RED"]`)
	author := sobj(ident(5), `"name":"Author"`, `"identity_class":"organization"`, `"labels":["TLP:GREEN"]`)
	names := sobj(report(1), smod(1), `"name":"re"`, `"labels":["TLP:GREEN"]`, srefs("object_refs", ident(5), ident(7)))
	needs := sobj(rel(1), smod(1), `"labels":["TLP:GREEN"]`, `"relationship_type":"related-to"`, sref("source_ref", ident(5)), sref("target_ref", ident(7)))
	by := sobj(report(2), smod(1), `"name":"by"`, `"labels":["TLP:GREEN"]`, sref("created_by_ref", ident(7)), srefs("object_refs", ident(5)))
	copied := sobj(ident(7), `"name":"Hidden"`, `"identity_class":"organization"`, `"labels":["TLP:GREEN"]`)
	w := newSetWorld(t, mapping.Settings{Choices: mapping.Choices{TLPMax: "amber"}})
	for _, c := range []struct {
		name    string
		records []string
		left    int64
	}{
		{"before", []string{hidden, author, names, needs, by}, 1},
		{"behind", []string{needs, names, by, author, hidden}, 1},
		{"a copy below the ceiling", []string{hidden, author, copied, names, needs, by}, 2},
	} {
		for _, size := range []int{1, 100} {
			w.renew(t, Options{MaxObjects: size})
			var records [][]string
			for _, r := range c.records {
				records = append(records, []string{r})
			}
			w.wholeRun(spool.ReasonSchedule, records...)
			w.auditCounters()
			if len(w.held()) != 0 || w.counters()["left_out"] != c.left || w.upserted(rel(1)) != nil || w.upserted(ident(7)) != nil {
				t.Errorf("%s, %d objects a bundle: held %v, %d left out, sent %v", c.name, size, w.held(), w.counters()["left_out"], w.sent)
			}
			for n, o := range []*stix.Object{w.upserted(report(1)), w.upserted(report(2))} {
				if o == nil || slices.Contains(o.Strings("object_refs"), ident(7)) || o.String("created_by_ref") == ident(7) {
					t.Errorf("%s: report %d is %v", c.name, n+1, o)
				}
			}
		}
	}
}

// TestCeilingOfWhatBecomesStricter: what only its copies, an unknown marking or the time
// when it was held let be imported is not sent above tlp_max, either.
func TestCeilingOfWhatBecomesStricter(t *testing.T) {
	author := sobj(ident(5), `"name":"Author"`, `"identity_class":"organization"`)
	other := sobj(ident(6), `"name":"Other"`, `"identity_class":"organization"`)
	whole := sobj(sid("indicator", 1), smod(1), `"name":"in"`, `"pattern_type":"stix","pattern":"[url:value='x']"`, `"labels":["TLP:GREEN"]`, sref("created_by_ref", ident(5)))
	lacking := sobj(sid("indicator", 1), smod(2), `"name":"in"`, `"labels":["TLP:RED"]`)
	names := sobj(report(1), smod(1), `"name":"re"`, `"labels":["TLP:GREEN"]`, srefs("object_refs", ident(5), sid("indicator", 1)))
	relation := sobj(rel(1), smod(1), `"labels":["TLP:RED"]`, `"relationship_type":"related-to"`, sref("source_ref", ident(5)), sref("target_ref", ident(6)))
	w := newSetWorld(t, mapping.Settings{Choices: mapping.Choices{TLPMax: "amber"}})
	free := newSetWorld(t, mapping.Settings{}).mapper
	t.Run("a copy that is a dead letter", func(t *testing.T) {
		w.renew(t, Options{MaxObjects: 1})
		w.wholeRun(spool.ReasonSchedule, []string{author}, []string{lacking}, []string{whole}, []string{names})
		w.auditCounters()
		if got := w.upserted(sid("indicator", 1)); got != nil {
			t.Errorf("sent %s", got.AppendJSON(nil))
		}
		if got := w.upserted(report(1)); got == nil || slices.Contains(got.Strings("object_refs"), sid("indicator", 1)) {
			t.Errorf("the report is %v", got)
		}
	})
	t.Run("a copy of what was sent", func(t *testing.T) {
		w.renew(t, Options{MaxObjects: 1})
		w.wholeRun(spool.ReasonSchedule, []string{author}, []string{whole})
		w.wholeRun(spool.ReasonSchedule, []string{lacking}, []string{sobj(sid("indicator", 1), smod(3), `"name":"new"`, `"pattern_type":"stix","pattern":"[url:value='x']"`, `"labels":["TLP:GREEN"]`)})
		if got := w.last(sid("indicator", 1)); got.SourceRank() <= 3 {
			t.Errorf("OpenCTI shows %s to more than the source", got.AppendJSON(nil))
		}
	})
	t.Run("an unknown marking", func(t *testing.T) {
		limited := w.mapper
		w.mapper = free
		w.renew(t, Options{})
		run := w.startRun(spool.ReasonSchedule)
		w.record(run, author, sobj(sid("indicator", 1), smod(1), `"name":"in"`, `"pattern_type":"stix","pattern":"[url:value='x']"`, srefs("object_marking_refs", sid("marking-definition", 9))))
		w.clock = w.clock.Add(time.Minute)
		w.work()
		w.mapper = limited
		w.restart()
		w.endFetch(run)
		w.work()
		w.deliver(-1)
		w.auditCounters()
		if got := w.upserted(sid("indicator", 1)); got != nil || len(w.held()) != 0 || w.sum("left_out") != 1 {
			t.Errorf("sent %v, held %v, %d left out", got, w.held(), w.sum("left_out"))
		}
	})
	t.Run("held before tlp_max was set", func(t *testing.T) {
		limited := w.mapper
		w.mapper = free
		w.renew(t, Options{})
		w.wholeRun(spool.ReasonSchedule, []string{author, relation})
		if len(w.held()) != 1 {
			t.Fatalf("held %v", w.held())
		}
		w.mapper = limited
		w.restart()
		w.wholeRun(spool.ReasonSchedule, []string{other})
		w.auditCounters()
		if got := w.upserted(rel(1)); got != nil || len(w.held()) != 0 {
			t.Errorf("sent %v, held %v", got, w.held())
		}
	})
}
