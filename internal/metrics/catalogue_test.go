package metrics

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated documents")

// golden compares a generated file with what the source makes.
func golden(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the source gives; run: go test ./internal/metrics -update (%v)", path, err)
	}
}

func TestMetricsDocument(t *testing.T) {
	var doc bytes.Buffer
	doc.WriteString("# Metrics\n\nServed on `/metrics` when `CONNECTOR_EXPOSE_METRICS` is true, on `CONNECTOR_METRICS_PORT` (9095) of\n" +
		"`CONNECTOR_METRICS_ADDRESS` (all interfaces). `CONNECTOR_METRICS_NAMESPACE` and `CONNECTOR_METRICS_SUBSYSTEM` stand\n" +
		"before every name when they are set. Beside these there are the metrics of the Go runtime and of the process\n" +
		"(`go_*`, `process_*`). This file is generated.\n")
	for _, part := range []struct {
		title string
		ours  bool
	}{{"Those of every OpenCTI connector", false}, {"Our own", true}} {
		fmt.Fprintf(&doc, "\n## %s\n\n| name | type | labels | meaning |\n|---|---|---|---|\n", part.title)
		for _, m := range All() {
			if strings.HasPrefix(m.Name, "threatmatch_") != part.ours {
				continue
			}
			fmt.Fprintf(&doc, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.Join(m.Labels, ", "), m.Help)
		}
	}
	doc.WriteString("\n## Counters of a run\n\nWhat `spool run ID` shows. Those from `map.records` to `map.dead` are also the kinds of\n`threatmatch_map_events_total`.\n\n| name | meaning |\n|---|---|\n")
	for _, c := range runCounters() {
		fmt.Fprintf(&doc, "| `%s` | %s |\n", c.Name, strings.NewReplacer("<", "\\<", ">", "\\>").Replace(c.Text))
	}
	golden(t, "../../deploy/METRICS.md", doc.Bytes())
}

// The sample is what promtool checks.
func TestMetricsSample(t *testing.T) {
	var text bytes.Buffer
	for _, m := range All() {
		labels := ""
		for i, l := range m.Labels {
			labels += map[bool]string{true: ",", false: ""}[i > 0] + l + `="x"`
		}
		fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %s %s\n", m.Name, m.Help, m.Name, m.Type)
		switch m.Type {
		case "histogram":
			comma := map[bool]string{true: ",", false: ""}[labels != ""]
			fmt.Fprintf(&text, "%s_bucket{%s%sle=\"+Inf\"} 0\n%s_sum{%s} 0\n%s_count{%s} 0\n", m.Name, labels, comma, m.Name, labels, m.Name, labels)
		default:
			fmt.Fprintf(&text, "%s{%s} 0\n", m.Name, labels)
		}
	}
	golden(t, "testdata/metrics.txt", text.Bytes())
}

func TestMetricsAreNamedOnceAndExplained(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range All() {
		if seen[m.Name] || m.Help == "" || !strings.HasSuffix(m.Help, ".") {
			t.Errorf("got %+v, want a name that is not taken and a sentence of help", m)
		}
		seen[m.Name] = true
	}
	for _, name := range []string{ // those that every OpenCTI connector has
		"bundles_sent_total", "records_sent_total", "runs_total", "ping_api_total", "ping_api_errors_total",
		"errors_total", "client_errors_total", "state",
		"threatmatch_fetch_tries_total", "threatmatch_map_events_total", // the source of the rates
	} {
		if !seen[name] {
			t.Errorf("no metric %s", name)
		}
	}
}
