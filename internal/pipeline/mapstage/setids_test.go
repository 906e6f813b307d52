package mapstage

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// newSetWorld has the real mapper, which turns actors into intrusion sets.
func newSetWorld(t *testing.T, s mapping.Settings) *world {
	t.Helper()
	s.ThreatActorAsIntrusionSet = true
	m, err := mapping.New(s)
	if err != nil {
		t.Fatal(err)
	}
	w := newTestWorld(t, Options{})
	w.mapper = m
	w.restart()
	return w
}

// TestPropertyEqualUUIDs lets actors and intrusion sets with the same UUID, and
// objects that refer to them, arrive in any order, in one or several responses,
// across runs, crashes, repulls and a reset: each is one object with its own id,
// and every reference leads to the object that it named.
func TestPropertyEqualUUIDs(t *testing.T) {
	w := newSetWorld(t, mapping.Settings{})
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		w.renew(t, Options{MaxObjects: rapid.SampledFrom([]int{1, 3, 100}).Draw(t, "bundle"), ResendAfter: 0})
		round++
		uuid := func(n int) string { return fmt.Sprintf("%08d-0000-4000-8000-%012d", round, n) }
		var said []string // the source's ids
		for n := range 3 {
			said = append(said, "threat-actor--"+uuid(n), "intrusion-set--"+uuid(n))
		}
		modified := w.now()
		draw := func(n int) string {
			modified = modified.Add(time.Second)
			at := fmt.Sprintf(`"created":"2024-01-01T00:00:00.000Z","modified":%q`, modified.Format("2006-01-02T15:04:05.000Z"))
			id := rapid.SampledFrom(said).Draw(t, "id")
			switch other := rapid.SampledFrom(said).Draw(t, "other"); rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				return fmt.Sprintf(`{"type":"report","id":"report--%s","name":"about %s","published":"2024-01-01T00:00:00Z","object_refs":[%q],%s}`, uuid(100+n), id, id, at)
			case 1:
				if other != id {
					return fmt.Sprintf(`{"type":"relationship","id":"relationship--%s","relationship_type":"related-to","description":"%s %s","source_ref":%q,"target_ref":%q,%s}`, uuid(100+n), id, other, id, other, at)
				}
			}
			typ, _ := stix.SplitID(id)
			return fmt.Sprintf(`{"type":%q,"id":%q,"name":"the %s",%s}`, typ, id, id, at)
		}
		n := 0
		for range rapid.IntRange(1, 3).Draw(t, "runs") {
			run := w.startRun(rapid.SampledFrom([]spool.Reason{spool.ReasonSchedule, spool.ReasonRepull}).Draw(t, "reason"))
			for range rapid.IntRange(1, 4).Draw(t, "records") {
				var objects []string
				for range rapid.IntRange(1, 3).Draw(t, "objects") {
					objects = append(objects, draw(n))
					n++
				}
				w.record(run, objects...)
				switch rapid.IntRange(0, 3).Draw(t, "then") {
				case 0:
					w.once()
				case 1:
					w.once()
					w.restart()
				}
			}
			w.endFetch(run)
			w.work()
			w.deliver(-1)
			if rapid.IntRange(0, 4).Draw(t, "reset") == 0 {
				_, _, err := w.sp.Reset(w.now())
				w.check(err)
			}
		}
		run := w.startRun(spool.ReasonSchedule) // whatever was held comes
		for _, id := range said {
			typ, _ := stix.SplitID(id)
			w.record(run, fmt.Sprintf(`{"type":%q,"id":%q,"name":"the %s","modified":"2024-01-01T00:00:00.000Z"}`, typ, id, id))
		}
		w.endFetch(run)
		w.work()
		w.deliver(-1)

		sent := map[string]string{} // the source's id by ours, and the other way round
		note := func(what, ours, theirs string) {
			if ours == "" {
				return
			}
			for _, pair := range [][2]string{{ours, theirs}, {theirs, ours}} {
				if was := sent[pair[0]]; was != "" && was != pair[1] {
					t.Fatalf("%s: %s is %s, and was %s", what, pair[0], pair[1], was)
				}
				sent[pair[0]] = pair[1]
			}
		}
		for _, s := range w.sent {
			var a, b string
			switch s.obj.Type() {
			case "intrusion-set":
				_, _ = fmt.Sscanf(s.obj.String("name"), "the %s", &a)
				note(s.obj.String("name"), s.stix, " "+a)
			case "report":
				_, _ = fmt.Sscanf(s.obj.String("name"), "about %s", &a)
				for _, ref := range s.obj.Strings("object_refs") {
					note(s.obj.String("name"), ref, " "+a)
				}
			case "relationship":
				_, _ = fmt.Sscanf(s.obj.String("description"), "%s %s", &a, &b)
				note("source of "+s.stix, s.obj.String("source_ref"), " "+a)
				note("target of "+s.stix, s.obj.String("target_ref"), " "+b)
			}
		}
		if len(sent) < 2*len(said) {
			t.Errorf("sent %d of %d objects: %v", len(sent)/2, len(said), sent)
		}
	})
}

