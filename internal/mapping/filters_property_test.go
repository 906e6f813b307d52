package mapping

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"threatmatch-connector/internal/stix"
)

// filtered is one drawn object of a response, with what the filters look at.
type filtered struct {
	typ, id, modified, level string
	pattern, observable      string   // of an indicator
	refs                     []string // ids that it refers to
	essential                []string // those that it is nothing without
	object                   map[string]any
}

// itemWords is what an item's main object says about itself.
type itemWords struct{ kinds, tags, ratings []string }

func pick(t *rapid.T, name string, from ...string) string {
	return rapid.SampledFrom(from).Draw(t, name)
}

var entityTypes = []string{"malware", "tool", "campaign", "vulnerability", "indicator", "indicator", "indicator", "attack-pattern", "note"}

func drawEntity(t *rapid.T, typ string, n int) *filtered {
	f := &filtered{typ: typ, id: fmt.Sprintf("%s--00000000-0000-4000-8000-%012d", typ, n)}
	f.modified = pick(t, "modified", "2024-01-01", "2024-02-01", "2024-03-01")
	f.level = pick(t, "level", "", "clear", "green", "amber", "amber+strict", "red")
	f.object = map[string]any{"type": typ, "id": f.id, "name": fmt.Sprintf("name %d", n), "created": "2023-12-31T00:00:00.000Z", "modified": f.modified + "T00:00:00.000Z"}
	if f.level != "" {
		level, _ := stix.FindTLP(f.level)
		f.object["object_marking_refs"] = []string{level.ID}
	}
	switch typ {
	case "indicator":
		f.pattern = pick(t, "pattern", "stix", "sigma", "yara")
		f.object["pattern_type"], f.object["pattern"] = f.pattern, "rule"
		if f.pattern == "stix" {
			about := pick(t, "about", "url:Url", "ipv4-addr:IPv4-Addr", "domain-name:Domain-Name", "both:")
			var path string
			path, f.observable, _ = strings.Cut(about, ":")
			f.object["pattern"] = "[" + path + ":value = 'x']"
			if path == "both" {
				f.object["pattern"] = "[url:value = 'x'] OR [ipv4-addr:value = '192.0.2.1']"
			}
		}
	case "note":
		f.object["content"] = "text"
	}
	return f
}

// drawMain draws the object that an item is about, and what it says about itself.
func drawMain(t *rapid.T, dataset string) (*filtered, itemWords) {
	typ := "report"
	if dataset == "profiles" {
		typ = pick(t, "main", "malware", "campaign", "tool")
	}
	main := drawEntity(t, typ, 1)
	main.object["external_references"] = []any{map[string]any{"source_name": "ThreatMatch", "external_id": "7"}}
	w := itemWords{kinds: []string{typ}}
	var labels []string
	say := func(kind, label string) { w.kinds, labels = append(w.kinds, kind), append(labels, label) }
	switch pick(t, "kind", "none", "bare", "topic", "property") {
	case "bare":
		say("Phishing Attempts", "Phishing Attempts")
	case "topic":
		say("DDoS", "Alert type: DDoS")
	case "property":
		if typ == "report" {
			main.object["report_types"] = []string{"Data Leakage"}
			w.kinds = append(w.kinds, "Data Leakage")
		}
	}
	for _, tag := range [...]string{"mine", "Yours", "case: 7"} {
		if rapid.Bool().Draw(t, tag) {
			labels, w.tags = append(labels, tag), append(w.tags, tag)
		}
	}
	switch rating := pick(t, "rating", "", "High", "low"); {
	case rating == "":
	case rapid.Bool().Draw(t, "as label"):
		labels, w.ratings = append(labels, pick(t, "which", "Severity", "Relevance", "priority")+": "+rating), []string{rating}
	default:
		main.object[pick(t, "where", "severity", "x_priority", "x_threatmatch_relevance")], w.ratings = rating, []string{rating}
	}
	w.tags = append(w.tags, labels...)
	main.object["labels"] = labels
	return main, w
}

func drawAnswer(t *rapid.T, dataset string) ([]*filtered, itemWords) {
	main, words := drawMain(t, dataset)
	all := []*filtered{main}
	if dataset == "iocs" {
		all, words = nil, itemWords{}
	}
	for n := range rapid.IntRange(1, 8).Draw(t, "entities") {
		all = append(all, drawEntity(t, pick(t, "type", entityTypes...), 10+n))
	}
	ids := []string{"malware--00000000-0000-4000-8000-000000000099"} // in no answer
	for _, f := range all {
		ids = append(ids, f.id)
	}
	for _, f := range all {
		if f.typ == "report" || f.typ == "note" {
			f.refs = rapid.SliceOfNDistinct(rapid.SampledFrom(ids), 0, 4, func(id string) string { return id }).Draw(t, "refs")
			f.refs = slices.DeleteFunc(f.refs, func(id string) bool { return id == f.id })
			f.object["object_refs"] = f.refs
		}
	}
	for n := range rapid.IntRange(0, 5).Draw(t, "links") {
		a, b := pick(t, "from", ids...), pick(t, "to", ids...)
		if a == b {
			continue
		}
		f := drawEntity(t, pick(t, "link", "relationship", "sighting"), 50+n)
		delete(f.object, "name")
		if f.refs, f.essential = []string{a, b}, []string{a, b}; f.typ == "relationship" {
			f.object["relationship_type"], f.object["source_ref"], f.object["target_ref"] = "related-to", a, b
		} else {
			f.refs, f.essential = []string{a}, []string{a}
			f.object["sighting_of_ref"] = a
		}
		all = append(all, f)
	}
	return rapid.Permutation(all).Draw(t, "order"), words
}

