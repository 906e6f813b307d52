package faults

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	r, err := Parse("route=item, id=profiles/3,rate=0.25,skip=2,times=4,do=slow,delay=1500ms,name=a")
	if err != nil {
		t.Fatal(err)
	}
	want := Rule{Name: "a", Route: "item", ID: "profiles/3", Rate: 0.25, Skip: 2, Times: 4, Kind: Slow, Delay: Duration(1500 * time.Millisecond)}
	if r != want {
		t.Errorf("got %+v", r)
	}
	for _, bad := range []string{"", "route", "do=nonsense", "do=500,rate=often", "do=500,colour=red", "do=slow,delay=1"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	for _, name := range Presets() {
		if err := Must(name).Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPick(t *testing.T) {
	var s Set
	s.Add(Rule{Name: "x", Route: "list", Skip: 1, Times: 2, Kind: Hang}, Rule{Route: "item", Rate: 0.1, Kind: Reset})
	var hit []bool
	for range 4 {
		_, ok := s.Pick("list", "profiles")
		hit = append(hit, ok)
	}
	if hit[0] || !hit[1] || !hit[2] || hit[3] {
		t.Errorf("skip 1, times 2: %v", hit)
	}
	n := 0
	for range 1000 {
		if _, ok := s.Pick("item", ""); ok {
			n++
		}
	}
	if n < 60 || n > 140 {
		t.Errorf("%d of 1000 at a rate of 0.1", n)
	}
	s.Remove("x")
	if len(s.Rules()) != 1 || s.Hits()["hang"] != 2 {
		t.Errorf("rules %v, hits %v", s.Rules(), s.Hits())
	}
	s.Remove("")
	if _, ok := s.Pick("item", ""); ok {
		t.Error("a removed rule is in force")
	}
}
