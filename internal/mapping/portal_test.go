package mapping

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestMainObject finds what an item is about in responses that list their objects
// in any order: filters go by it, and only it gets the portal's address.
func TestMainObject(t *testing.T) {
	ref := func(typ string, n int) string { return fmt.Sprintf("%s--00000000-0000-4000-8000-%012d", typ, n) }
	named := func(typ string, n int, more string) string {
		return fmt.Sprintf(`{"type":%q,"id":%q,"name":"n%d","published":"2024-01-01T00:00:00.000Z","created":"2024-01-01T00:00:00.000Z"%s}`, typ, ref(typ, n), n, more)
	}
	link := func(n int, source, target string) string {
		return fmt.Sprintf(`{"type":"relationship","id":%q,"relationship_type":"associated_content","source_ref":%q,"target_ref":%q}`, ref("relationship", n), source, target)
	}
	tool, actor, malware := ref("tool", 1), ref("threat-actor", 2), ref("malware", 3)
	for _, c := range []struct {
		what, dataset string
		objects       []string
		choices       Choices
		want          string
	}{
		{"the source of the associations", "profiles", []string{
			named("tool", 1, ""), named("threat-actor", 2, ""), named("malware", 3, ""), link(4, actor, tool), link(5, actor, malware),
		}, Choices{}, actor},
		{"the one with ThreatMatch's own id", "profiles", []string{
			named("tool", 1, `,"external_references":[{"source_name":"threatmatch","external_id":"77"}]`),
			named("threat-actor", 2, `,"external_references":[{"source_name":"ThreatMatch","external_id":"78"}]`), link(4, actor, tool), link(5, actor, malware),
		}, Choices{}, tool},
		{"associations that stand on the object", "profiles", []string{
			named("malware", 3, ""), named("tool", 1, ""), named("threat-actor", 2, `,"object_refs":["`+tool+`","`+malware+`"]`),
		}, Choices{}, actor},
		{"a report with another report in it", "reports", []string{
			named("report", 8, ""), named("report", 9, `,"object_refs":["`+ref("report", 8)+`"]`),
		}, Choices{}, ref("report", 9)},
		{"the main object is filtered", "profiles", []string{
			named("tool", 1, ""), named("threat-actor", 2, ""), link(4, actor, tool), link(5, actor, tool),
		}, Choices{Types: []string{"tool"}}, ""},
	} {
		for range 4 {
			c.choices.ProfileLink = "https://p.example/{id}"
			r := mapWith(t, Settings{URL: "https://p.example", Choices: c.choices}, Source{Dataset: c.dataset, ID: "77"},
				`{"objects":[`+strings.Join(c.objects, ",")+`]}`)
			got := ""
			for _, o := range r.Objects {
				if raw, _ := o.Get("external_references"); strings.Contains(string(raw), "p.example") {
					got += o.ID()
				}
			}
			if got != c.want {
				t.Errorf("%s: the address stands on %q, want %q", c.what, got, c.want)
			}
			rand.Shuffle(len(c.objects), func(i, j int) { c.objects[i], c.objects[j] = c.objects[j], c.objects[i] })
		}
	}
}

// TestPortalLinkOnHostileReferences: whatever the references of the object are, the
// address is added once, and none of them is lost.
func TestPortalLinkOnHostileReferences(t *testing.T) {
	const address = "https://p.example/app/reports/view/5"
	for _, c := range []struct {
		given string
		links int
		want  int // references in all
	}{
		{`null`, 1, 1}, {`[]`, 1, 1}, {`"https://e.example/"`, 1, 2}, {`{"source_name":"x","url":"https://e.example/"}`, 1, 2},
		{`[null,7,"text",{}]`, 1, 3}, {`[{"source_name":"ThreatMatch","external_id":"5"}]`, 1, 1},
		{`[{"source_name":"ThreatMatch","external_id":"5","description":"said"}]`, 1, 2},
		{`[{"source_name":"ThreatMatch","external_id":"6"}]`, 1, 2},
		{`[{"source_name":"x","url":"` + address + `"},{"source_name":"y","url":"` + address + `"}]`, 1, 1},
		{`[{"source_name":"x","url":"javascript:alert(1)//` + address + `"}]`, 1, 2},
	} {
		body := `{"objects":[{"type":"report","id":"report--00000000-0000-4000-8000-000000000001","name":"R1","published":"2024-01-01T00:00:00Z","external_references":` + c.given + `}]}`
		o := find(mapWith(t, Settings{URL: "https://p.example/"}, Source{Dataset: "reports", ID: "5"}, body), "report")
		raw, _ := o.Get("external_references")
		var list []map[string]any
		if err := json.Unmarshal(raw, &list); err != nil {
			t.Fatalf("%s became %s: %v", c.given, raw, err)
		}
		if n := strings.Count(string(raw), `"`+address+`"`); n != c.links || len(list) != c.want {
			t.Errorf("%s became %s: %d references with the address %d times, want %d with %d", c.given, raw, len(list), n, c.want, c.links)
		}
	}
}
