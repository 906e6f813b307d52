package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/moment"
	"threatmatch-connector/internal/stix"
)

// Choices are settings that are off by default: the zero value changes nothing.
type Choices struct {
	// ProfileLink and AlertLink are the addresses at which the portal shows an
	// item, with {id} for its id. Reports need none; see Settings.URL.
	ProfileLink, AlertLink string

	// Score is the x_opencti_score of indicators that have neither a score nor a
	// confidence nor a rule in ScoreByType; nil sets none.
	Score *int
	// ScoreByType and DaysByType are rules by main observable type ("IPv4-Addr")
	// for indicators without a score or an end: the score, and the days from
	// valid_from to valid_until.
	ScoreByType, DaysByType map[string]int
	// Detection marks indicators for detection if they do not say whether they are.
	Detection bool

	// DefaultMarking is a marking besides the TLP for objects without any: "PAP:…",
	// else the text of a statement.
	DefaultMarking string
	// TLPLevels are default levels instead of Settings.TLP, by "dataset", "type" or
	// "dataset:type"; the most specific one applies.
	TLPLevels map[string]string
	// TLPMax leaves out objects marked with a stricter level, or with a marking
	// that the response does not define.
	TLPMax string

	// Filters. Each entry is a value for all datasets, or "dataset:value"; a
	// dataset with its own entries uses only those. An empty list filters nothing.
	Types           []string // STIX types of entities
	Kinds           []string // of the item's main object: its STIX type, or a type such as its report_types
	Tags            []string // labels of the item's main object
	Ratings         []string // severity, relevance or priority of the main object, where it has one
	PatternTypes    []string // of indicators
	ObservableTypes []string // main observable types of indicators; those without one pass
	ModifiedSince   []string // dates
}

var datasets = []string{"profiles", "alerts", "reports", "iocs"}

// choice is one filter: the allowed values by dataset; "" for datasets without
// their own.
type choice map[string][]string

func newChoice(entries []string) choice {
	c := choice{}
	for _, e := range entries {
		dataset, value, ok := strings.Cut(e, ":")
		if !ok || !slices.Contains(datasets, dataset) {
			dataset, value = "", e
		}
		c[dataset] = append(c[dataset], fold(value))
	}
	return c
}

// of returns the allowed values for a dataset, nil if it is not filtered.
func (c choice) of(dataset string) []string {
	if own, ok := c[dataset]; ok {
		return own
	}
	return c[""]
}

// pass reports whether one of the values is allowed.
func (c choice) pass(dataset string, values ...string) bool {
	allowed := c.of(dataset)
	return allowed == nil || slices.ContainsFunc(values, func(v string) bool { return slices.Contains(allowed, fold(v)) })
}

// never reports whether a value is allowed in no dataset.
func (c choice) never(value string) bool {
	return len(c) > 0 && !slices.ContainsFunc(datasets, func(d string) bool { return c.pass(d, value) })
}

// choices are Choices, parsed.
type choices struct {
	Choices
	types, kinds, tags, ratings, patterns, observables choice
	since                                              map[string]time.Time
	levels                                             map[string]stix.TLP
	max                                                stix.TLP
	marking                                            *stix.Object
}

// filters reports whether any filter or the TLP limit is set.
func (c *choices) filters() bool {
	return len(c.types)+len(c.kinds)+len(c.tags)+len(c.ratings)+len(c.patterns)+len(c.observables)+len(c.since) > 0 ||
		c.max.Rank > 0
}

func newChoices(s Settings, standard stix.TLP) (*choices, error) {
	c := &choices{Choices: s.Choices, kinds: newChoice(s.Kinds), tags: newChoice(s.Tags),
		ratings: newChoice(s.Ratings), patterns: newChoice(s.PatternTypes), observables: newChoice(s.ObservableTypes),
		since: map[string]time.Time{}, levels: map[string]stix.TLP{}}
	types := slices.Clone(s.Types)
	if s.ThreatActorAsIntrusionSet {
		for i, t := range types {
			if before, ok := strings.CutSuffix(t, "threat-actor"); ok {
				types[i] = before + "intrusion-set"
			}
		}
	}
	c.types = newChoice(types)
	for _, e := range s.ModifiedSince {
		dataset, date, ok := strings.Cut(e, ":")
		if !ok {
			dataset, date = "", e
		}
		t, err := time.Parse(time.DateOnly, date)
		if err != nil || dataset != "" && !slices.Contains(datasets, dataset) {
			return nil, fmt.Errorf("modified since %q: not a date, or a dataset and a date with a colon between", e)
		}
		c.since[dataset] = t
	}
	for _, key := range slices.Sorted(maps.Keys(s.TLPLevels)) {
		t, ok := stix.FindTLP(s.TLPLevels[key])
		if !ok {
			return nil, fmt.Errorf("tlp level %q of %s: not one of clear, white, green, amber, amber+strict, red", s.TLPLevels[key], key)
		}
		c.levels[key] = t
	}
	if s.TLPMax != "" {
		var ok bool
		if c.max, ok = stix.FindTLP(s.TLPMax); !ok {
			return nil, fmt.Errorf("tlp max %q: not one of clear, white, green, amber, amber+strict, red", s.TLPMax)
		}
		if standard.Rank > c.max.Rank {
			return nil, fmt.Errorf("tlp max %q is below the default level %q: nothing without a marking would pass", s.TLPMax, s.TLP)
		}
	}
	c.marking = defaultMarking(s.DefaultMarking)
	return c, nil
}

