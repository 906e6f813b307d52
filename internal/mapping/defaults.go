package mapping

import (
	"bytes"
	"cmp"
	"unicode/utf8"

	"threatmatch-connector/internal/stix"
)

// defaults adds what STIX or OpenCTI require and the source may omit.
func (r *record) defaults(o *stix.Object) {
	r.fill(o, "spec_version", "2.1")
	if stix.Observable(o.Type()) {
		return
	}
	created, modified := o.String("created"), o.String("modified")
	if o.Type() != "marking-definition" {
		r.fill(o, "created", modified)
		r.fill(o, "modified", created)
	}
	first := cmp.Or(created, modified)
	switch o.Type() {
	case "report":
		r.fill(o, "published", first)
	case "indicator":
		r.fill(o, "valid_from", first)
		r.life(o)
	case "sighting":
		r.place(o)
	case "note":
		if abstract := trimmed(o, "abstract"); len(trimmed(o, "content")) == 0 && len(abstract) > 0 {
			o.Fill("content", beginning(abstract, contentMost))
			r.count("defaults", 1, "content")
		}
		r.lengthen(o, "content", "abstract", "Note")
	case "malware-analysis":
		r.fill(o, "result_name", cmp.Or(o.String("result"), o.String("product")))
	case "malware":
		r.fill(o, "is_family", false)
	case "grouping":
		r.fill(o, "context", "unspecified")
	case "observed-data":
		r.fill(o, "first_observed", first)
		r.fill(o, "last_observed", cmp.Or(o.String("first_observed"), first))
		r.fill(o, "number_observed", 1)
	}
}

// place makes the author of a sighting its place if it has none, because OpenCTI
// makes one sighting per place, and none without a place.
func (r *record) place(o *stix.Object) {
	if o.Has("where_sighted_refs") || !o.Has("sighting_of_ref") {
		return
	}
	o.Fill("where_sighted_refs", []string{cmp.Or(o.String("created_by_ref"), r.m.author.ID())})
	r.count("defaults", 1, "where_sighted_refs")
}

// lengthen prepends another text to one of a single character, which OpenCTI would
// refuse.
func (r *record) lengthen(o *stix.Object, key, with, otherwise string) {
	s := trimmed(o, key)
	if utf8.RuneCount(s) != 1 {
		return
	}
	o.Set(key, cmp.Or(beginning(trimmed(o, with), contentMost), otherwise)+": "+string(s))
	r.count("values_repaired", 1, key)
}

// contentMost is how much of its abstract becomes the content of a note that has none.
const contentMost = 1 << 20

// fill sets a property that is absent, unless value is empty.
func (r *record) fill(o *stix.Object, key string, value any) {
	if o.Has(key) || value == "" {
		return
	}
	o.Fill(key, value)
	r.count("defaults", 1, key)
}

// named lists the types that OpenCTI requires a name of at least two characters
// for.
var named = map[string]bool{"attack-pattern": true, "campaign": true, "channel": true, "course-of-action": true,
	"data-component": true, "x-mitre-data-component": true, "data-source": true, "x-mitre-data-source": true,
	"event": true, "grouping": true, "identity": true, "incident": true, "infrastructure": true, "intrusion-set": true,
	"location": true, "malware": true, "narrative": true, "report": true, "threat-actor": true, "tool": true,
	"vulnerability": true, "case-incident": true, "x-opencti-case-incident": true, "case-rfi": true,
	"x-opencti-case-rfi": true, "case-rft": true, "x-opencti-case-rft": true}

// needed lists the property that an observable or analysis must have.
var needed = map[string]string{"ipv4-addr": "value", "ipv6-addr": "value", "domain-name": "value", "url": "value",
	"email-addr": "value", "mac-addr": "value", "hostname": "value", "text": "value", "user-agent": "value",
	"phone-number": "value", "cryptocurrency-wallet": "value", "cryptographic-key": "value", "mutex": "name",
	"software": "name", "directory": "path", "windows-registry-key": "key", "malware-analysis": "product"}

// missing returns what OpenCTI requires and the object lacks; "" if it is complete.
func missing(o *stix.Object) string {
	switch typ := o.Type(); {
	case named[typ]:
		if utf8.RuneCount(trimmed(o, "name")) < 2 {
			return "no name of at least two characters"
		}
		if typ == "report" && !o.Has("published") {
			return "no published date, and none to take for it"
		}
	case needed[typ] != "":
		return absent(o, needed[typ])
	case typ == "file":
		if !o.Has("hashes") {
			return absent(o, "name")
		}
	case typ == "autonomous-system":
		if !o.Has("number") {
			return "no number"
		}
	case typ == "indicator":
		if err := checkPattern(trimmed(o, "pattern")); err != nil && o.String("pattern_type") == "stix" && o.Has("pattern") {
			return "the pattern does not parse: " + err.Error()
		}
		return absent(o, "pattern", "pattern_type")
	case typ == "relationship":
		if o.Has("source_ref") && o.String("source_ref") == o.String("target_ref") {
			return "both ends of the relationship are the same object"
		}
		return absent(o, "relationship_type", "source_ref", "target_ref")
	case typ == "sighting":
		if len(o.Strings("where_sighted_refs")) == 0 {
			return "no where_sighted_refs"
		}
		return absent(o, "sighting_of_ref")
	case typ == "note":
		return absent(o, "content")
	case typ == "opinion":
		return absent(o, "opinion")
	case typ == "marking-definition":
		return missingMarking(o)
	}
	return ""
}

// missingMarking checks that a marking has one of the forms that OpenCTI reads.
func missingMarking(o *stix.Object) string {
	if o.String("x_opencti_definition_type") != "" && o.String("x_opencti_definition") != "" {
		return ""
	}
	kind := o.String("definition_type")
	raw, defined := o.Get("definition")
	text := memberText(raw, kind)
	switch {
	case kind == "tlp" && defined && text == "":
		return "the definition of the marking names no TLP level"
	case kind != "" && (text != "" || o.String("definition") != "") || o.String("name") != "":
		return ""
	}
	return "neither definition nor name of the marking"
}

// trimmed returns a text without the blanks around it. It is no copy: a text may be as large as its answer.
func trimmed(o *stix.Object, key string) []byte {
	raw, _ := o.Get(key)
	text, _ := stix.TextBytes(raw)
	return bytes.TrimSpace(text)
}

func absent(o *stix.Object, keys ...string) string {
	for _, key := range keys {
		if len(trimmed(o, key)) == 0 {
			return "no " + key
		}
	}
	return ""
}
