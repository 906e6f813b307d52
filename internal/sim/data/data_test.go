package data

import (
	"encoding/json"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func realistic(n int) *Generated {
	return NewGenerated(Options{Seed: 7, Profiles: n, Alerts: n, Reports: n / 4, IOCs: 10 * n, Start: start, Quirks: RealisticQuirks()})
}

func TestSameSeedSameBytes(t *testing.T) {
	a, b := realistic(40), realistic(40)
	for _, d := range ItemDatasets {
		for e := range a.Entries(d) {
			x, _ := a.Item(d, e.ID)
			y, _ := b.Item(d, e.ID)
			p, _ := json.Marshal(x)
			q, _ := json.Marshal(y)
			if string(p) != string(q) {
				t.Fatalf("%s %d differs", d, e.ID)
			}
		}
	}
	if string(a.Objects("indicator").Object(17)) != string(b.Objects("indicator").Object(17)) {
		t.Error("IOC 17 differs")
	}
}

func TestPairsAndQuirksOccur(t *testing.T) {
	g := realistic(150)
	pairs := map[string]bool{}
	seen := map[string]bool{}
	for e := range g.Entries(Profiles) {
		objects, ok := g.Item(Profiles, e.ID)
		if !ok {
			t.Fatalf("no item %d", e.ID)
		}
		if len(objects) == 0 {
			seen["empty bundle"] = true
		}
		types := map[string]string{}
		for _, raw := range objects {
			var o map[string]any
			if err := json.Unmarshal(raw, &o); err != nil {
				t.Fatal(err)
			}
			id, _ := o["id"].(string)
			types[id], _ = o["type"].(string)
			for key := range o {
				seen[key] = true
			}
			if d, ok := o["description"]; ok && d == nil {
				seen["null description"] = true
			}
		}
		for _, raw := range objects {
			var o map[string]string
			_ = json.Unmarshal(raw, &o) // relationships have strings enough
			if o["relationship_type"] == "associated_content" {
				pairs[types[o["source_ref"]]+" "+types[o["target_ref"]]] = true
			}
		}
	}
	for _, want := range []string{
		"threat-actor campaign", "malware threat-actor", "malware campaign",
		"campaign threat-actor", "campaign campaign", "threat-actor threat-actor", "incident malware",
	} {
		if !pairs[want] {
			t.Errorf("no associated_content of %s", want)
		}
	}
	for _, want := range []string{"empty bundle", "null description", "error", "object_refs", "labels", "created_by_ref", "object_marking_refs"} {
		if !seen[want] {
			t.Errorf("no %s", want)
		}
	}
}

func TestSequenceByTime(t *testing.T) {
	for name, o := range map[string]Options{
		"plain":           {IOCs: 500},
		"ties":            {IOCs: 500, TieEvery: 50, TieSize: 20},
		"sub-millisecond": {IOCs: 500, SubMillisecond: true},
	} {
		t.Run(name, func(t *testing.T) {
			o.Start = start
			g := NewGenerated(o)
			g.Republish(IOCs, []int{3, 400, 3}, start.Add(time.Hour), true)
			g.Publish(IOCs, 5, start.Add(2*time.Hour))
			g.Republish(IOCs, []int{502}, start.Add(3*time.Hour), true)
			g.Withdraw(IOCs, []int{10, 504})
			seq := g.Objects("indicator")
			if seq.Len() != 503 || g.Count(IOCs) != 503 {
				t.Fatalf("length %d, count %d, want 503", seq.Len(), g.Count(IOCs))
			}
			ids := map[string]bool{}
			for i := range seq.Len() {
				var ioc struct {
					ID       string
					Modified time.Time
				}
				if err := json.Unmarshal(seq.Object(i), &ioc); err != nil {
					t.Fatal(err)
				}
				if !ioc.Modified.Equal(seq.Time(i)) {
					t.Errorf("object %d modified %v, listed at %v", i, ioc.Modified, seq.Time(i))
				}
				if i > 0 && seq.Time(i).Before(seq.Time(i-1)) {
					t.Errorf("object %d is older than the one before", i)
				}
				ids[ioc.ID] = true
			}
			if len(ids) != 503 {
				t.Errorf("%d different ids", len(ids))
			}
			if o.TieSize > 0 && !seq.Time(100).Equal(seq.Time(119-3)) {
				t.Errorf("no tie: %v %v", seq.Time(100), seq.Time(116))
			}
		})
	}
}

func TestRepublishedItemIsNewer(t *testing.T) {
	g := realistic(20)
	before, _ := g.Item(Profiles, 5)
	g.Republish(Profiles, []int{5}, start.Add(time.Hour), true)
	after, _ := g.Item(Profiles, 5)
	if len(before) == 0 || len(before) != len(after) {
		t.Fatalf("%d objects, then %d", len(before), len(after))
	}
	changed := 0
	for i := range before {
		if string(before[i]) != string(after[i]) {
			changed++
		}
	}
	if changed == 0 || changed == len(before) {
		t.Errorf("%d of %d objects changed", changed, len(before))
	}
	listed := func() (at, touched time.Time) {
		for e := range g.Entries(Profiles) {
			if e.ID == 5 {
				at, touched = e.Updated, e.Touched
			}
		}
		return at, touched
	}
	before5, _ := listed()
	g.Republish(Profiles, []int{5}, start.Add(2*time.Hour), false)
	if at, touched := listed(); !at.Equal(before5) || !touched.Equal(start.Add(2*time.Hour)) {
		t.Errorf("after an insignificant change listed at %v, touched at %v", at, touched)
	}
	g.Withdraw(Profiles, []int{5})
	if _, ok := g.Item(Profiles, 5); ok {
		t.Error("a withdrawn item is served")
	}
}

func TestExpectedLeavesOutWhatCannotCome(t *testing.T) {
	g := realistic(80)
	all := Expected(g, All...)
	served := map[string]bool{}
	for _, d := range ItemDatasets {
		for e := range g.Entries(d) {
			objects, _ := g.Item(d, e.ID)
			for _, raw := range objects {
				var o stixObject
				_ = json.Unmarshal(raw, &o) // error elements have no id
				served[o.ID] = true
			}
		}
	}
	left := 0
	for id := range served {
		if _, ok := all[id]; !ok && id != "" {
			left++
		}
	}
	if left == 0 || left > 20 {
		t.Errorf("%d of %d served objects are not expected", left, len(served))
	}
	if len(all) < 800+200 {
		t.Errorf("only %d expected", len(all))
	}
}
