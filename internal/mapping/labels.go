package mapping

import (
	"cmp"
	"html"
	"iter"
	"regexp"
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
	somewhere  topic = "place"  // a place, in whatever role
	victim     topic = "target" // a place that is surely a target
	origin     topic = "origin"
	motivation topic = "motivation"
	kindOf     topic = "type" // malware type, alert type, incident type
	tlpTopic   topic = "tlp"
)

// topics gives the topic of what stands before the value in labels such as
// "Sector: Technology" or threatmatch:sector="Technology".
var topics = map[string]topic{
	"sector": sector, "sectors": sector, "industry": sector, "industries": sector, "targeted sector": sector,
	"targeted sectors": sector, "target sector": sector, "target sectors": sector, "targeted industry": sector,
	"targeted industries": sector, "victim sector": sector, "victim sectors": sector,
	"country": somewhere, "countries": somewhere, "region": somewhere, "regions": somewhere, "location": somewhere,
	"locations": somewhere, "geography": somewhere,
	"targeted country": victim, "targeted countries": victim, "target country": victim, "target countries": victim,
	"targeted region": victim, "targeted regions": victim, "target region": victim, "target regions": victim,
	"targeted location": victim, "targeted locations": victim, "victim country": victim, "victim countries": victim,
	"target": victim, "targets": victim,
	"origin": origin, "origins": origin, "country of origin": origin, "countries of origin": origin, "origin country": origin,
	"attributed to": origin, "attribution": origin, "attributed country": origin, "nationality": origin, "nexus": origin,
	"state sponsor": origin, "sponsor": origin, "sponsoring country": origin, "based in": origin, "home country": origin,
	"operating from": origin, "actor origin": origin, "threat actor origin": origin, "origin countries": origin, "originates from": origin,
	"suspected origin": origin, "region of origin": origin, "source country": origin, "suspected country of origin": origin,
	"motivation": motivation, "motivations": motivation, "motive": motivation, "motives": motivation,
	"primary motivation": motivation, "secondary motivation": motivation, "secondary motivations": motivation,
	"actor motivation": motivation,
	"malware type":     kindOf, "malware types": kindOf, "alert type": kindOf, "alert types": kindOf, "incident type": kindOf,
	"incident types": kindOf, "type": kindOf, "types": kindOf, "report type": kindOf, "report types": kindOf,
	"tool type": kindOf, "tool types": kindOf, "indicator type": kindOf, "indicator types": kindOf,
	"threat actor type": kindOf, "threat actor types": kindOf, "infrastructure type": kindOf, "infrastructure types": kindOf,
	"tlp": tlpTopic,
}

// finding is one thing that a label says.
type finding struct {
	about topic
	name  string // of the vocabulary; of a sector also free text
	free  bool
	place *place
}

// learn turns the labels of an object into knowledge, by the setting.
func (r *record) learn(o *stix.Object) {
	var labels []string
	for _, key := range labelKeys {
		labels = append(labels, o.Strings(key)...)
		if r.m.settings.Labels != LabelsAll {
			o.Delete(key)
		}
	}
	if len(labels) == 0 {
		return
	}
	if r.m.settings.Labels == LabelsNone {
		r.count("labels_dropped", len(labels))
		return
	}
	findings := make([][]finding, len(labels))
	related, origins := r.relatedOrigins(o), map[*place]bool{}
	for i, l := range labels {
		findings[i] = r.readLabel(o, l)
		for _, f := range findings[i] {
			if f.about == origin {
				origins[f.place] = true
			}
		}
	}
	free := 0
	for i := range labels {
		about := anyTopic
		for _, f := range findings[i] {
			known := f.about == somewhere && related[f.place]
			if known || f.about == somewhere && origins[f.place] { // no target: it was said what the place is
				f.about = origin
			}
			if f.free {
				if free++; free > freeMost {
					r.count("labels_unread", 1, string(sector))
					r.tell(o.ID(), "labels_unread", f.name)
					continue
				}
			}
			if (known || r.apply(o, f)) && about == anyTopic {
				about = f.about
			}
		}
		if about != anyTopic {
			r.count("labels_mapped", 1, string(about))
		} else if r.m.settings.Labels != LabelsAll {
			r.count("labels_dropped", 1)
		}
	}
}

// relatedOrigins returns the places that the relationships of the answer say
// the object comes from.
func (r *record) relatedOrigins(o *stix.Object) map[*place]bool {
	places := map[*place]bool{}
	for _, id := range r.origins[o.ID()] {
		i, ok := r.byID[id]
		if !ok {
			continue
		}
		l := r.objects[i]
		for _, key := range [...]string{"country", "name", "region"} {
			if p := r.m.places.find(l.String(key), true); p != nil {
				places[p] = true
				break
			}
		}
	}
	return places
}

