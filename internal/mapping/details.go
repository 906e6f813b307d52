package mapping

import (
	"encoding/json"
	"slices"
	"strings"

	"threatmatch-connector/internal/moment"
	"threatmatch-connector/internal/stix"
)

// detailsSuffix ends the id of a source whose body has a member "details" next to
// its objects: what the portal says about the item.
const detailsSuffix = "/edit"

// detailed adds what the portal says to the item's main object and returns that
// object; nil if there are no details, or no object that they are about.
func (r *record) detailed(elements []element) *stix.Object {
	d := r.details
	if len(d) == 0 || d[0] != '{' {
		return nil
	}
	if published, ok := stix.Member(d, "published"); ok && (blank(published) || loose(published) == "0") {
		r.count("details_unread", 1, "unpublished")
		return nil
	}
	o := r.described(elements)
	if o == nil {
		r.count("details_unread", 1, "item")
		return nil
	}
	r.portalAliases(o)
	r.portalDates(o)
	r.portalText(o)
	r.portalTags(o)
	r.portalLevel(o)
	return o
}

// described finds the object that the details are about: the one with their title,
// or the only one possible.
func (r *record) described(elements []element) *stix.Object {
	title := fold(r.m.markup.Line(memberText(r.details, "title")))
	var candidates []*stix.Object
	for _, e := range elements {
		if !r.mainType(e.object.Type()) {
			continue
		}
		if title != "" && fold(r.m.markup.Line(e.object.String("name"))) == title {
			return e.object
		}
		candidates = append(candidates, e.object)
	}
	if len(candidates) == 1 {
		return candidates[0]
	}
	return nil
}

// portalAliases reads known_as, a comma-separated text or a list.
func (r *record) portalAliases(o *stix.Object) {
	raw, _ := stix.Member(r.details, "known_as")
	var names []string
	if len(raw) > 0 && raw[0] == '[' {
		for e := range stix.Elements(raw) {
			names = append(names, loose(e))
		}
	} else {
		names = strings.FieldsFunc(r.m.markup.Line(loose(raw)), func(c rune) bool { return strings.ContainsRune(",;|\n", c) })
	}
	if len(names) > 0 && stix.Container(o.Type()) {
		r.count("details_unread", 1, "known_as") // reports have no aliases in OpenCTI
		return
	}
	key := "aliases"
	if o.Has("x_opencti_aliases") || o.Type() == "vulnerability" {
		key = "x_opencti_aliases"
	}
	list := o.Strings(key)
	if one := o.String(key); one != "" {
		list = []string{one}
	}
	own := fold(o.String("name"))
	names = slices.DeleteFunc(names, func(name string) bool {
		folded := fold(name)
		return len([]rune(strings.TrimSpace(name))) < 2 || folded == own || slices.Contains(noAlias, folded)
	})
	r.extend(o, key, list, names, "known_as")
}

// extend sets a list of texts to list and those of the names that are not in it,
// folded.
func (r *record) extend(o *stix.Object, key string, list, names []string, counted string) {
	before, known := len(list), map[string]bool{}
	for _, s := range list {
		known[fold(s)] = true
	}
	for _, name := range names {
		if folded := fold(name); !known[folded] {
			known[folded] = true
			list = append(list, strings.TrimSpace(name))
		}
	}
	if n := len(list) - before; n > 0 {
		o.Set(key, list)
		r.count("details_read", n, counted)
	}
}

// noAlias are the ways to say that there is none, folded.
var noAlias = []string{fold("n/a"), fold("none"), fold("unknown"), fold("null"), fold("not known"), fold("tbc")}

// portalDates reads additional_dates: the first and last time an object was seen,
// recognised by the words at the start or end of their names.
func (r *record) portalDates(o *stix.Object) {
	raw, _ := stix.Member(r.details, "additional_dates")
	if len(raw) == 0 || raw[0] != '{' {
		return
	}
	for name, value := range stix.Members(raw) {
		words := strings.FieldsFunc(strings.ToLower(name), func(c rune) bool { return c < 'a' || c > 'z' })
		key := ""
		switch {
		case slices.Contains(words, "first"):
			key = "first_seen"
		case slices.Contains(words, "last"):
			key = "last_seen"
		}
		at, ok := moment.ParseJSON(value)
		switch {
		case blank(value):
		case key == "" || !ok || !seenTypes[o.Type()]:
			r.count("details_unread", 1, "additional_dates")
		case !o.Has(key):
			o.Set(key, moment.Format(at.Time))
			r.count("details_read", 1, "additional_dates")
		}
	}
}

// seenTypes are the types with first_seen and last_seen.
var seenTypes = nameSet("threat-actor intrusion-set malware campaign incident infrastructure")

// portalText reads content, if the STIX has none.
func (r *record) portalText(o *stix.Object) {
	if text := memberText(r.details, "content"); strings.TrimSpace(text) != "" && o.String("content") == "" && o.String("x_opencti_content") == "" {
		o.Set("content", text)
		r.count("details_read", 1, "content")
	}
}

// portalTags reads tagsFull as labels, which become knowledge like others.
func (r *record) portalTags(o *stix.Object) {
	raw, _ := stix.Member(r.details, "tagsFull")
	var names []string
	for tag := range listed(raw) {
		if name := strings.TrimSpace(memberText(tag, "name")); name != "" {
			names = append(names, name)
		}
	}
	r.extend(o, "labels", o.Strings("labels"), names, "tags")
}

// portalLevel reads tlp, if the STIX has no marking. A level that cannot be read
// counts as TLP:RED, as everywhere.
func (r *record) portalLevel(o *stix.Object) {
	if list, ok := o.Get("object_marking_refs"); ok && !blank(list) {
		return
	}
	raw, ok := stix.Member(r.details, "tlp")
	if !ok || blank(raw) {
		return
	}
	level, said := readLevels(raw)
	if raw[0] == '{' { // its other texts explain the level, and may name other levels
		level, said = stix.TLP{}, silent
		for _, key := range [...]string{"shortcode", "label", "colour"} {
			value, _ := stix.Member(raw, key)
			t, s := readLevels(value)
			if level = stricter(level, t); s != silent && said != readable {
				said = s
			}
		}
	}
	switch said {
	case silent:
		return
	case garbled:
		level = red
		r.count("markings_unreadable", 1)
		r.tell(o.ID(), "markings_unreadable", string(raw))
	}
	o.Set("object_marking_refs", []string{level.ID})
	r.count("details_read", 1, "tlp")
}

// listed yields the objects of a list, and nothing for any other value.
func listed(raw json.RawMessage) func(func(json.RawMessage) bool) {
	return func(yield func(json.RawMessage) bool) {
		if len(raw) == 0 || raw[0] != '[' {
			return
		}
		for e := range stix.Elements(raw) {
			if e[0] == '{' && !yield(e) {
				return
			}
		}
	}
}

// loose reads a text or a number as text: the portal writes ids both ways.
func loose(raw json.RawMessage) string {
	if s, ok := stix.Text(raw); ok {
		return s
	}
	if len(raw) > 0 && isNumber(raw) {
		return string(raw)
	}
	return ""
}
