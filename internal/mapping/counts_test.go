package mapping_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/sim/data"
)

// tally is what the rules did to one set of data.
type tally struct {
	name                           string
	items, elements, objects, dead int64
	counts                         mapping.Counts
}

func (c *tally) add(m *mapping.Mapper, src mapping.Source, objects []json.RawMessage) {
	body, _ := json.Marshal(map[string]any{"objects": objects})
	r := m.Map(src, body)
	kinds := map[string]string{}
	for _, o := range r.Objects {
		kinds[o.ID()] = mapping.Kind(o)
	}
	for _, o := range r.Objects {
		for name, n := range m.Settle(o, func(id string) string { return kinds[id] }) {
			r.Counts[name] += n
		}
	}
	c.items++
	c.elements += int64(len(objects))
	c.objects += int64(len(r.Objects))
	c.dead += int64(len(r.Dead))
	for name, n := range r.Counts {
		kind, _, _ := strings.Cut(name, ":")
		c.counts[kind] += n
	}
}

// left is how many elements should be in the result according to the counts, but
// are not.
func (c *tally) left() int64 {
	n := c.elements + c.counts["generated"] - c.objects - c.dead
	for _, row := range mapping.CountTable() {
		if row.Effect == "left out" {
			n -= c.counts[row.Name]
		}
	}
	return n
}

// generatedItems counts what the rules do to 2,000 items of the stand-in.
func generatedItems(m *mapping.Mapper) *tally {
	g := data.NewGenerated(data.Options{
		Seed: 17, Profiles: 1000, Alerts: 600, Reports: 400, Start: time.Date(2026, 3, 1, 11, 22, 33, 0, time.UTC), Quirks: data.RealisticQuirks(),
	})
	c := &tally{name: "2,000 generated items", counts: mapping.Counts{}}
	for _, d := range []data.Dataset{data.Profiles, data.Alerts, data.Reports} {
		for e := range g.Entries(d) {
			objects, _ := g.Item(d, e.ID)
			c.add(m, mapping.Source{Dataset: string(d), ID: fmt.Sprint(e.ID)}, objects)
		}
	}
	return c
}

// TestRuleCounts counts what each rule of the mapping does to generated items, and
// to the bundles in the directory RULE_COUNTS, one item each: nothing is lost
// uncounted. With -v it prints the table; see make rule-counts.
func TestRuleCounts(t *testing.T) {
	m, err := mapping.New(mapping.Settings{ThreatActorAsIntrusionSet: true, URL: "https://tm.example"})
	if err != nil {
		t.Fatal(err)
	}
	var sets []*tally
	files, err := filepath.Glob(filepath.Join(os.Getenv("RULE_COUNTS"), "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var bundle struct{ Objects []json.RawMessage }
		if err := json.Unmarshal(text, &bundle); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		c := &tally{name: filepath.Base(file), counts: mapping.Counts{}}
		c.add(m, mapping.Source{Dataset: "profiles", ID: "1"}, bundle.Objects)
		sets = append(sets, c)
	}
	generated := generatedItems(m)
	sets = append(sets, generated)
	for _, c := range sets {
		if n := c.left(); n != 0 {
			t.Errorf("%s: %d of %d elements are neither sent, dead nor counted", c.name, n, c.elements)
		}
	}
	if generated.items != 2000 || generated.objects < 10_000 {
		t.Errorf("generated: %d items with %d objects, want 2,000 with many", generated.items, generated.objects)
	}
	for _, rule := range []string{"actors_converted", "associated_content", "labels_mapped", "html_converted", "type_unknown", "tlp_id_rewritten", "defaults"} {
		if generated.counts[rule] == 0 {
			t.Errorf("generated: the rule %s did nothing", rule)
		}
	}
	t.Log("\n" + ruleTable(sets))
}

func ruleTable(sets []*tally) string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, value func(*tally) int64) {
		if !slices.ContainsFunc(sets, func(c *tally) bool { return value(c) != 0 }) {
			return
		}
		_, _ = fmt.Fprint(w, name, "\t")
		for _, c := range sets {
			_, _ = fmt.Fprint(w, value(c), "\t")
		}
		_, _ = fmt.Fprintln(w)
	}
	_, _ = fmt.Fprint(w, "\t")
	for _, c := range sets {
		_, _ = fmt.Fprint(w, c.name, "\t")
	}
	_, _ = fmt.Fprintln(w)
	row("items", func(c *tally) int64 { return c.items })
	row("elements", func(c *tally) int64 { return c.elements })
	row("objects sent", func(c *tally) int64 { return c.objects })
	row("dead letters", func(c *tally) int64 { return c.dead })
	for _, r := range mapping.CountTable() {
		row(r.Name+" ("+r.Effect+")", func(c *tally) int64 { return c.counts[r.Name] })
	}
	_ = w.Flush()
	var never []string
	for _, r := range mapping.CountTable() {
		if !slices.ContainsFunc(sets, func(c *tally) bool { return c.counts[r.Name] != 0 }) {
			never = append(never, r.Name)
		}
	}
	return b.String() + "nothing to do for: " + strings.Join(never, ", ") + "\n"
}