// readLabel returns what a label says. What is left of a label that names its
// topic is told.
func (r *record) readLabel(o *stix.Object, label string) []finding {
	if _, said := readMark(label); said != silent || papNamed(label) != nil {
		return []finding{{about: tlpTopic}} // marked already
	}
	about, value := splitLabel(label)
	if len(label) > labelMax {
		r.count("labels_unread", 1, string(cmp.Or(about, "long")))
		r.tell(o.ID(), "labels_unread", label)
		return nil
	}
	var all []finding
	for part := range parts(value) {
		if about == anyTopic {
			all = append(all, r.guessList(o, label, part)...)
			continue
		}
		found, left := segment(part, r.lookup(o, about), r.bound(about))
		if about == sector && len(found) == 0 && !strings.ContainsAny(part, ",，、/|") && len(fold(part)) > 1 {
			found, left = []finding{{about: sector, name: strings.Join(strings.Fields(part), " "), free: true}}, nil
		}
		all = append(all, found...)
		for _, text := range left {
			r.count("labels_unread", 1, string(about))
			r.tell(o.ID(), "labels_unread", label+" ("+text+")")
		}
	}
	return all
}

// guessList returns what a list without a topic says. It must be known to the
// last word, or be a list beyond doubt: its entries stand between commas or bars,
// and at least half of them are known. What is left of that is told.
func (r *record) guessList(o *stix.Object, label, part string) []finding {
	found, left := segment(part, r.guess(o), r.m.places.bound)
	if len(left) == 0 {
		return found
	}
	if len(left) > len(found) || inSentence.MatchString(part) {
		return nil
	}
	for _, text := range left {
		r.count("labels_unread", 1, "list")
		r.tell(o.ID(), "labels_unread", label+" ("+text+")")
	}
	return found
}

// inSentence matches what no list between commas or bars has.
var inSentence = regexp.MustCompile(`(?i)[/&+.]|\b(?:and|or|not|no|is|are|was|in|of|by|for|from|with|which|who|the|an?)\b`)

// labelMax is how long a label may be to be read as a list of names. All the
// countries there are take half of it.
const labelMax = 4096

// freeMost is how many sectors of an object's own text become entities. Each is an
// object of hundreds of bytes, made of a few.
const freeMost = 500

func (r *record) bound(about topic) func(name, piece string) binding {
	if about == somewhere || about == victim || about == origin {
		return r.m.places.bound
	}
	return never
}

// lookup returns how a name is found whose topic the label says.
func (r *record) lookup(o *stix.Object, about topic) func(string) (finding, bool) {
	return func(name string) (finding, bool) { return r.find(o, about, name, true) }
}

// guess returns how a name is found whose topic nobody says.
func (r *record) guess(o *stix.Object) func(string) (finding, bool) {
	return func(name string) (finding, bool) {
		for _, about := range [...]topic{sector, kindOf, motivation, somewhere} {
			if f, ok := r.find(o, about, name, false); ok {
				return f, true
			}
		}
		return finding{}, false
	}
}

func (r *record) find(o *stix.Object, about topic, name string, explicit bool) (finding, bool) {
	f := finding{about: about}
	ok := false
	switch about {
	case sector:
		f.name, ok = sectorTerms.find(name)
	case somewhere, victim, origin:
		f.place = r.m.places.find(name, explicit)
		ok = f.place != nil
	case motivation:
		if o.Type() == "intrusion-set" || o.Type() == "threat-actor" {
			f.name, ok = motivationTerms.find(name)
		}
	case kindOf:
		f.name, ok = typesOf[o.Type()].terms.find(name)
	}
	return f, ok
}

// apply notes what a label says where OpenCTI has a place for it, and reports
// whether there is one.
func (r *record) apply(o *stix.Object, f finding) bool {
	switch f.about {
	case tlpTopic:
		return true
	case sector:
		if f.free {
			return r.learnFreeSector(o, f.name)
		}
		return r.learnSector(o, f.name)
	case somewhere, victim, origin:
		return r.learnPlace(o, f.place, f.about)
	case motivation:
		addMotivation(o, f.name)
		return true
	case kindOf:
		addType(o, f.name)
		return true
	}
	return false
}

// addType notes a type in the property that objects of its kind have for it.
// OpenCTI knows one type of an incident; further ones go into the text.
func addType(o *stix.Object, name string) {
	key := typesOf[o.Type()].property
	if key != "incident_type" {
		o.AddRef(key, name)
		return
	}
	switch first := o.String(key); first {
	case name:
	case "":
		o.Set(key, name)
	default:
		note := "Further incident type: " + name
		if d := o.String("description"); !strings.Contains(d, note) {
			o.Set("description", strings.TrimPrefix(d+"\n\n"+note, "\n\n"))
		}
	}
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
