package mapping

import (
	"html"
	"iter"
	"strings"

	"threatmatch-connector/internal/stix"
)

// lines yields the lines of a list that are not blank.
func lines(list string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(list) {
			if line = strings.TrimSpace(line); line != "" && !yield(line) {
				return
			}
		}
	}
}

// labelKeys are the properties from which OpenCTI makes labels.
var labelKeys = [...]string{"labels", "x_opencti_labels"}

// topic is what a label is about.
type topic string

const (
	anyTopic   topic = ""
	sector     topic = "sector"
	target     topic = "place"
	origin     topic = "origin"
	motivation topic = "motivation"
	kindOf     topic = "type" // malware type, alert type, incident type
	tlpTopic   topic = "tlp"
)

// topics gives the topic of what stands before the value in labels such as
// "Sector: Technology" or threatmatch:sector="Technology".
var topics = map[string]topic{
	"sector": sector, "sectors": sector, "industry": sector, "industries": sector, "targeted sector": sector,
	"targeted sectors": sector, "target sector": sector, "targeted industry": sector, "victim sector": sector,
	"country": target, "countries": target, "region": target, "regions": target, "location": target,
	"targeted country": target, "targeted countries": target, "target country": target, "target countries": target,
	"targeted region": target, "targeted regions": target, "target region": target, "targeted location": target,
	"victim country": target, "target": target, "targets": target, "geography": target,
	"origin": origin, "country of origin": origin, "origin country": origin, "suspected origin": origin,
	"region of origin": origin, "source country": origin, "suspected country of origin": origin,
	"motivation": motivation, "motivations": motivation, "motive": motivation, "primary motivation": motivation,
	"secondary motivation": motivation, "actor motivation": motivation,
	"malware type": kindOf, "malware types": kindOf, "alert type": kindOf, "incident type": kindOf, "type": kindOf,
	"report type": kindOf,
	"tlp":         tlpTopic,
}

// learn turns the labels of an object into knowledge, by the setting.
func (r *record) learn(o *stix.Object) {
	for _, key := range labelKeys {
		if !o.Has(key) {
			continue
		}
		labels := o.Strings(key)
		if r.m.settings.Labels != LabelsAll {
			o.Delete(key)
		}
		if r.m.settings.Labels == LabelsNone {
			r.count("labels_dropped", len(labels))
			continue
		}
		for _, l := range labels {
			if t := r.learnLabel(o, l); t != anyTopic {
				r.count("labels_mapped", 1, string(t))
			} else if r.m.settings.Labels != LabelsAll {
				r.count("labels_dropped", 1)
			}
		}
	}
}

// learnLabel returns what the label turned out to be about; anyTopic when
// nothing could be made of it.
func (r *record) learnLabel(o *stix.Object, label string) topic {
	if _, said := readTLP(label); said != silent {
		return tlpTopic // marked already
	}
	about, value := splitLabel(label)
	if about != anyTopic {
		if r.learnValue(o, about, value) {
			return about
		}
		return anyTopic
	}
	for _, t := range [...]topic{sector, kindOf, motivation, target} {
		if r.learnPlain(o, t, value) {
			return t
		}
	}
	return anyTopic
}

// splitLabel takes the topic off a label. Labels without one, or with one that
// is not known, are returned whole.
func splitLabel(label string) (topic, string) {
	label = strings.TrimSpace(html.UnescapeString(label))
	if rest, ok := cutFold(label, "threatmatch:"); ok {
		label = strings.TrimSpace(rest)
	}
	for _, mark := range [...]string{"=", ":", " - "} {
		if before, value, ok := strings.Cut(label, mark); ok {
			if i := strings.LastIndexByte(before, ':'); i >= 0 {
				before = before[i+1:]
			}
			if t, known := topics[fold(before)]; known {
				return t, strings.Trim(strings.TrimSpace(value), `"`)
			}
		}
	}
	return anyTopic, label
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// learnValue applies a value whose topic the label names. Several places may
// stand in one label.
func (r *record) learnValue(o *stix.Object, about topic, value string) bool {
	switch about {
	case sector:
		if name, known := sectorTerms.find(value); known {
			return r.learnSector(o, name)
		}
		name := strings.Join(strings.Fields(value), " ")
		return len(name) > 1 && r.learnFreeSector(o, name)
	case target, origin:
		if p := r.m.places.find(value, true); p != nil {
			return r.learnPlace(o, p, about)
		}
		some := false
		for part := range strings.FieldsFuncSeq(value, func(c rune) bool { return c == ',' || c == ';' || c == '/' }) {
			if p := r.m.places.find(part, true); p != nil {
				some = r.learnPlace(o, p, about) || some
			}
		}
		return some
	case motivation, kindOf:
		return r.learnPlain(o, about, value)
	}
	return false
}

// learnPlain tries one topic on a label that does not say its topic.
func (r *record) learnPlain(o *stix.Object, about topic, value string) bool {
	switch about {
	case sector:
		name, ok := sectorTerms.find(value)
		return ok && r.learnSector(o, name)
	case target:
		p := r.m.places.find(value, false)
		return p != nil && r.learnPlace(o, p, target)
	case motivation:
		motive, ok := motivationTerms.find(value)
		if !ok || o.Type() != "intrusion-set" && o.Type() != "threat-actor" {
			return false
		}
		addMotivation(o, motive)
		return true
	case kindOf:
		return learnType(o, value)
	}
	return false
}

// learnType notes a type in the property that objects of its kind have for it.
func learnType(o *stix.Object, value string) bool {
	var list terms
	key := ""
	switch o.Type() {
	case "malware":
		list, key = malwareTerms, "malware_types"
	case "tool":
		list, key = malwareTerms, "tool_types"
	case "report":
		list, key = alertTerms, "report_types"
	case "incident":
		typ, ok := incidentTerms.find(value)
		if ok && !o.Has("incident_type") {
			o.Set("incident_type", typ)
		}
		return ok
	}
	typ, ok := list.find(value)
	if ok {
		o.AddRef(key, typ)
	}
	return ok
}
