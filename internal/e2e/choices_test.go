package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/threatmatch"
)

// sentObject is what these tests look at of an object that was published.
type sentObject struct {
	ID, Type, Name string
	Aliases        []string
	FirstSeen      string   `json:"first_seen"`
	Markings       []string `json:"object_marking_refs"`
	Refs           []string `json:"object_refs"`
	Source         string   `json:"source_ref"`
	Target         string   `json:"target_ref"`
	Content        string   `json:"x_opencti_content"`
}

// sent reads the objects that the program published from the directory that it
// writes them to beside the queue, the last copy of each id.
func sent(t *testing.T, dir string) map[string]sentObject {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	must(t, err)
	objects := map[string]sentObject{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		must(t, err)
		var file struct {
			Bundle struct{ Objects []sentObject }
		}
		must(t, json.Unmarshal(text, &file))
		for _, o := range file.Bundle.Objects {
			objects[o.ID] = o
		}
	}
	if len(objects) == 0 {
		t.Fatalf("nothing was sent to %s", dir)
	}
	return objects
}

func choicesWorld(t *testing.T, env map[string]string) (*world, string) {
	w := newWorld(t, options{api: threatmatch.Options{Generate: data.Options{Seed: 3, Profiles: 12, Alerts: 8, Reports: 6, IOCs: 60}}})
	dir := t.TempDir()
	w.env["CONNECTOR_SEND_TO_DIRECTORY"], w.env["CONNECTOR_SEND_TO_DIRECTORY_PATH"] = "true", dir
	for k, v := range env {
		w.env[k] = v
	}
	return w, dir
}

// clean checks that the worker had nothing to refuse, such as a reference to
// what a filter took out.
func (w *world) clean() {
	w.t.Helper()
	w.drained()
	for _, v := range w.worker.Violations() {
		w.t.Errorf("violation: %+v", v)
	}
	if c := w.worker.Counts(); c.Messages == 0 || c.Refused+c.Lost > 0 {
		w.t.Errorf("%+v: want messages, and none refused", c)
	}
}

// TestFiltersReachTheQueue wants the filters of the settings to hold for what a
// worker gets, and what they take out to be counted.
func TestFiltersReachTheQueue(t *testing.T) {
	t.Parallel()
	w, dir := choicesWorld(t, map[string]string{
		"THREATMATCH_ONLY_TYPES": "intrusion-set,report,iocs:indicator", "THREATMATCH_TLP_MAX": "amber",
		"THREATMATCH_ONLY_PATTERN_TYPES": "stix", "THREATMATCH_TAXII_GROUPS": "all content",
	})
	w.run(0, "run", "--once")
	w.clean()
	objects := sent(t, dir)
	counts := map[string]int{}
	for _, o := range objects {
		counts[o.Type]++
		switch o.Type {
		case "intrusion-set", "report", "indicator", "relationship", "marking-definition":
		case "identity":
			if o.Name != "Security Alliance" {
				t.Errorf("sent, though filtered: %+v", o)
			}
		default:
			t.Errorf("sent, though filtered: %+v", o)
		}
		for _, ref := range append(o.Refs, o.Source, o.Target) {
			if _, there := objects[ref]; ref != "" && !there {
				t.Errorf("%s refers to %s, which is not sent", o.ID, ref)
			}
		}
	}
	if counts["intrusion-set"] == 0 || counts["report"] == 0 || counts["indicator"] == 0 {
		t.Errorf("sent %v, want some of each type that is wanted", counts)
	}
	if out := w.run(0, "spool", "run", "1", "--json"); !strings.Contains(out, "filtered:types") || !strings.Contains(out, "references_filtered") {
		t.Errorf("the run does not say what was filtered:\n%s", out)
	}
}

// TestDetailsReachTheQueue wants what the portal shows to arrive, also where it
// fails for one item, which then comes without it.
func TestDetailsReachTheQueue(t *testing.T) {
	t.Parallel()
	w, dir := choicesWorld(t, map[string]string{"THREATMATCH_DETAILS": "true"})
	w.api.SetFault(faults.Rule{Name: "no right", Route: "details", ID: "profiles/1", Kind: faults.Answer, Status: 403, Body: `{"message":"This action is unauthorized."}`})
	w.run(0, "run", "--once")
	w.intact()
	known, texts := 0, 0
	for _, o := range sent(t, dir) {
		for _, a := range o.Aliases {
			if strings.HasSuffix(a, " also") && o.FirstSeen != "" {
				known++
			}
		}
		if o.Type == "report" && strings.Contains(o.Content, "As the portal shows") {
			texts++
		}
	}
	if known < 6 || texts == 0 {
		t.Errorf("%d profiles with the portal's aliases and dates, %d reports with its text; want most, and some", known, texts)
	}
	out := w.run(0, "spool", "run", "1")
	if !strings.Contains(out, "fetch.details_failed") || !strings.Contains(out, "details_read") {
		t.Errorf("the run does not say what became of the details:\n%s", out)
	}
	if s := w.api.Stats(); s.Total("details") != 18 {
		t.Errorf("%d requests for details, want one of each profile and report", s.Total("details"))
	}
}
