package mapping

import (
	"cmp"
	_ "embed"
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

// readGroups reads lines of "value = name; name; …" and returns the value of each
// name.
func readGroups[T ~string](list string) map[string]T {
	values := map[string]T{}
	for line := range lines(list) {
		value, names, _ := strings.Cut(line, " = ")
		for name := range strings.SplitSeq(names, "; ") {
			values[name] = T(value)
		}
	}
	return values
}

// labelKeys are the properties from which OpenCTI makes labels.
var labelKeys = [...]string{"labels", "x_opencti_labels"}

// topic is what a label is about.
type topic string

const (
	anyTopic   topic = ""
	sector     topic = "sector"
	somewhere  topic = "place"  // a place, in any role
	victim     topic = "target" // a place that is certainly a target
	origin     topic = "origin"
	motivation topic = "motivation"
	kindOf     topic = "type" // malware type, alert type, incident type
	tlpTopic   topic = "tlp"
)

// topicNames has, by topic, the prefixes of labels such as "Sector: Technology" or
// threatmatch:sector="Technology".
//
//go:embed tables/topics.txt
var topicNames string

var topics = readGroups[topic](topicNames)

// finding is one thing that a label says.
type finding struct {
	about topic
	name  string // of the vocabulary; for a sector also free text
	free  bool
	place *place
}

// learn turns the labels of an object into knowledge, depending on the setting.
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
			if known || f.about == somewhere && origins[f.place] { // not a target: the place's role is known already
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

// relatedOrigins returns the places that the object comes from according to the
// response's relationships.
func (r *record) relatedOrigins(o *stix.Object) map[*place]bool {
	places := map[*place]bool{}
	for _, id := range r.origins[o.ID()] {
		i, ok := r.byID[id]
		if !ok {
			continue
		}
		l := r.Objects[i]
		for _, key := range [...]string{"country", "name", "region"} {
			if p := r.m.places.find(l.String(key), true); p != nil {
				places[p] = true
				break
			}
		}
	}
	return places
}

// readLabel returns what a label says.
func (r *record) readLabel(o *stix.Object, label string) (all []finding) {
	for _, fact := range cutFacts(label) {
		all = append(all, r.readFact(o, fact)...)
	}
	return all
}

// cutFacts cuts a label that states several facts, such as "TLP:RED; Sector: Legal | Country:
// France": before each piece that is a marking or names its topic, and after a marking.
func cutFacts(label string) (all []string) {
	if len(label) > labelMax {
		return []string{label}
	}
	label, afterMark := html.UnescapeString(label), false
	for label != "" {
		end := len(label)
		if i := strings.IndexAny(label[1:], ";|"); i >= 0 {
			end = 1 + i
		}
		piece := strings.TrimLeft(label[:end], ";|")
		about, _ := splitLabel(piece)
		if mark := isMark(piece); len(all) == 0 || mark || afterMark || about != anyTopic {
			all, afterMark = append(all, piece), mark
		} else {
			all[len(all)-1] += label[:end]
		}
		label = label[end:]
	}
	return all
}

// isMark reports whether a label is read as a marking.
func isMark(label string) bool {
	_, said := readMark(label)
	return said != silent || papNamed(label, false) != nil
}

// readFact returns what a part of a label says that states one fact. If it names its
// topic, unknown parts of it are reported.
func (r *record) readFact(o *stix.Object, label string) []finding {
	if isMark(label) {
		return []finding{{about: tlpTopic}} // used as a marking already
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

// guessList returns what a list without a topic says. Every word of it must be
// known, or it must certainly be a list: entries separated by commas or bars, at
// least half of them known. Its unknown parts are then reported.
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

// inSentence matches what no list with commas or bars contains.
var inSentence = regexp.MustCompile(`(?i)[/&+.]|\b(?:and|or|not|no|is|are|was|in|of|by|for|from|with|which|who|the|an?)\b`)

// labelMax is how long a label may be to be read as a list of names. All countries
// together take half of it.
const labelMax = 4096

// freeMost is how many sectors of free text become entities per object. Each takes
// hundreds of bytes, made from a few.
const freeMost = 500

func (r *record) bound(about topic) func(name, piece string) binding {
	if about == somewhere || about == victim || about == origin {
		return r.m.places.bound
	}
	return never
}

// lookup returns a function that finds names when the label states the topic.
func (r *record) lookup(o *stix.Object, about topic) func(string) (finding, bool) {
	return func(name string) (finding, bool) { return r.find(o, about, name, true) }
}

// guess returns a function that finds names when the topic is unknown.
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

// apply records what a label says if OpenCTI has a place for it, and reports
// whether it has.
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
		addMotivations(o, f.name)
		return true
	case kindOf:
		addType(o, f.name)
		return true
	}
	return false
}

// addType adds a type to the property that objects of its kind have for it. OpenCTI
// knows one type per incident; further ones go into the text.
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

// splitLabel splits the topic off a label. A label without a topic, or with an
// unknown one, is returned whole.
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
