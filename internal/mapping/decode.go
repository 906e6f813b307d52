package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"

	"threatmatch-connector/internal/stix"
)

// Dead is something that cannot be mapped, kept whole for an operator to look at.
type Dead struct {
	Raw    []byte // the element, or the whole body
	ID     string // the STIX id where there is one
	Class  string // one of the Dead… constants
	Reason string // one sentence
	Rank   int    // of the strictest TLP level that the source gives it, as far as it could be read
}

// Classes of Dead.
const (
	DeadBody       = "body"          // the body is not JSON, or holds no list of objects
	DeadError      = "error_element" // the source returned an error instead of the object
	DeadElement    = "element"       // not an object, or without a usable type or id
	DeadIncomplete = "incomplete"    // lacks something OpenCTI requires
)

func (r *record) addDead(raw []byte, id, class, reason string) {
	r.Dead = append(r.Dead, Dead{Raw: raw, ID: id, Class: class, Reason: reason})
}

// addDeadObject is addDead for an object, with its TLP level.
func (r *record) addDeadObject(raw []byte, o *stix.Object, class, reason string) {
	r.Dead = append(r.Dead, Dead{Raw: raw, ID: o.ID(), Class: class, Reason: reason, Rank: o.SourceRank()})
}

type element struct {
	object *stix.Object
	raw    json.RawMessage
}

// decode extracts the objects from the body. Anything that is not an object becomes
// a dead letter.
func (r *record) decode(body []byte, detailed bool) []element {
	normal, err := stix.Normalize(make([]byte, 0, len(body)), body)
	if err != nil {
		r.addDead(body, "", DeadBody, err.Error())
		return nil
	}
	if detailed {
		r.details, _ = stix.Member(normal, "details")
	}
	list, reason := objectList(normal)
	if reason != "" {
		r.addDead(body, "", DeadBody, reason)
		return nil
	}
	return r.decodeList(nil, list, 0)
}

// maxBundles is how deep bundles may be nested.
const maxBundles = 10

func (r *record) decodeList(elements []element, list json.RawMessage, depth int) []element {
	for raw := range stix.Elements(list) {
		if inner, ok := bundled(raw); ok && depth < maxBundles {
			r.count("bundles_unpacked", 1)
			elements = r.decodeList(elements, inner, depth+1)
			continue
		}
		o := r.decodeElement(raw)
		r.define(raw, o)
		if o != nil {
			elements = append(elements, element{o, raw})
		}
	}
	return elements
}

// bundled returns the objects of an element that is a bundle itself.
func bundled(raw json.RawMessage) (json.RawMessage, bool) {
	if !bytes.Contains(raw, []byte(`"bundle"`)) {
		return nil, false
	}
	typ, _ := stix.Member(raw, "type")
	if string(typ) != `"bundle"` {
		return nil, false
	}
	list, ok := stix.Member(raw, "objects")
	return list, ok && list[0] == '['
}

// objectList finds the list of objects in a bundle or page.
func objectList(body json.RawMessage) (json.RawMessage, string) {
	if body[0] != '{' {
		return nil, "the response is not a JSON object"
	}
	list, ok := stix.Member(body, "objects")
	if ok && list[0] == '[' {
		return list, ""
	}
	if e, said := stix.Member(body, "error"); said {
		return nil, fmt.Sprintf("the response is an error: %.200s", e)
	}
	if !ok {
		return nil, "the response has no objects"
	}
	return nil, "the objects of the response are not a list"
}

// decodeElement makes an object of one element, or makes a dead letter of it and
// returns nil.
func (r *record) decodeElement(raw json.RawMessage) *stix.Object {
	if bytes.Contains(raw, []byte(`"error"`)) {
		if e, ok := stix.Member(raw, "error"); ok && !blank(e) {
			r.addDead(raw, idOf(raw), DeadError, fmt.Sprintf("the source says: %.200s", e))
			return nil
		}
	}
	o, err := stix.DecodeSource(raw)
	if err != nil {
		r.addDead(raw, idOf(raw), DeadElement, err.Error())
		return nil
	}
	o.Delete("error")
	return o
}

// idOf returns the id of an element, "" if it is too long to be one.
func idOf(raw json.RawMessage) string {
	const most = 1000
	id, _ := stix.Member(raw, "id")
	if len(id) > most {
		return ""
	}
	text, _ := stix.Text(id)
	return text
}

// blank recognises the ways in which a source says that there is no error.
func blank(raw json.RawMessage) bool {
	switch string(raw) {
	case "null", "false", `""`, "[]", "{}", "0":
		return true
	}
	return false
}
