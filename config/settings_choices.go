package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Choices are filters, markings and rules for indicators that are off unless they are set.
type Choices struct {
	ProfileLink, AlertLink string // with {id}; "" sets none

	IndicatorScore     *int           // 0-100; nil sets none
	ScoreByType        map[string]int // by main observable type
	DaysByType         map[string]int // by main observable type
	IndicatorDetection bool

	DefaultMarking string            // "PAP:…" or the text of a statement; "" sets none
	TLPLevels      map[string]string // by "dataset", "type" or "dataset:type"
	TLPMax         string            // "" means no ceiling

	// Each entry is for all datasets, or for one if the dataset's name and a colon precede it.
	OnlyTypes, OnlyKinds, OnlyTags, OnlyRatings []string
	OnlyPatternTypes, OnlyObservableTypes       []string
	ModifiedSince                               []string

	TAXIIGroups []string // instead of ThreatMatch.TAXIIGroup; empty keeps that one
	Details     bool     // fetch what the portal shows of profiles and reports, too
}

const (
	anyDataset = `(?:(?:profiles|alerts|reports|iocs):)?`
	stixType   = `[a-z0-9](?:[a-z0-9-]*[a-z0-9])?`
	listValue  = `[^\x00-\x20\x7F,](?:[^\x00-\x1F\x7F,]*[^\x00-\x20\x7F,])?`
	// listForm ends the description of every filter.
	listForm = " with commas between them, each for one dataset with its name and a colon before it"
)

func choiceSettings() []Setting {
	type C = Config
	link := patternText("address", "an http(s) address with {id} in it", `https?://[^\x00-\x20\x7F]*\{id\}[^\x00-\x20\x7F]*`)
	level := `(?:clear|white|green|amber|amber\+strict|red)`
	return []Setting{
		row("threatmatch.profile_link", link, func(c *C) *string { return &c.Choices.ProfileLink }, "",
			"Address at which the portal shows a profile, added to it as a reference; that of reports is known.",
			example("https://eu.threatmatch.com/app/profiles/view/{id}")),
		row("threatmatch.alert_link", link, func(c *C) *string { return &c.Choices.AlertLink }, "",
			"The same for alerts.", example("https://eu.threatmatch.com/app/alerts/view/{id}")),
		row("threatmatch.indicator_score", maybe(intKind(0, 100)), func(c *C) **int { return &c.Choices.IndicatorScore }, "",
			"Score of indicators that have neither a score nor a confidence, nor a rule for their type.", example("50")),
		row("threatmatch.indicator_score_by_type", numbersKind("observable types with = and a score from 0 to 100", `(?:100|[1-9]?[0-9])`),
			func(c *C) *map[string]int { return &c.Choices.ScoreByType }, "",
			"Score of indicators without one, by main observable type.", example("IPv4-Addr=40,Url=60")),
		row("threatmatch.indicator_days_by_type", numbersKind("observable types with = and a number of days", `[1-9][0-9]{0,4}`),
			func(c *C) *map[string]int { return &c.Choices.DaysByType }, "",
			"Days from valid_from to valid_until of indicators without an end, by main observable type.", example("IPv4-Addr=30,Domain-Name=90")),
		row("threatmatch.indicator_detection", boolKind(), func(c *C) *bool { return &c.Choices.IndicatorDetection }, "false",
			"Mark indicators for detection that do not say whether they are."),
		row("threatmatch.default_marking", textKind(), func(c *C) *string { return &c.Choices.DefaultMarking }, "",
			"Marking beside the TLP of objects that come without any: PAP:AMBER and the like, else the text of a statement.", example("PAP:AMBER")),
		row("threatmatch.tlp_levels", pairsKind("datasets, STIX types, or both with a colon, with = and a TLP level, with commas between them", anyDataset+stixType+`=`+level, same, same), func(c *C) *map[string]string { return &c.Choices.TLPLevels }, "",
			"Default levels in place of tlp_level, by dataset, STIX type, or both with a colon between.", example("vulnerability=clear,alerts:report=red")),
		row("threatmatch.tlp_max", wordKind(tlpLevels()...), func(c *C) *string { return &c.Choices.TLPMax }, "",
			"Strictest level that is imported; what is marked stricter, or with a marking that its response does not define, is left out.", example("amber+strict")),
		row("threatmatch.only_types", listKind("STIX types"+listForm, anyDataset+stixType), func(c *C) *[]string { return &c.Choices.OnlyTypes }, "",
			"Types of entities that are imported; relationships go with what they link.", example("malware,intrusion-set,iocs:indicator")),
		row("threatmatch.only_kinds", listKind("kinds"+listForm, listValue), func(c *C) *[]string { return &c.Choices.OnlyKinds }, "",
			"Kinds of profiles, alerts and reports that are imported: by STIX type, or by types such as alert types.", example("alerts:Exploit Alert,alerts:Malware")),
		row("threatmatch.only_tags", listKind("labels"+listForm, listValue), func(c *C) *[]string { return &c.Choices.OnlyTags }, "",
			"Labels of which an item must have one.", example("Financial Services")),
		row("threatmatch.only_ratings", listKind("ratings"+listForm, listValue), func(c *C) *[]string { return &c.Choices.OnlyRatings }, "",
			"Severities, relevances or priorities of which an item must have one, where ThreatMatch gives any.", example("alerts:High,alerts:Critical")),
		row("threatmatch.only_pattern_types", listKind("pattern types"+listForm, listValue), func(c *C) *[]string { return &c.Choices.OnlyPatternTypes }, "",
			"Pattern types of indicators that are imported.", example("stix")),
		row("threatmatch.only_observable_types", listKind("observable types"+listForm, listValue), func(c *C) *[]string { return &c.Choices.OnlyObservableTypes }, "",
			"Main observable types of indicators that are imported; indicators about several or none are.", example("IPv4-Addr,Domain-Name")),
		row("threatmatch.modified_since", listKind("dates of the calendar (YYYY-MM-DD)"+listForm, anyDataset+datePattern),
			func(c *C) *[]string { return &c.Choices.ModifiedSince }, "",
			"Objects that were last modified before are left out.", example("2024-01-01")),
		row("threatmatch.taxii_groups", listKind("names or ids of TAXII groups with commas between them", listValue),
			func(c *C) *[]string { return &c.Choices.TAXIIGroups }, "",
			"TAXII groups that IOCs are read from, in place of taxii_group; no others are, even where none of them is offered.", example("Financial,Own content")),
		row("threatmatch.details", boolKind(), func(c *C) *bool { return &c.Choices.Details }, "false",
			"Also fetch what the portal shows of profiles and reports: aliases, dates, text, links, tags and TLP; PDF files are not fetched."),
	}
}

