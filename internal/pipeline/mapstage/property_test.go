package mapstage

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// graph is a random set of objects in several versions that refer to each other in
// every possible way, to objects that never arrive, and in cycles.
type graph struct {
	ids      []string
	versions map[string][]string // JSON, each better than the one before
	platform map[string]string
	best     map[string]int // the best version that was spooled
}

func drawGraph(t *rapid.T) *graph {
	g := &graph{versions: map[string][]string{}, platform: map[string]string{}, best: map[string]int{}}
	types := []string{"identity", "note", "report", "relationship", "sighting"}
	n := rapid.IntRange(1, 12).Draw(t, "objects")
	for i := range n {
		g.ids = append(g.ids, sid(rapid.SampledFrom(types).Draw(t, "type"), i))
	}
	targets := slices.Concat(g.ids, []string{ident(100), note(101), sid("marking-definition", 102), rel(103)})
	for _, id := range targets {
		if rapid.IntRange(0, 5).Draw(t, "known to the platform") == 0 {
			typ, _ := stix.SplitID(id)
			g.platform[id] = typ
		}
	}
	for _, id := range g.ids {
		properties := drawObject(t, id, targets)
		for k := range rapid.IntRange(1, 3).Draw(t, "versions") {
			properties = append(properties, fmt.Sprintf(`"extra_%d":%d`, k, k))
			g.versions[id] = append(g.versions[id], sobj(id, append([]string{smod(k / 2)}, properties...)...))
		}
	}
	return g
}

// drawObject draws the properties of an object. Later versions are newer or as new,
// and have more properties.
func drawObject(t *rapid.T, id string, targets []string) []string {
	typ, _ := stix.SplitID(id)
	target := func(label string) string { return rapid.SampledFrom(targets).Draw(t, label) }
	other := func(label string) string {
		for {
			if to := target(label); to != id {
				return to
			}
		}
	}
	list := func(label string, least int) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(targets), least, 4, rapid.ID).Draw(t, label)
	}
	var more []string
	switch typ {
	case "relationship":
		more = append(more, `"relationship_type":"related-to"`,
			sref("source_ref", other("source")), sref("target_ref", other("target")))
	case "sighting":
		more = append(more, sref("sighting_of_ref", other("of")), srefs("where_sighted_refs", unite(list("where", 0), other("where"))...))
	default:
		if l := list("object_refs", 0); len(l) > 0 {
			more = append(more, srefs("object_refs", l...))
		} else {
			more = append(more, `"filler_a":1`)
		}
	}
	if rapid.Bool().Draw(t, "author") {
		more = append(more, sref("created_by_ref", target("author")))
	}
	if rapid.Bool().Draw(t, "custom") {
		more = append(more, sref("x_parent_ref", target("parent")))
	} else {
		more = append(more, `"filler_b":1`)
	}
	if rapid.IntRange(0, 3).Draw(t, "marking") == 0 {
		more = append(more, srefs("object_marking_refs", sid("marking-definition", 102)))
	}
	if rapid.IntRange(0, 20).Draw(t, "large") == 0 {
		more = append(more, `"large":"`+strings.Repeat("x", 5000)+`"`)
	} else {
		more = append(more, `"large":""`)
	}
	return more
}

func unite(list []string, id string) []string {
	if slices.Contains(list, id) {
		return list
	}
	return append(list, id)
}

// want is what an object should look like in the end if only those in there can be
// referred to; false if it cannot be sent.
func (g *graph) want(w *world, text string, there func(id string) bool) (*stix.Object, bool) {
	o := g.mapped(w, text)
	witnesses := 0
	for _, r := range o.Refs() {
		switch needOf(o.Type(), r) {
		case needEssential:
			if !there(r.ID) {
				return nil, false
			}
		case needWitness:
			if there(r.ID) && r.ID != o.ID() {
				witnesses++
			}
		}
	}
	if o.Type() == "sighting" && witnesses == 0 {
		return nil, false
	}
	unmarked := false
	o.EditRefs(func(r stix.Ref) (string, bool) {
		stays := r.ID != o.ID() && (there(r.ID) || w.companion(r.ID))
		unmarked = unmarked || !stays && r.Key == "object_marking_refs"
		return r.ID, stays
	})
	w.mapper.EnsureAuthor(o)
	if unmarked {
		w.mapper.MarkUnread(o)
	}
	return o, true
}