func defaultMarking(text string) *stix.Object {
	if text == "" {
		return nil
	}
	kind := "statement"
	if _, ok := cutFold(text, "pap:"); ok {
		kind, text = "PAP", strings.ToUpper(text)
	}
	o := stix.New("marking-definition", stix.MarkingID(kind, text))
	o.Set("created", epoch)
	o.Set("definition_type", "statement")
	o.Set("definition", map[string]string{"statement": text})
	o.Set("x_opencti_definition_type", kind)
	o.Set("x_opencti_definition", text)
	return o
}

// defaultLevel returns the level for an object of the type without a marking.
func (m *Mapper) defaultLevel(dataset, typ string) stix.TLP {
	for _, key := range [...]string{dataset + ":" + typ, typ, dataset} {
		if t, ok := m.choices.levels[key]; ok {
			return t
		}
	}
	return m.tlp
}

// defaultMarkings returns the markings for an object of the type without a marking.
func (m *Mapper) defaultMarkings(dataset, typ string) []string {
	list := []string{m.defaultLevel(dataset, typ).ID}
	if m.choices.marking != nil {
		list = append(list, m.choices.marking.ID())
	}
	return list
}

// Unfill removes the default author and the default markings from an object that
// was mapped before. Nothing else shows what was filled in and what the source
// said.
func (m *Mapper) Unfill(dataset string, o *stix.Object) {
	for _, key := range [...]string{"created_by_ref", "x_opencti_created_by_ref"} {
		if o.String(key) == m.author.ID() {
			o.Delete(key)
		}
	}
	if slices.Equal(o.Strings("object_marking_refs"), m.defaultMarkings(dataset, o.Type())) {
		o.Delete("object_marking_refs")
	}
}

// complete adds what every object of its type needs: author, markings, and
// confidence for relationships.
func (r *record) complete(o *stix.Object) {
	r.m.EnsureAuthor(o)
	if !o.Has("object_marking_refs") && !plain(o.Type()) {
		o.Fill("object_marking_refs", r.m.defaultMarkings(r.src.Dataset, o.Type()))
		r.usesMarking = r.m.choices.marking != nil
	}
	if r.m.confidence > 0 && o.Type() == "relationship" && !o.Has("confidence") {
		o.Fill("confidence", r.m.confidence)
	}
}

// life sets an indicator's score and end, from the source or by rule.
func (r *record) life(o *stix.Object) {
	c, kind := r.m.choices, o.String("x_opencti_main_observable_type")
	if !o.Has("x_opencti_score") && !scoreInExtension(o) {
		score, byRule := c.ScoreByType[kind]
		confidence, given := o.Get("confidence")
		switch {
		case byRule:
			o.Fill("x_opencti_score", score)
		case given:
			o.Set("x_opencti_score", confidence)
		case c.Score != nil:
			o.Fill("x_opencti_score", *c.Score)
		}
		if o.Has("x_opencti_score") {
			r.count("defaults", 1, "x_opencti_score")
		}
	}
	if days := c.DaysByType[kind]; days > 0 && !o.Has("valid_until") {
		if from, ok := moment.Parse(o.String("valid_from")); ok {
			if until := from.Time.AddDate(0, 0, days); until.Year() <= 9999 {
				r.fill(o, "valid_until", moment.Format(until))
			}
		}
	}
	if c.Detection {
		r.fill(o, "x_opencti_detection", true)
	}
}

func scoreInExtension(o *stix.Object) bool {
	extensions, _ := o.Get("extensions")
	ours, _ := stix.Member(extensions, extensionOpenCTI)
	_, ok := stix.Member(ours, "score")
	return ok
}