// checkChoices refuses a ceiling that nothing without a marking would pass.
func (l *loader) checkChoices() {
	c := l.cfg.Choices
	levels := tlpLevels()
	if least := l.cfg.ThreatMatch.TLPLevel; c.TLPMax != "" && slices.Index(levels, least) > max(1, slices.Index(levels, c.TLPMax)) {
		l.problem(Problem{Key: "threatmatch.tlp_max", Value: c.TLPMax, Source: l.origins["threatmatch.tlp_max"],
			Message: "is below threatmatch.tlp_level (" + least + "): nothing that comes without a marking would be imported"})
	}
}

// Filters lists the settings that exclude objects, as they are printed; none if everything is imported.
func (c *Config) Filters() []string {
	var set []string
	for _, s := range table() {
		name, ours := strings.CutPrefix(s.Key, "threatmatch.")
		if !ours || !strings.HasPrefix(name, "only_") && name != "modified_since" && name != "tlp_max" && name != "taxii_groups" {
			continue
		}
		if value := s.get(c); value != "" {
			set = append(set, s.Key+" = "+value)
		}
	}
	return set
}

// numbersKind takes a list of names with a number each.
func numbersKind(allowed, number string) kind[map[string]int] {
	return pairsKind(allowed+", with commas between them", `[A-Za-z0-9][A-Za-z0-9-]*=`+number,
		func(v string) int { n, _ := strconv.Atoi(v); return n }, strconv.Itoa)
}

// pairsKind takes a list of name=value; of equal names the last one counts.
func pairsKind[T any](allowed, pattern string, read func(string) T, write func(T) string) kind[map[string]T] {
	list := listKind(allowed, pattern)
	pairs := func(items []string, err error) (map[string]T, error) {
		if err != nil {
			return nil, err
		}
		m := make(map[string]T, len(items))
		for _, item := range items {
			name, value, _ := strings.Cut(item, "=")
			m[name] = read(value)
		}
		return m, nil
	}
	return kind[map[string]T]{
		name: list.name, allowed: allowed, schema: list.schema,
		items: func(items []string) (map[string]T, error) { return pairs(list.items(items)) },
		parse: func(text string) (map[string]T, error) { return pairs(list.parse(text)) },
		format: func(m map[string]T) string {
			var items []string
			for _, name := range slices.Sorted(maps.Keys(m)) {
				items = append(items, name+"="+write(m[name]))
			}
			return strings.Join(items, ",")
		},
	}
}
