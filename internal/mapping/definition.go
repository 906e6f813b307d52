package mapping

import (
	"encoding/json"
	"strings"

	"threatmatch-connector/internal/stix"
)

// definition is what the response says about a marking with its own id.
type definition struct {
	level  stix.TLP // rank 0: none
	says   bool     // it says more than the level
	unread bool     // it is unknown what it restricts
}

// define reads the marking definitions of the response before its objects are
// marked with them. o is nil if the element is not a usable object.
func (r *record) define(raw json.RawMessage, o *stix.Object) {
	if o != nil && o.Type() != "marking-definition" {
		return
	}
	id := strings.TrimSpace(unveiled(idOf(raw)))
	if !strings.HasPrefix(id, markingPrefix) {
		return
	}
	d := definition{unread: true}
	if o != nil {
		r.definitionKind(o)
		d = readDefinition(o)
		for range o.Repeated() { // which of its definitions the platform has is unknown
			d.unread = true
		}
	}
	r.defined(id, d)
	if o != nil && o.ID() != id { // the id under which it is sent
		r.defined(o.ID(), d)
	}
}

// definitionKind names the type of a marking as its definition does: OpenCTI looks there
// for it, and tells cases apart.
func (r *record) definitionKind(o *stix.Object) {
	raw, _ := o.Get("definition")
	kind := o.String("definition_type")
	for key := range stix.Members(raw) {
		if key != kind && strings.EqualFold(key, strings.TrimSpace(kind)) {
			o.Set("definition_type", key)
			r.count("values_repaired", 1, "definition_type")
		}
	}
}

func (r *record) defined(id string, d definition) {
	if before, twice := r.markings[id]; twice {
		d = definition{stricter(before.level, d.level), before.says || d.says, before.unread && d.unread}
	}
	r.markings[id] = d
}

// readDefinition reads a marking: a level in OpenCTI's properties, in STIX's, in
// the TLP 2.0 extension or in the name; the strictest if there are several.
func readDefinition(o *stix.Object) definition {
	var d definition
	spoken := false // the TLP is mentioned, readable or not
	note := func(t stix.TLP, r reading) {
		d.level = stricter(d.level, t)
		spoken = spoken || r != silent
	}
	more := says(o.String("name"))
	own := o.String("x_opencti_definition")
	if tlpProperty(keyText(o.String("x_opencti_definition_type"))) {
		note(readLevel(own))
	} else {
		note(readTLP(own))
	}
	read := func(key string, raw json.RawMessage) {
		if tlpProperty(keyText(key)) {
			note(readLevels(raw))
			return
		}
		s, _ := stix.Text(raw)
		note(readTLP(s))
		more = more || says(s)
	}
	raw, _ := o.Get("definition")
	kind := o.String("definition_type")
	if tlpProperty(keyText(kind)) {
		spoken = true
		read(kind, raw)
	} else if _, text := stix.Text(raw); text {
		read(kind, raw)
	}
	for key, v := range stix.Members(raw) {
		read(key, v)
	}
	extensions, _ := o.Get("extensions")
	note(extensionLevel(extensions))
	note(readTLP(o.String("name")))
	switch {
	case d.level.Rank == 0 && (spoken || missingMarking(o) != ""):
		d.unread = true
	case d.level.Rank > 0:
		d.says = more && !onlyTLP.MatchString(tlpText(own))
	}
	return d
}

// inline reads the level that a marking written out in the list defines.
func (m *markings) inline(raw json.RawMessage) {
	o := stix.New("marking-definition", "")
	for _, key := range []string{"definition_type", "definition", "name", "extensions", "x_opencti_definition_type", "x_opencti_definition"} {
		if v, ok := stix.Member(raw, key); ok {
			o.Set(key, v)
		}
	}
	if d := readDefinition(o); d.level.Rank > 0 {
		m.rewritten = true
		m.addLevel(d.level)
	}
}

// says reports whether the text of a marking says more than a level.
func says(s string) bool {
	return strings.TrimSpace(s) != "" && s != "custom" && !onlyTLP.MatchString(tlpText(s))
}

// definitionText returns the text of a statement or of another kind of marking.
func definitionText(raw json.RawMessage, kind string) string {
	if s, ok := stix.Text(raw); ok {
		return s
	}
	return memberText(raw, kind)
}

// extensionLevel reads the level in an extension such as tlp_2_0.
func extensionLevel(raw json.RawMessage) (level stix.TLP, found reading) {
	if len(raw) == 0 || raw[0] != '{' {
		return level, silent
	}
	for _, extension := range stix.Members(raw) {
		for key, value := range stix.Members(extension) {
			if !tlpProperty(keyText(key)) {
				continue
			}
			t, r := readLevels(value)
			if level = stricter(level, t); r != silent {
				found = r
			}
		}
	}
	return level, found
}

// definition brings a marking definition into the form that OpenCTI merges with its
// own: levels and PAP get OpenCTI's names, whatever form the source uses.
func (r *record) definition(o *stix.Object) {
	if o.Type() != "marking-definition" {
		return
	}
	if d := r.markings[o.ID()]; d.level.Rank > 0 && !d.says && !d.unread {
		o.Set("x_opencti_definition_type", "TLP")
		o.Set("x_opencti_definition", d.level.Name)
		return
	}
	if o.Has("x_opencti_definition") {
		return
	}
	raw, _ := o.Get("definition")
	kind := o.String("definition_type")
	for _, text := range [...]string{definitionText(raw, kind), o.String("name")} {
		text = strings.ToUpper(strings.TrimSpace(text))
		if strings.EqualFold(kind, "pap") {
			text = "PAP:" + strings.TrimSpace(strings.TrimPrefix(text, "PAP:"))
		}
		switch text {
		case "PAP:CLEAR", "PAP:WHITE", "PAP:GREEN", "PAP:AMBER", "PAP:RED":
			o.Set("x_opencti_definition_type", "PAP")
			o.Set("x_opencti_definition", strings.Replace(text, "WHITE", "CLEAR", 1))
			return
		}
	}
}
