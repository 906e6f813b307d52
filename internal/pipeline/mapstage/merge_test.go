package mapstage

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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
