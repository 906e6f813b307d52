package mapstage

import (
	"context"
	"maps"
	"slices"
	"strings"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// audit checks what must hold whenever everything is mapped and delivered: the
// order of messages, companions once per run, counters, entries of ids, and the
// spool's own invariants.
func (w *world) audit(platform map[string]string) {
	w.t.Helper()
	w.auditOrder(platform)
	w.auditCompanions()
	w.auditCounters()
	problems, err := w.sp.Verify(context.Background())
	w.check(err)
	for _, p := range problems {
		w.t.Errorf("verify: %s", p)
	}
	last := map[string]*stix.Object{}
	for _, s := range w.sent {
		last[s.stix] = s.obj
	}
	entries, err := w.sp.LookupIDs(slices.Collect(maps.Keys(last)))
	w.check(err)
	for id, o := range last {
		names := o.Keys()
		slices.Sort(names)
		o.Distrust(w.now())
		if e := entries[id]; !slices.Equal(e.Names, names) || o.Changed().After(e.Modified) {
			w.t.Errorf("ids has another content of %s than was sent last", id)
		}
	}
}

func (w *world) auditOrder(platform map[string]string) {
	w.t.Helper()
	known := map[string]bool{}
	type place struct{ run, bundle uint64 }
	seen := map[place]map[string]bool{}
	for _, s := range w.sent {
		p := place{s.run, s.bundle}
		if seen[p] == nil {
			seen[p] = map[string]bool{}
		}
		if seen[p][s.stix] {
			w.t.Errorf("%s is twice in a bundle of run %d", s.stix, s.run)
		}
		seen[p][s.stix] = true
		for _, r := range s.obj.Refs() {
			if _, there := platform[r.ID]; !there && !known[r.ID] {
				w.t.Errorf("run %d: %s goes out before %s, its %s", s.run, s.stix, r.ID, r.Key)
			}
		}
		known[s.stix] = true
	}
}

func (w *world) auditCompanions() {
	w.t.Helper()
	times := map[uint64]map[string]int{}
	for _, s := range w.sent {
		if times[s.run] == nil {
			times[s.run] = map[string]int{}
		}
		if w.companion(s.stix) {
			times[s.run][s.stix]++
		} else {
			times[s.run]["others"]++
		}
	}
	for run, n := range times {
		for id, k := range n {
			if id != "others" && k != 1 {
				w.t.Errorf("run %d sent %s %d times", run, id, k)
			}
		}
		if n["others"] == 0 {
			w.t.Errorf("run %d sent nothing but companions", run)
		}
	}
}

// auditCounters checks the two identities that Counters documents.
func (w *world) auditCounters() {
	w.t.Helper()
	st, err := w.sp.Stats()
	w.check(err)
	sum := w.counters()
	for name := range sum {
		if !explained(name) {
			w.t.Errorf("counter %s is explained nowhere", name)
		}
	}
	in := sum["objects"] + sum["taken_up"] + sum["restricted_again"]
	out := sum["merged"] + sum["skipped_older"] + sum["skipped_poorer"] + sum["skipped_equal"] +
		sum["older_conflict"] + sum["left_out"] + sum["published"] + sum["held"] + sum["buried"] + st.Waiting
	if in != out {
		w.t.Errorf("%d objects came in, %d are accounted for", in, out)
	}
	in = sum["held"] + sum["kept"]
	out = sum["taken_up"] + sum["superseded"] + sum["expired_held"] + sum["expired_kept"] + st.Held
	if in != out {
		w.t.Errorf("%d objects were held, %d are accounted for", in, out)
	}
	messages := int64(0)
	for _, s := range w.sent {
		if !w.companion(s.stix) {
			messages++
		}
	}
	if n := sum["published"]; st.Bundles == 0 && len(w.sent) > 0 && n != messages {
		w.t.Errorf("%d objects counted as published, %d went out", n, messages)
	}
}

// explained reports whether a counter is in the tables of the stage or the mapper.
func explained(name string) bool {
	name, _, _ = strings.Cut(name, ":")
	for _, d := range spool.Datasets() {
		name = strings.TrimSuffix(name, "_"+string(d))
	}
	if class, ok := strings.CutPrefix(name, "dead_"); ok && class != "" {
		name = "dead"
	}
	return slices.ContainsFunc(Counters(), func(c CounterName) bool { return c.Name == name }) ||
		slices.ContainsFunc(mapping.CountTable(), func(c mapping.CountName) bool { return c.Name == name })
}
