package mapping

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"threatmatch-connector/internal/stix"
)

// TestPropertyNeutralChoices: choices that exclude nothing and set nothing do not
// change a byte of the results for the golden inputs and random responses; neither
// do disabled ones, which the golden files check.
func TestPropertyNeutralChoices(t *testing.T) {
	score := 50
	rapid.Check(t, func(t *rapid.T) {
		var elements []any
		for range rapid.IntRange(0, 12).Draw(t, "objects") {
			elements = append(elements, drawObject(t))
		}
		body, err := json.Marshal(map[string]any{"objects": elements})
		if err != nil {
			t.Fatal(err)
		}
		settings := drawSettings(t)
		src := Source{Dataset: rapid.SampledFrom(datasets).Draw(t, "dataset"), ID: "1"}
		other := "iocs:"
		if src.Dataset == "iocs" {
			other = "alerts:"
		}
		off := mapWith(t, settings, src, string(body))
		settings.Choices = rapid.SampledFrom([]Choices{
			{Types: append([]string{other + "malware"}, drawnTypes...)},
			{Kinds: []string{other + "malware"}, Tags: []string{other + "x"}, Ratings: []string{"high"}},
			{PatternTypes: []string{"stix"}, ObservableTypes: []string{"Url"}, ModifiedSince: []string{"1970-01-01", other + "2030-01-01"}},
			{ScoreByType: map[string]int{"Mutex": 1}, DaysByType: map[string]int{"Mutex": 1}},
			{TLPLevels: map[string]string{other[:len(other)-1]: "red", "course-of-action": "red"}},
			{AlertLink: "", ProfileLink: ""},
		}).Draw(t, "choices")
		if on := mapWith(t, settings, src, string(body)); show(on) != show(off) {
			t.Errorf("%+v changed\n%s\nto\n%s", settings.Choices, show(off), show(on))
		}
		settings.Choices = Choices{Score: &score, Detection: true}
		for _, o := range mapWith(t, settings, src, string(body)).Objects {
			if o.Type() != "indicator" && (o.Has("x_opencti_score") || o.Has("x_opencti_detection")) {
				t.Errorf("rules of indicators changed %s", o.AppendJSON(nil))
			}
		}
	})
}

// TestPropertyIndicatorLife draws what an indicator says and which rules there are.
// The score is the source's own, else from the rule for its type, else its
// confidence, else the setting; the end is the source's, else a number of days
// after its start.
func TestPropertyIndicatorLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maybe := func(name string) *int {
			if !rapid.Bool().Draw(t, name) {
				return nil
			}
			n := rapid.IntRange(0, 100).Draw(t, name+" value")
			return &n
		}
		own, rule, confidence, setting := maybe("own"), maybe("rule"), maybe("confidence"), maybe("setting")
		days, ends, detects := maybe("days"), rapid.Bool().Draw(t, "ends"), maybe("detection")
		from := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 700).Draw(t, "from"))
		more := ""
		add := func(key string, n *int) {
			if n != nil {
				more += fmt.Sprintf(`,%q:%d`, key, *n)
			}
		}
		add("x_opencti_score", own)
		add("confidence", confidence)
		until := from.Add(time.Hour)
		if ends {
			more += fmt.Sprintf(`,"valid_until":%q`, until.Format(time.RFC3339))
		}
		if detects != nil {
			more += fmt.Sprintf(`,"x_opencti_detection":%v`, *detects%2 == 0)
		}
		c := Choices{Score: setting, Detection: rapid.Bool().Draw(t, "detect")}
		if rule != nil {
			c.ScoreByType = map[string]int{"Url": *rule}
		}
		if days != nil {
			c.DaysByType = map[string]int{"Url": *days}
		}
		o := find(mapWith(t, Settings{Choices: c}, Source{Dataset: "iocs"}, fmt.Sprintf(`{"objects":[{"type":"indicator","id":"indicator--00000000-0000-4000-8000-000000000001",
			"name":"I1","created":"2024-01-02T03:04:05.000Z","modified":"2024-01-02T03:04:05.000Z","valid_from":%q,"pattern_type":"stix","pattern":"[url:value='x']"%s}]}`, from.Format(time.RFC3339), more)), "indicator")
		want := "none"
		for _, n := range []*int{own, rule, confidence, setting} {
			if n != nil {
				want = fmt.Sprint(*n)
				break
			}
		}
		got := "none"
		if raw, ok := o.Get("x_opencti_score"); ok {
			got = string(raw)
		}
		if got != want {
			t.Errorf("score %s, want %s: %s", got, want, o.AppendJSON(nil))
		}
		end := time.Time{}
		switch {
		case ends:
			end = until
		case days != nil && *days > 0:
			end = from.AddDate(0, 0, *days)
		}
		if at, _ := time.Parse(time.RFC3339, o.String("valid_until")); !at.Equal(end) {
			t.Errorf("valid until %s, want %s", o.String("valid_until"), end)
		}
		raw, _ := o.Get("x_opencti_detection")
		if got, want := string(raw) == "true", detects == nil && c.Detection || detects != nil && *detects%2 == 0; got != want {
			t.Errorf("detection %v, want %v", got, want)
		}
	})
}

// TestPropertyDefaultMarkings draws levels by dataset and type and an additional
// marking: the most specific one applies, only if the source says nothing, and
// every marking of an object is sent or standard.
func TestPropertyDefaultMarkings(t *testing.T) {
	levels := []string{"clear", "green", "amber", "amber+strict", "red"}
	types := []string{"malware", "vulnerability", "tool"}
	rapid.Check(t, func(t *rapid.T) {
		dataset := pick(t, "dataset", datasets...)
		c := Choices{TLPLevels: map[string]string{}, DefaultMarking: pick(t, "beside", "", "For members", "PAP:AMBER", "pap:red")}
		for _, key := range []string{dataset, "malware", "vulnerability", dataset + ":malware", dataset + ":tool", "alerts:malware"} {
			if rapid.Bool().Draw(t, key) {
				c.TLPLevels[key] = pick(t, "level of "+key, levels...)
			}
		}
		standard := pick(t, "standard", levels...)
		var objects []any
		given := map[string]string{}
		for n, typ := range types {
			f := drawEntity(t, typ, n)
			given[f.id] = f.level
			objects = append(objects, f.object)
		}
		body, _ := json.Marshal(map[string]any{"objects": objects})
		r := mapWith(t, Settings{TLP: standard, Choices: c}, Source{Dataset: dataset, ID: "1"}, string(body))
		sent := map[string]bool{}
		for _, o := range r.Objects {
			sent[o.ID()] = true
		}
		for _, o := range r.Objects {
			level, ok := given[o.ID()]
			if !ok {
				continue
			}
			entries := 1
			if level == "" {
				level = standard
				for _, key := range []string{dataset, o.Type(), dataset + ":" + o.Type()} {
					if l := c.TLPLevels[key]; l != "" {
						level = l
					}
				}
				if c.DefaultMarking != "" {
					entries = 2
				}
			}
			want, _ := stix.FindTLP(level)
			refs := o.Strings("object_marking_refs")
			if len(refs) != entries || refs[0] != want.ID {
				t.Errorf("%s %s is marked %v, want %s and %d in all", dataset, o.Type(), refs, level, entries)
			}
			for _, id := range refs {
				if !sent[id] && !stix.StandardTLP(id) {
					t.Errorf("%s is marked with %s, which is nowhere", o.ID(), id)
				}
			}
		}
	})
}