// mapped is an object as the mapper returns it.
func (g *graph) mapped(w *world, text string) *stix.Object {
	o, err := stix.Decode([]byte(text))
	w.check(err)
	o.EditRefs(func(r stix.Ref) (string, bool) { return r.ID, r.ID != o.ID() })
	w.mapper.EnsureAuthor(o)
	fillMarking(o)
	return o
}

// TestProperty spreads random graphs over records and runs, with crashes in
// between, a platform that comes and goes, and a deliver that is sometimes slow. In
// the end every object was sent as complete as possible, after everything it refers
// to, or is held or dead.
func TestProperty(t *testing.T) {
	w := newTestWorld(t, Options{})
	ts := w.troubled()
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t)
		w.renew(t, Options{
			MaxObjects:  rapid.IntRange(1, 8).Draw(t, "bundle"),
			ResendAfter: rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "resend after"),

			MaxMessageSize: 4000,
		})
		ts.room, ts.commit = nil, nil
		res := &fakeResolver{known: g.platform}
		if rapid.Bool().Draw(t, "online") {
			w.resolver = res
			w.restart()
		} else {
			g.platform = map[string]string{}
		}
		for range rapid.IntRange(1, 3).Draw(t, "runs") {
			playRun(t, w, g, res, ts)
		}
		res.err, ts.room, ts.commit = nil, nil, nil
		w.clock = w.clock.Add(2 * time.Minute)
		w.work()
		w.deliver(-1)
		w.audit(g.platform)
		g.judge(w)
	})
}

// playRun spools records of random copies in one run, with random events in
// between.
func playRun(t *rapid.T, w *world, g *graph, res *fakeResolver, ts *troubledSpool) {
	reason := rapid.SampledFrom([]spool.Reason{spool.ReasonSchedule, spool.ReasonRepull}).Draw(t, "reason")
	run := w.startRun(reason)
	for range rapid.IntRange(0, 6).Draw(t, "records") {
		var objs []string
		for range rapid.IntRange(0, 6).Draw(t, "copies") {
			id := rapid.SampledFrom(g.ids).Draw(t, "id")
			k := rapid.IntRange(0, len(g.versions[id])-1).Draw(t, "version")
			if b, ok := g.best[id]; !ok || k > b {
				g.best[id] = k
			}
			objs = append(objs, g.versions[id][k])
		}
		w.record(run, objs...)
		for range rapid.IntRange(0, 3).Draw(t, "events") {
			playEvent(t, w, res, ts)
		}
	}
	w.endFetch(run)
	for range rapid.IntRange(0, 12).Draw(t, "events") {
		playEvent(t, w, res, ts)
	}
	if rapid.Bool().Draw(t, "settle") {
		w.work()
	}
}

func playEvent(t *rapid.T, w *world, res *fakeResolver, ts *troubledSpool) {
	switch rapid.SampledFrom([]string{
		"step", "step", "step", "later", "deliver", "crash", "reopen", "platform", "room", "fail",
	}).Draw(t, "event") {
	case "step":
		w.once()
	case "later":
		w.clock = w.clock.Add(time.Minute)
	case "deliver":
		w.deliver(1)
	case "crash":
		w.restart()
	case "reopen":
		if rapid.IntRange(0, 5).Draw(t, "really") == 0 {
			w.reopen()
		}
	case "room":
		if ts.room = nil; rapid.Bool().Draw(t, "none") {
			ts.room = &spool.Room{Live: 2, Max: 1, Cap: 3}
		}
	case "fail":
		before := rapid.Bool().Draw(t, "before")
		ts.commit = func(c spool.MapCommit) error {
			ts.commit = nil
			if !before { // done, but the caller does not get to know
				w.check(ts.Spool.CommitMap(w.epoch(), w.clock, c))
			}
			return errors.New("input/output")
		}
	case "platform":
		if res.err = nil; rapid.Bool().Draw(t, "down") {
			res.err = errors.New("down")
		}
	}
}