// drawEntries draws the entries of one filter: for all datasets or for some.
func drawEntries(t *rapid.T, name string, values ...string) []string {
	var entries []string
	for range rapid.SampledFrom([]int{0, 0, 1, 2, 4}).Draw(t, name) {
		entries = append(entries, pick(t, "prefix", "", "", "profiles:", "alerts:", "reports:", "iocs:")+pick(t, name, values...))
	}
	return entries
}

// passes is what the documentation says about a filter: a dataset with its own
// entries uses only those, and without any it is not filtered.
func passes(entries []string, dataset string, values ...string) bool {
	var own, others []string
	for _, e := range entries {
		if d, v, ok := strings.Cut(e, ":"); !ok || !slices.Contains(datasets, d) {
			others = append(others, e)
		} else if d == dataset {
			own = append(own, v)
		}
	}
	if own == nil {
		own = others
	}
	return own == nil || slices.ContainsFunc(values, func(v string) bool {
		return slices.ContainsFunc(own, func(o string) bool { return strings.EqualFold(o, v) })
	})
}

// TestPropertyFilters draws responses and all filters at once, and computes
// independently from the documentation what must be sent: exactly that, no
// reference to anything else, and each filter's count.
func TestPropertyFilters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dataset := pick(t, "dataset", datasets...)
		all, words := drawAnswer(t, dataset)
		c := Choices{
			Types:           drawEntries(t, "types", append(entityTypes, "report")...),
			Kinds:           drawEntries(t, "kinds", "malware", "report", "phishing attempts", "DDoS", "Data Leakage"),
			Tags:            drawEntries(t, "tags", "MINE", "yours", "Case: 7"),
			Ratings:         drawEntries(t, "ratings", "high", "LOW", "medium"),
			PatternTypes:    drawEntries(t, "patterns", "stix", "yara"),
			ObservableTypes: drawEntries(t, "observables", "url", "IPv4-Addr"),
			TLPMax:          pick(t, "max", "", "green", "amber", "amber+strict", "red"),
		}
		if rapid.Bool().Draw(t, "since") {
			c.ModifiedSince = []string{pick(t, "for", "", dataset+":") + "2024-02-01"}
		}
		limit, _ := stix.FindTLP(c.TLPMax)

		// The expected result.
		item := ""
		switch {
		case dataset == "iocs":
		case !passes(c.Kinds, dataset, words.kinds...):
			item = "kinds"
		case !passes(c.Tags, dataset, words.tags...):
			item = "tags"
		case len(words.ratings) > 0 && !passes(c.Ratings, dataset, words.ratings...):
			item = "ratings"
		}
		gone, counts, links := map[string]bool{}, map[string]int64{}, 0
		for _, f := range all {
			link := f.typ == "relationship" || f.typ == "sighting"
			level, _ := stix.FindTLP(f.level)
			why := ""
			switch {
			case limit.Rank > 0 && level.Rank > limit.Rank:
				why = "tlp_max"
			case link:
			case !passes(c.Types, dataset, f.typ):
				why = "types"
			case c.ModifiedSince != nil && f.modified < "2024-02-01":
				why = "modified"
			case f.typ == "indicator" && !passes(c.PatternTypes, dataset, f.pattern):
				why = "pattern_types"
			case f.observable != "" && !passes(c.ObservableTypes, dataset, f.observable):
				why = "observable_types"
			default:
				why = item
			}
			if why != "" {
				gone[f.id] = true
				counts["filtered:"+why]++
			}
		}
		nowhere := func(id string) bool { // filtered here, or by its type in every dataset
			typ, _ := stix.SplitID(id)
			never := !slices.ContainsFunc(datasets, func(d string) bool { return passes(c.Types, d, typ) })
			return gone[id] || never && typ != "relationship" && typ != "sighting" && typ != "marking-definition" && id != newAuthor().ID()
		}
		want := map[string]bool{}
		for _, f := range all {
			switch {
			case gone[f.id]:
			case slices.ContainsFunc(f.essential, nowhere):
				links++
			default:
				want[f.id] = true
			}
		}
		if links > 0 {
			counts["filtered:ends"] = int64(links)
		}

		var objects []any
		for _, f := range all {
			objects = append(objects, f.object)
		}
		body, err := json.Marshal(map[string]any{"objects": objects})
		if err != nil {
			t.Fatal(err)
		}
		r := mapWith(t, Settings{TLP: "green", Labels: LabelsNone, Choices: c}, Source{Dataset: dataset, ID: "7"}, string(body))
		checkConserved(t, len(all), r)
		sent := map[string]bool{}
		for _, o := range r.Objects {
			sent[o.ID()] = true
			for _, ref := range o.Refs() {
				if nowhere(ref.ID) {
					t.Errorf("%s refers to %s, which is filtered", o.ID(), ref.ID)
				}
			}
		}
		if got, want := slices.Sorted(maps.Keys(sent)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
			t.Errorf("sent\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
		for _, f := range all { // what may stay has all its references to what stays
			i := slices.IndexFunc(r.Objects, func(o *stix.Object) bool { return o.ID() == f.id })
			if i < 0 || f.essential != nil {
				continue
			}
			left := slices.DeleteFunc(slices.Clone(f.refs), nowhere)
			if got := r.Objects[i].Strings("object_refs"); !slices.Equal(got, left) {
				t.Errorf("%s refers to %v, want %v", f.id, got, left)
			}
		}
		got := map[string]int64{}
		for name, n := range r.Counts {
			if strings.HasPrefix(name, "filtered:") {
				got[name] = n
			}
		}
		if !maps.Equal(got, counts) {
			t.Errorf("counted %v, want %v", got, counts)
		}
	})
}
