package mapping

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"threatmatch-connector/internal/stix"
)

var red, _ = stix.FindTLP("red")

// Marking returns the standard TLP marking with that id, nil for any other id.
func (m *Mapper) Marking(id string) *stix.Object {
	if t, ok := stix.TLPByID(id); ok && t.ID == id {
		return t.Object()
	}
	return nil
}

// MarkUnread makes an object TLP:RED, instead of any other level, and reports
// whether it changed anything. It is for objects from which an unknown marking was
// removed: it is unknown what that marking restricts.
func (m *Mapper) MarkUnread(o *stix.Object) bool {
	if plain(o.Type()) {
		return false
	}
	before := o.Strings("object_marking_refs")
	list := unite(before, []string{red.ID})
	o.Set("object_marking_refs", list)
	return !slices.Equal(before, list)
}

// unite merges two lists of markings: the strictest standard level first, then the
// others.
func unite(a, b []string) []string {
	var strictest stix.TLP
	var list []string
	for _, id := range slices.Concat(a, b) {
		if t, ok := stix.TLPByID(id); ok {
			strictest = stricter(strictest, t)
		} else if !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	if strictest.Rank > 0 {
		list = append([]string{strictest.ID}, list...)
	}
	return list
}

// markings collects the markings of one object from all the places that can contain
// one.
type markings struct {
	r         *record
	owner     string
	ids       []string // as the object lists them, then those raised from parts
	rewritten bool     // a level was under another id, or in another form
	lifted    bool     // something was only on a part, in a label or in a property
	pap       bool     // a label named one
	levels    int
}

// mark settles the markings of a source object. Whatever names a TLP level, in
// whatever form, counts; the strictest level wins. A marking of a part is raised to
// the whole object, because OpenCTI would show the part to everyone. A marking that
// cannot be read counts as TLP:RED.
func (r *record) mark(o *stix.Object) {
	if plain(o.Type()) {
		return
	}
	given := o.Strings("object_marking_refs")
	m := markings{r: r, owner: o.ID()}
	if raw, ok := o.Get("object_marking_refs"); ok {
		m.list(raw)
	}
	listed := len(m.ids)
	for key, raw := range o.All() {
		if key != "object_marking_refs" { // read already
			m.property(key, raw)
		}
	}
	for key, raw := range o.Repeated() {
		r.count("values_repeated", 1)
		m.property(key, raw)
	}
	m.elsewhere(o)
	if m.pap && m.levels == 0 { // PAP says what may be done with the object, not who may see it
		m.addLevel(r.m.defaultLevel(r.src.Dataset, o.Type()))
	}
	m.lifted = m.lifted || len(m.ids) > listed
	if m.lifted {
		r.count("tlp_lifted", 1)
	}
	if m.rewritten {
		r.count("tlp_id_rewritten", 1)
	}
	list := m.ids
	if m.levels > 1 {
		list = unite(m.ids, nil)
	}
	if !slices.Equal(list, given) {
		o.Set("object_marking_refs", list)
	}
}

// list reads object_marking_refs, which may be a text instead of a list.
func (m *markings) list(raw json.RawMessage) {
	switch {
	case blank(raw):
	case raw[0] == '[':
		for e := range stix.Elements(raw) {
			m.entry(e)
		}
	default:
		m.entry(raw)
	}
}

var markingID = regexp.MustCompile(markingPrefix + `[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

const markingPrefix = "marking-definition--"

// entry reads one entry of a list of markings: an id, the name of a level, or the
// marking itself.
func (m *markings) entry(raw json.RawMessage) {
	if blank(raw) {
		return
	}
	if raw[0] == '{' {
		m.inline(raw)
		named := false
		for key, v := range stix.Members(raw) {
			if (key == "id" || key == "marking_ref") && !blank(v) {
				named = true
				m.entry(v)
			}
		}
		if !named {
			m.unread(string(raw))
		}
		return
	}
	said, isText := stix.Text(raw)
	if !isText {
		m.unread(string(raw))
		return
	}
	text := unveiled(said)
	if typ, ok := stix.SplitID(text); ok && typ == "marking-definition" { // as mostly
		m.id(text)
		return
	}
	ids := markingID.FindAllString(text, -1)
	for _, id := range ids {
		m.id(id)
	}
	switch n := strings.Count(text, markingPrefix); {
	case n > len(ids):
		m.unread(said)
	case n == 0:
		m.named(said)
	}
}

// named reads an entry that is not an id.
func (m *markings) named(text string) {
	switch t, r := readLevel(text); r {
	case readable:
		m.rewritten = true
		m.addLevel(t)
	case garbled:
		m.unread(text)
	}
}

// id adds a marking by its id, and what is known about it.
func (m *markings) id(id string) {
	known := m.r.markings[id]
	if known.unread {
		m.unread(id)
		return
	}
	if t, ok := stix.TLPByID(id); ok {
		m.rewritten = m.rewritten || t.ID != id || known.level.Rank > t.Rank
		m.addLevel(stricter(t, known.level))
		return
	}
	if known.level.Rank > 0 {
		m.rewritten = true
		m.addLevel(known.level)
	}
	if (known.level.Rank == 0 || known.says) && !slices.Contains(m.ids, id) {
		if len(m.ids) >= markingsMax {
			m.unread(id)
			return
		}
		m.ids = append(m.ids, id)
	}
}

// markingsMax is how many markings an object may have: everything made of its
// labels and associations has them too.
const markingsMax = 100

// addLevel adds a level.
func (m *markings) addLevel(t stix.TLP) {
	m.levels++
	if !slices.Contains(m.ids, t.ID) {
		m.ids = append(m.ids, t.ID)
	}
}

// unread records that something marks the object but cannot be read.
func (m *markings) unread(value string) {
	m.r.count("markings_unreadable", 1)
	m.r.tell(m.owner, "markings_unreadable", value)
	m.rewritten = true
	m.addLevel(red)
}

// parts raises the markings of parts to the whole object.
func (m *markings) parts(raw json.RawMessage) {
	switch {
	case blank(raw):
	case raw[0] == '[':
		for e := range stix.Elements(raw) {
			m.part(e)
		}
	default:
		m.part(raw)
	}
}

func (m *markings) part(raw json.RawMessage) {
	language, more, marked := false, false, false
	for key, v := range stix.Members(raw) {
		switch {
		case blank(v), key == "selectors":
		case key == "lang":
			language = true
		case key == "marking_ref":
			m.lifted, marked = true, true
			m.entry(v)
		default:
			more = true
		}
	}
	if !marked && (more || !language) && !blank(raw) {
		m.lifted = true
		m.unread(string(raw))
	}
}

// label reads one or several labels, however they are wrapped.
func (m *markings) label(raw json.RawMessage) {
	if s, ok := stix.Text(raw); ok {
		m.refers(raw, s)
		t, said := readMark(s)
		m.lift(t, said, s)
		if pap := papNamed(s, said == readable); pap != nil {
			m.lifted, m.pap = true, true
			m.ids = appendOnce(m.ids, pap.ID())
			m.r.paps[pap.ID()] = pap
		}
	}
	for e := range stix.Elements(raw) {
		m.label(e)
	}
	for _, v := range stix.Members(raw) {
		m.label(v)
	}
}
