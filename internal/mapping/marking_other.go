package mapping

import (
	"bytes"
	"encoding/json"
	"strings"

	"threatmatch-connector/internal/stix"
)

// What other properties than the list of markings say about who may see an object.

// refers reads the ids of markings in a text that is not in the object's list, and
// reports whether there are any.
func (m *markings) refers(raw json.RawMessage, text string) bool {
	found := strings.Contains(unveiled(text), markingPrefix)
	if found {
		m.lifted = true
		m.entry(raw)
	}
	return found
}

// property reads the level in a property that is named for it or contains nothing
// else, in the object or in one of its extensions.
func (m *markings) property(key string, raw json.RawMessage) {
	plain := keyText(key)
	if tlpProperty(plain) {
		t, said := readLevels(raw)
		m.lift(t, said, string(raw))
		return
	}
	switch key {
	case "object_marking_refs":
		m.lifted = true
		m.list(raw)
		return
	case "granular_markings":
		m.parts(raw)
		return
	case labelKeys[0], labelKeys[1]:
		m.label(raw)
	case "name", "description", "x_opencti_description", "abstract", "explanation", "content", contentKey:
		if text, ok := stix.TextBytes(raw); ok {
			if t := readHead(text); t.Rank > 0 {
				m.lift(t, readable, string(text[:min(len(text), maxNotice)]))
			}
		}
	}
	if classifies(plain) {
		m.classified(plain, raw)
		return
	}
	if s, ok := shortText(raw); ok && namesOnlyTLP(s) {
		t, said := readTLP(s)
		m.lift(t, said, s)
		return
	}
	if key != "extensions" && !strings.HasPrefix(key, "extension-definition--") || raw[0] != '{' {
		m.nested(raw)
		return
	}
	for k, v := range stix.Members(raw) {
		m.property(k, v)
	}
}

// shortText returns a text that is short enough to name only a level, if it may name the TLP.
func shortText(raw json.RawMessage) (string, bool) {
	if len(raw) > 300 || !mayNameTLP(raw) {
		return "", false
	}
	return stix.Text(raw)
}

// nested reads what stands under the name of the TLP, or of a list of markings,
// deeper in a property, and texts there that name only a level.
func (m *markings) nested(raw json.RawMessage) {
	if raw[0] == '"' {
		if s, ok := shortText(raw); ok && namesOnlyTLP(s) {
			t, said := readTLP(s)
			m.lift(t, said, s)
		}
		return
	}
	if !bytes.Contains(raw, []byte("{")) && !mayNameTLP(raw) {
		return
	}
	for e := range stix.Elements(raw) {
		m.nested(e)
	}
	for key, v := range stix.Members(raw) {
		switch plain := keyText(key); {
		case tlpProperty(plain):
			t, said := readLevels(v)
			m.lift(t, said, string(v))
		case marks(plain):
			m.classified(plain, v)
		default:
			m.nested(v)
		}
	}
}

// classified reads the level in a property that says who may see the object. Texts
// without one are ignored, unless the property is named for markings.
func (m *markings) classified(key string, raw json.RawMessage) {
	if m.classification(raw) || blank(raw) || !marks(key) {
		return
	}
	if _, said := readLevels(raw); said == garbled {
		m.lift(stix.TLP{}, garbled, string(raw))
	}
}

// classification reports whether there was anything to read.
func (m *markings) classification(raw json.RawMessage) (found bool) {
	if s, ok := stix.Text(raw); ok {
		found = m.refers(raw, s)
		t, said := readTLP(s)
		if said == silent {
			if t = restricting(s); t.Rank > 0 {
				said = readable
			}
		}
		m.lift(t, said, s)
		found = found || said != silent
	}
	for e := range stix.Elements(raw) {
		found = m.classification(e) || found
	}
	for _, v := range stix.Members(raw) {
		found = m.classification(v) || found
	}
	return found
}

// lift records what a text outside the object's list of markings says about the
// TLP.
func (m *markings) lift(t stix.TLP, said reading, text string) {
	switch said {
	case readable:
		m.lifted = true
		m.addLevel(t)
	case garbled:
		m.lifted = true
		m.unread(text)
	}
}
