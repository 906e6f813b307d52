package mapstage

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// realRecords are the inputs of the mapper's golden tests, one record each.
func realRecords(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../mapping/testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	records := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, in, ok := bytes.Cut(text, []byte("-- input.json --\n"))
		if !ok {
			t.Fatalf("%s has no input", file)
		}
		in, _, _ = bytes.Cut(in, []byte("\n-- "))
		records[filepath.Base(file)] = in
	}
	return records
}

// realRun processes records in one run.
func (w *world) realRun(records map[string][]byte, names ...string) uint64 {
	w.t.Helper()
	run := w.startRun(spool.ReasonSchedule)
	for _, name := range names {
		w.body(run, string(records[name]))
	}
	w.endFetch(run)
	w.work()
	w.deliver(-1)
	return run
}

func TestWithTheRealMapper(t *testing.T) {
	records := realRecords(t)
	var names []string
	for name := range records {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, size := range []int{1, 7, 5000} {
		m, err := mapping.New(mapping.Settings{ThreatActorAsIntrusionSet: true})
		if err != nil {
			t.Fatal(err)
		}
		w := newTestWorld(t, Options{MaxObjects: size, ResendAfter: 24 * time.Hour})
		w.mapper = m
		w.restart()
		first := w.realRun(records, names...)
		w.audit(nil)
		if n := len(w.ids(first)); n < 100 {
			t.Fatalf("only %d objects came out", n)
		}
		for _, s := range w.sent {
			if s.obj.Clone().Clean() > 0 {
				t.Errorf("%s has nulls or empty lists", s.stix)
			}
		}
		// The same responses again send nothing, in any order.
		slices.Reverse(names)
		if got := w.ids(w.realRun(records, names...)); size == 5000 && len(got) > 0 {
			t.Errorf("bundles of %d: sent again: %v", size, got)
		}
		w.audit(nil)
	}
}

// A change to one object sends that object, and others that are old enough.
func TestSecondRunAfterAChange(t *testing.T) {
	text, err := os.ReadFile("../../mapping/testdata/profile.json")
	if err != nil {
		t.Fatal(err)
	}
	m, err := mapping.New(mapping.Settings{ThreatActorAsIntrusionSet: true})
	if err != nil {
		t.Fatal(err)
	}
	w := newTestWorld(t, Options{ResendAfter: 24 * time.Hour})
	w.mapper = m
	w.restart()
	first := w.realRun(map[string][]byte{"p": text}, "p")
	actor := ""
	for _, id := range w.ids(first) {
		if typ, _ := stix.SplitID(id); typ == "intrusion-set" && w.last(id).String("name") == "Velvet Toad" {
			actor = id
		}
	}
	changed := map[string][]byte{"p": bytes.Replace(text, []byte("Active since"), []byte("Known since"), 1)}
	if bytes.Equal(changed["p"], text) {
		t.Fatal("nothing was changed")
	}
	w.clock = w.clock.Add(time.Hour)
	wantIDs(t, w.ids(w.realRun(changed, "p")), actor)

	w.clock = w.clock.Add(23 * time.Hour) // the parts are a day old, the actor is not
	last := w.ids(w.realRun(changed, "p"))
	if slices.Contains(last, actor) || len(last) != len(w.ids(first))-1 {
		t.Errorf("%d of %d parts were sent again", len(last), len(w.ids(first))-1)
	}
	w.audit(nil)
	if len(w.held()) > 0 {
		t.Errorf("links to the first run were cut: %v", w.held())
	}
}