// TestSetIDsOutliveTheProcess: the first object with an id keeps it: in a spool
// that was closed and reopened, after a crash before the commit, and in a separate
// commit.
func TestSetIDsOutliveTheProcess(t *testing.T) {
	const uuid = "00000000-0000-4000-8000-00000000000a"
	actor := `{"type":"threat-actor","id":"threat-actor--` + uuid + `","name":"Actor"}`
	set := `{"type":"intrusion-set","id":"intrusion-set--` + uuid + `","name":"Set"}`
	for _, c := range []struct {
		first, second string
		own, derived  string
	}{
		{actor, set, "Actor", "Set"},
		{set, actor, "Set", "Actor"},
	} {
		w := newSetWorld(t, mapping.Settings{})
		run := w.startRun(spool.ReasonSchedule)
		w.record(run, c.first)
		w.once()
		w.restart() // nothing was committed
		w.record(run, c.second)
		w.endFetch(run)
		w.work()
		w.deliver(-1)
		w.reopen()
		w.wholeRun(spool.ReasonRepull, []string{c.second}, []string{c.first})
		names := map[string]string{}
		for _, s := range w.sent {
			if s.obj.Type() == "intrusion-set" {
				if was := names[s.stix]; was != "" && was != s.obj.String("name") {
					t.Errorf("%s is %s, and was %s", s.stix, s.obj.String("name"), was)
				}
				names[s.stix] = s.obj.String("name")
			}
		}
		if len(names) != 2 || names["intrusion-set--"+uuid] != c.own {
			t.Errorf("sent %v, want two, %s with its own id", names, c.own)
		}
		if broken, err := w.sp.Verify(t.Context()); err != nil || len(broken) > 0 {
			t.Errorf("verify: %v %v", broken, err)
		}
	}
}

// TestSetIDsComeBackBySalvage: what has an id in a set-aside file has it in the spool
// that takes the file back, unless something else got it there meanwhile.
func TestSetIDsComeBackBySalvage(t *testing.T) {
	element := func(typ string, n int) string {
		return fmt.Sprintf(`{"type":%q,"id":"%s--00000000-0000-4000-8000-%012d","name":"%s"}`, typ, typ, n, typ)
	}
	old := newSetWorld(t, mapping.Settings{})
	old.wholeRun(spool.ReasonSchedule, []string{element("threat-actor", 1), element("threat-actor", 2)})
	b, err := os.ReadFile(filepath.Join(old.dir, "spool.db"))
	old.check(err)
	aside := filepath.Join(t.TempDir(), "spool.db.damaged-20260102T030405Z")
	old.check(os.WriteFile(aside, b, 0o600))

	w := newSetWorld(t, mapping.Settings{})
	w.wholeRun(spool.ReasonSchedule, []string{element("intrusion-set", 2)})
	got, err := w.sp.Salvage(t.Context(), aside, w.now(), spool.SalvageOptions{})
	w.check(err)
	if got.Rows["set_ids"] != 2 || got.Run != 0 {
		t.Errorf("it brought %v in run %d, want 2 set_ids in none", got.Rows, got.Run)
	}
	w.wholeRun(spool.ReasonSchedule, []string{element("intrusion-set", 1)}, []string{element("threat-actor", 1)}, []string{element("threat-actor", 2)})
	for n, want := range map[int]string{1: "threat-actor", 2: "intrusion-set"} {
		if o := w.upserted(fmt.Sprintf("intrusion-set--00000000-0000-4000-8000-%012d", n)); o == nil || o.String("name") != want {
			t.Errorf("the id of %d has %v, want the %s", n, o, want)
		}
	}
}
