package stix

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var orderTypes = []string{"identity", "malware", "report", "note", "relationship", "sighting"}

// drawGraph draws up to n objects whose references point at each other; if acyclic, only at objects drawn before.
func drawGraph(t *rapid.T, acyclic bool) []*Object {
	n := rapid.IntRange(0, 12).Draw(t, "n")
	ids := make([]string, n)
	for i := range ids {
		typ := rapid.SampledFrom(orderTypes).Draw(t, "type")
		ids[i] = fmt.Sprintf("%s--00000000-0000-4000-8000-%012d", typ, i)
	}
	objs := make([]*Object, n)
	for i, id := range ids {
		pick := func() string {
			last := n - 1
			if acyclic {
				last = i - 1
			}
			at := rapid.IntRange(-1, last).Draw(t, "to")
			if at < 0 {
				return "identity--99999999-0000-4000-8000-000000000000" // not in the set
			}
			return ids[at]
		}
		typ, _ := SplitID(id)
		o := New(typ, id)
		if rapid.Bool().Draw(t, "author") {
			o.Set("created_by_ref", pick())
		}
		switch typ {
		case "relationship":
			o.Set("source_ref", pick())
			o.Set("target_ref", pick())
		case "sighting":
			o.Set("sighting_of_ref", pick())
			o.Set("where_sighted_refs", []string{pick()})
		}
		var list []string
		for range rapid.IntRange(0, 3).Draw(t, "refs") {
			list = append(list, pick())
		}
		o.Set("object_refs", list)
		objs[i] = o
	}
	return rapid.Permutation(objs).Draw(t, "order")
}

// splitter is OpenCTI's own algorithm, which is recursive, for graphs without cycles.
func splitter(objs []*Object) []Ordered {
	byID, done := map[string]*Object{}, map[string]uint32{}
	for _, o := range objs {
		byID[o.ID()] = o
	}
	var out []Ordered
	var enlist func(id string) uint32
	enlist = func(id string) uint32 {
		o := byID[id]
		if o == nil {
			return 0
		}
		if deps, ok := done[id]; ok {
			return deps
		}
		deps := uint32(1)
		for _, r := range o.Refs() {
			deps += enlist(r.ID)
		}
		done[id] = deps
		out = append(out, Ordered{Object: o, Deps: deps})
		return deps
	}
	for _, o := range objs {
		enlist(o.ID())
	}
	slices.SortStableFunc(out, func(a, b Ordered) int { return cmp.Compare(a.Deps, b.Deps) })
	return out
}

func TestOrderEqualsSplitter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		objs := drawGraph(t, true)
		want := splitter(objs)
		got := Order(objs)
		if len(got) != len(want) {
			t.Fatalf("%d objects, want %d", len(got), len(want))
		}
		for i := range got {
			if got[i].Object != want[i].Object || got[i].Deps != want[i].Deps || got[i].Cut != nil || got[i].Cyclic {
				t.Fatalf("place %d: %s of %d, want %s of %d", i, got[i].Object.ID(), got[i].Deps, want[i].Object.ID(), want[i].Deps)
			}
		}
	})
}

func TestOrderCutsCycles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		objs := drawGraph(t, false)
		before := map[string][]Ref{}
		for _, o := range objs {
			before[o.ID()] = o.Refs()
		}
		place, cyclic := map[string]int{}, map[string]bool{}
		out := Order(objs)
		for i, d := range out {
			place[d.Object.ID()], cyclic[d.Object.ID()] = i, d.Cyclic
		}
		if len(place) != len(objs) || len(out) != len(objs) {
			t.Fatalf("%d places for %d objects", len(place), len(objs))
		}
		for i, d := range out {
			checkOrdered(t, d, i, before[d.Object.ID()], place, cyclic)
		}
	})
}

func checkOrdered(t *rapid.T, d Ordered, at int, before []Ref, place map[string]int, cyclic map[string]bool) {
	o := d.Object
	deps := map[Ref]bool{}
	for _, r := range o.Refs() {
		deps[r] = true
		if to, ok := place[r.ID]; ok && to >= at && !d.Cyclic {
			t.Errorf("%s refers to %s, which comes later", o.ID(), r.ID)
		}
	}
	for _, r := range before {
		if cut := slices.Contains(d.Cut, r); cut == deps[r] {
			t.Errorf("%s: %v cut %v, there %v", o.ID(), r, cut, deps[r])
		} else if cut && Essential(o.Type(), r.Key) {
			t.Errorf("%s lost its %v", o.ID(), r)
		}
	}
	if !d.Cyclic {
		return
	}
	// A cyclic object needs another cyclic one, or itself, by an essential reference.
	if !slices.ContainsFunc(before, func(r Ref) bool { return Essential(o.Type(), r.Key) && cyclic[r.ID] }) {
		t.Errorf("%s is no cycle: %v", o.ID(), strings.Split(fmt.Sprint(before), "} {"))
	}
}