// judge compares the end with the promises.
func (g *graph) judge(w *world) {
	w.t.Helper()
	out := map[string]bool{}
	for _, s := range w.sent {
		out[s.stix] = true
	}
	held, dead := w.held(), map[string]bool{}
	for _, d := range w.dead() {
		dead[d.STIX] = true
		if d.Class != deadCycle && d.Class != deadTooLarge {
			w.t.Errorf("%s is dead: %s: %s", d.STIX, d.Class, d.Error)
		}
	}
	there := func(id string) bool { _, ok := g.platform[id]; return ok || out[id] }
	unsure := func(text string) bool { // of one that came but did not go out, the platform may not have been asked
		return slices.ContainsFunc(g.mapped(w, text).Refs(), func(r stix.Ref) bool {
			_, came := g.best[r.ID]
			return came && !out[r.ID] && there(r.ID)
		})
	}
	fate := func(text string) string {
		all := ""
		for _, r := range g.mapped(w, text).Refs() {
			_, came := g.best[r.ID]
			_, isHeld := held[r.ID]
			all += fmt.Sprintf("\n    %s %s: came %v, out %v, held %v, dead %v, there %v", r.Key, r.ID, came, out[r.ID], isHeld, dead[r.ID], there(r.ID))
		}
		return all
	}
	for _, id := range slices.Sorted(maps.Keys(g.best)) {
		text := g.versions[id][g.best[id]]
		want, can := g.want(w, text, there)
		h, isHeld := held[id]
		switch got := w.last(id); {
		case unsure(text), dead[id]: // a dead letter stays one until an operator retries it
		case can && got == nil:
			w.t.Errorf("%s did not go out (held %v for %s, dead %v)%s", id, isHeld, h.Watch, dead[id], fate(text)+"\n  "+text+"\n  "+string(h.JSON))
		case can && missing(w.upserted(id), want) != "":
			w.t.Errorf("%s of %s went out as\n  %s\nwant\n  %s%s", missing(w.upserted(id), want), id, got.AppendJSON(nil), want.AppendJSON(nil), fate(text))
		case !can && !isHeld:
			w.t.Errorf("%s vanished", id)
		case !can:
			if o, err := stix.Decode(h.JSON); err != nil || missing(o, g.mapped(w, text)) != "" {
				w.t.Errorf("%s is held as %s", id, h.JSON)
			}
		}
	}
}

// upserted is what the platform makes of all messages of an object: values are
// replaced, lists are merged, except markings.
func (w *world) upserted(id string) *stix.Object {
	var all *stix.Object
	for _, s := range w.sent {
		switch {
		case s.stix != id:
		case all == nil:
			all = s.obj.Clone()
		default:
			for key, raw := range s.obj.All() {
				if raw[0] != '[' || key == "object_marking_refs" {
					all.Copy(s.obj, key)
					continue
				}
				for _, entry := range s.obj.Strings(key) {
					all.AddRef(key, entry)
				}
			}
		}
	}
	return all
}

// missing names a property of want that is not in got, "" if there is none.
func missing(got, want *stix.Object) string {
	for key, raw := range want.All() {
		if raw[0] == '[' {
			if slices.ContainsFunc(want.Strings(key), func(id string) bool { return !slices.Contains(got.Strings(key), id) }) {
				return key
			}
		} else if is, _ := got.Get(key); string(is) != string(raw) {
			return key
		}
	}
	return ""
}
