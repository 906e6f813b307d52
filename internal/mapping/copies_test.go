package mapping

import (
	"strings"
	"testing"

	"threatmatch-connector/internal/stix"
)

// TestCopiesThatLackSomething merges copies of one object, some of which lack
// something OpenCTI requires, in both orders: what one lacks comes from another,
// and what restricts one restricts all, whether it is sent or becomes a dead
// letter.
func TestCopiesThatLackSomething(t *testing.T) {
	const id = `"id":"malware--00000000-0000-4000-8000-000000000001","type":"malware","created":"2024-01-02T00:00:00.000Z"`
	const pattern = `"id":"indicator--00000000-0000-4000-8000-000000000001","type":"indicator","name":"two","created":"2024-01-02T00:00:00.000Z"`
	const report = `"id":"report--00000000-0000-4000-8000-000000000001","type":"report"`
	red, _ := stix.FindTLP("red")
	green, _ := stix.FindTLP("green")
	marked := func(level stix.TLP) string { return `"object_marking_refs":["` + level.ID + `"]` }
	for _, c := range []struct {
		what         string
		copies       []string
		dead, merged int
		marking      string // of the object that is sent; "" when none is
		has          string
	}{
		{"a stub without a name", []string{
			id + `,"modified":"2024-02-02T00:00:00.000Z",` + marked(red),
			id + `,"modified":"2024-01-02T00:00:00.000Z","name":"full",` + marked(green),
		}, 0, 1, red.ID, `"name":"full"`},
		{"a pattern that does not parse in a newer copy", []string{
			pattern + `,"modified":"2024-02-02T00:00:00.000Z","pattern_type":"stix","pattern":"[broken",` + marked(red),
			pattern + `,"modified":"2024-01-02T00:00:00.000Z","pattern_type":"stix","pattern":"[url:value='x']",` + marked(green),
		}, 1, 0, red.ID, `[url:value='x']`},
		{"a marking of the source where the others have the default", []string{
			pattern + `,"modified":"2024-02-02T00:00:00.000Z","pattern_type":"stix","pattern":"[broken",` + marked(green),
			pattern + `,"modified":"2024-01-02T00:00:00.000Z","pattern_type":"stix","pattern":"[url:value='x']"`,
		}, 1, 0, green.ID, `[url:value='x']`},
		{"parts that make one whole", []string{
			report + `,"name":"one",` + marked(green), report + `,"published":"2024-01-02T00:00:00.000Z"`,
		}, 0, 1, green.ID, `"name":"one"`},
		{"parts that do not", []string{
			id + `,"modified":"2024-02-02T00:00:00.000Z",` + marked(red), id + `,"modified":"2024-01-02T00:00:00.000Z"`,
			strings.ToUpper(id[:44]) + id[44:] + `,"x_a":1`,
		}, 3, 0, "", ""},
	} {
		for range 2 {
			r := mapWith(t, Settings{TLP: "amber"}, Source{Dataset: "alerts", ID: "1"}, `{"objects":[{`+strings.Join(c.copies, "},{")+`}]}`)
			if len(r.Dead) != c.dead || r.Counts["duplicates_merged"] != int64(c.merged) {
				t.Errorf("%s: %d dead letters and %d merged, want %d and %d: %v", c.what, len(r.Dead), r.Counts["duplicates_merged"], c.dead, c.merged, show(r))
			}
			if c.marking == "" {
				if len(r.Objects) != 0 {
					t.Errorf("%s: sent %s", c.what, show(r))
				}
				continue
			}
			if len(r.Objects) != 1 {
				t.Fatalf("%s: sent %s, want one object", c.what, show(r))
			}
			text := string(r.Objects[0].AppendJSON(nil))
			if got := r.Objects[0].Strings("object_marking_refs"); len(got) != 1 || got[0] != c.marking || !strings.Contains(text, c.has) {
				t.Errorf("%s: sent %s, want the marking %s and %s", c.what, text, c.marking, c.has)
			}
			for i, j := 0, len(c.copies)-1; i < j; i, j = i+1, j-1 {
				c.copies[i], c.copies[j] = c.copies[j], c.copies[i]
			}
		}
	}
}

// TestEqualUUIDs: an actor and an intrusion set with the same UUID are two objects
// if a response has both. Alone, an actor always has the same id, whatever other
// responses came before.
func TestEqualUUIDs(t *testing.T) {
	const uuid = "00000000-0000-4000-8000-00000000000a"
	actor := `{"type":"threat-actor","id":"threat-actor--` + uuid + `","name":"Actor"}`
	set := `{"type":"intrusion-set","id":"intrusion-set--` + uuid + `","name":"Set"}`
	names := func(elements ...string) map[string]string {
		all := map[string]string{}
		r := mapWith(t, Settings{ThreatActorAsIntrusionSet: true}, Source{Dataset: "profiles", ID: "1"}, `{"objects":[`+strings.Join(elements, ",")+`]}`)
		for _, o := range r.Objects {
			all[o.String("name")] = o.ID()
		}
		return all
	}
	for _, both := range []map[string]string{names(actor, set), names(set, actor)} {
		if both["Set"] != setPrefix+uuid || both["Actor"] != stix.DerivedID("intrusion-set", actorPrefix+uuid) {
			t.Errorf("an answer with both has %v, want two ids", both)
		}
	}
	if alone := names(actor); alone["Actor"] != setPrefix+uuid {
		t.Errorf("an actor alone is %v, want %s", alone, setPrefix+uuid)
	}
}
