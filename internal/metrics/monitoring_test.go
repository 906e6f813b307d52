package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"threatmatch-connector/internal/pipeline/mapstage"
)

const monitoring = "../../deploy/monitoring/"

// metricsIn returns the names of metrics in a PromQL expression.
func metricsIn(expr string) []string {
	for _, cut := range []string{
		`"[^"]*"`,                 // texts
		`\{[^}]*\}`, `\[[^\]]*\]`, // labels and ranges
		`\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)`, // names of labels
	} {
		expr = regexp.MustCompile(cut).ReplaceAllString(expr, " ")
	}
	var names []string
	for _, m := range regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*(\s*\()?`).FindAllString(expr, -1) {
		switch {
		case strings.HasSuffix(m, "("), slices.Contains([]string{"and", "or", "unless", "bool", "offset"}, m): // functions and operators
		default:
			names = append(names, m)
		}
	}
	return names
}

func TestMetricsInExpressions(t *testing.T) {
	got := metricsIn(`sum by (le, route) (rate(a_bucket{x="b_c"}[5m])) > on (job) group_left () 3 * clamp_min(d_total > 0, 3600) and e`)
	if want := []string{"a_bucket", "d_total", "e"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// checkExpressions checks that every metric in the expressions exists.
func checkExpressions(t *testing.T, where string, exprs []string) {
	t.Helper()
	known := map[string]bool{"process_resident_memory_bytes": true, "process_cpu_seconds_total": true, "go_memstats_heap_inuse_bytes": true, "go_goroutines": true}
	for _, m := range All() {
		known[m.Name] = true
		if m.Type == "histogram" {
			known[m.Name+"_bucket"], known[m.Name+"_sum"], known[m.Name+"_count"] = true, true, true
		}
	}
	if len(exprs) == 0 {
		t.Fatalf("%s: no expression", where)
	}
	for _, e := range exprs {
		names := metricsIn(e)
		if len(names) == 0 {
			t.Errorf("%s: no metric in %q", where, e)
		}
		for _, n := range names {
			if !known[n] {
				t.Errorf("%s: no metric %s, in %q", where, n, e)
			}
		}
	}
}

func TestRulesNameMetricsThatExist(t *testing.T) {
	raw, err := os.ReadFile(monitoring + "threatmatch.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(raw, &rules); err != nil {
		t.Fatal(err)
	}
	var exprs []string
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			exprs = append(exprs, r.Expr)
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s does not say what it means and what to do", r.Alert)
			}
		}
	}
	checkExpressions(t, "rules", exprs)
}

func TestDashboardNamesMetricsThatExist(t *testing.T) {
	raw, err := os.ReadFile(monitoring + "threatmatch-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var status struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(raw, &status); err != nil {
		t.Fatal(err)
	}
	var exprs []string
	ids := map[int]bool{}
	for _, p := range status.Panels {
		if ids[p.ID] {
			t.Errorf("panel %d twice", p.ID)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			exprs = append(exprs, target.Expr)
		}
	}
	checkExpressions(t, "dashboard", exprs)
}

// Every kind of event that rules and dashboard select is one that map counts.
func TestKindsOfEventsExist(t *testing.T) {
	for _, file := range []string{"threatmatch.rules.yml", "threatmatch-dashboard.json"} {
		raw, err := os.ReadFile(monitoring + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`kind=~?\\?"([a-z_|]+)`).FindAllStringSubmatch(string(raw), -1) {
			for kind := range strings.SplitSeq(m[1], "|") {
				if !slices.Contains(mapKinds(), kind) {
					t.Errorf("%s: no kind %q", file, kind)
				}
			}
		}
	}
}

func mapKinds() []string {
	var kinds []string
	for _, c := range mapstage.Counters() {
		kinds = append(kinds, c.Name)
	}
	return kinds
}
