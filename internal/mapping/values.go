package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"threatmatch-connector/internal/moment"
	"threatmatch-connector/internal/stix"
)

// repair converts values to the kind that OpenCTI reads if that is unambiguous, and
// otherwise removes them. It returns the times that it had to remove.
func (r *record) repair(o *stix.Object) (unread []string) {
	type change struct {
		key string
		to  any // nil: remove
	}
	var changes []change
	for key, raw := range o.All() {
		if s := r.m.shapes[key]; s != anything {
			if to, fine := s.read(raw); !fine {
				changes = append(changes, change{key, to})
			}
			continue
		}
		if to := wrapped(key, raw); to != nil {
			changes = append(changes, change{key, to})
		}
	}
	for _, c := range changes {
		if c.to == nil {
			if raw, _ := o.Get(c.key); r.m.shapes[c.key] == instant {
				unread = append(unread, fmt.Sprintf("%s %.200s", c.key, raw))
				r.Unread = append(r.Unread, o.ID()+" "+unread[len(unread)-1])
			}
			o.Delete(c.key)
			r.count("values_invalid", 1, c.key)
			continue
		}
		o.Set(c.key, c.to)
		r.count("values_repaired", 1, c.key)
	}
	if class := o.String("identity_class"); class != strings.ToLower(class) { // OpenCTI compares exactly
		o.Set("identity_class", strings.ToLower(class))
		r.count("values_repaired", 1, "identity_class")
	}
	return unread
}

// wrapped returns a reference in the form its key requires, a text or a list of
// texts, if it has the other form; nil if nothing needs to be done.
func wrapped(key string, raw json.RawMessage) any {
	switch {
	case strings.HasSuffix(key, "_refs") && raw[0] == '"':
		return []json.RawMessage{raw}
	case strings.HasSuffix(key, "_ref") && raw[0] == '[':
		for e := range stix.Elements(raw) {
			return e
		}
	}
	return nil
}

func isNumber(raw json.RawMessage) bool { return raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9' }

func readText(raw json.RawMessage) (any, bool) {
	switch {
	case raw[0] == '"':
		return nil, true
	case isNumber(raw):
		return string(raw), false
	}
	return nil, false
}

func readBool(raw json.RawMessage) (any, bool) {
	switch strings.ToLower(strings.Trim(string(raw), `"`)) {
	case "true", "1", "yes", "y", "on":
		return true, string(raw) == "true"
	case "false", "0", "no", "n", "off":
		return false, string(raw) == "false"
	}
	return nil, false
}

// readInstant accepts STIX timestamps unchanged. Others are rewritten, because the
// platform accepts nothing else.
func readInstant(raw json.RawMessage) (any, bool) {
	if s, isText := stix.Text(raw); isText && moment.Strict(s) {
		return nil, true
	}
	if r, ok := moment.ParseJSON(raw); ok {
		return moment.Format(r.Time), false
	}
	return nil, false
}

// readList reads a list, or one value that should be a list of it. element returns
// what an element becomes, nil if it is removed, and whether it was right as it is.
func readList(raw json.RawMessage, element func(json.RawMessage) (json.RawMessage, bool)) (any, bool) {
	fine := raw[0] == '['
	if !fine {
		raw = slices.Concat([]byte{'['}, raw, []byte{']'})
	}
	var list []json.RawMessage
	for e := range stix.Elements(raw) {
		to, ok := element(e)
		fine = fine && ok
		if to != nil {
			list = append(list, to)
		}
	}
	if fine || list == nil {
		return nil, fine
	}
	return list, false
}

func readTexts(raw json.RawMessage) (any, bool) {
	if isNumber(raw) {
		return nil, false
	}
	return readList(raw, func(e json.RawMessage) (json.RawMessage, bool) {
		if isNumber(e) {
			return stix.Quote(string(e)), false
		}
		if s, ok := stix.TextBytes(e); ok && len(bytes.TrimSpace(s)) > 0 {
			return e, true
		}
		return nil, false
	})
}

func readObjects(raw json.RawMessage) (any, bool) {
	return readList(raw, func(e json.RawMessage) (json.RawMessage, bool) {
		if e[0] == '{' {
			return e, true
		}
		return nil, false
	})
}

// readReferences reads external references: url, source_name and external_id are
// texts, and source_name is required. A plain text is an address, or the
// description.
func readReferences(raw json.RawMessage) (any, bool) {
	return readList(raw, func(e json.RawMessage) (json.RawMessage, bool) {
		fixed := fixReference(e)
		if fixed != nil {
			e = fixed
		}
		if e[0] != '{' || len(e) <= len("{}") {
			return nil, false
		}
		return e, fixed == nil
	})
}

// textReference makes a reference of a text in its place.
func textReference(raw json.RawMessage) json.RawMessage {
	to, fine := readText(raw)
	s, _ := to.(string)
	if fine {
		s, _ = stix.Text(raw)
	}
	if s = strings.TrimSpace(s); s == "" {
		return nil
	}
	key := "description"
	if webAddress.MatchString(s) {
		key = "url"
	}
	return slices.Concat([]byte(`{"`+key+`":`), stix.Quote(s), []byte{'}'})
}

var webAddress = regexp.MustCompile(`(?i)^(?:https?|ftp)://\S+$`)

// fixReference returns nil if the reference needs no fixing.
func fixReference(raw json.RawMessage) json.RawMessage {
	if raw[0] != '{' {
		if raw = textReference(raw); raw == nil {
			return nil
		}
	}
	bad, named, linked, known := false, false, false, false
	for k, v := range stix.Members(raw) {
		switch k {
		case "url", "source_name", "external_id", "description":
			s, ok := stix.Text(v)
			s = strings.TrimSpace(s)
			bad = bad || !ok || s == ""
			named = named || k == "source_name" && s != ""
			linked = linked || k == "url" && s != ""
			known = known || k == "external_id" && s != ""
		}
	}
	if !bad && named && (linked || known) {
		return nil
	}
	fixed := membersOf(raw)
	for _, k := range [...]string{"url", "source_name", "external_id", "description"} {
		v, there := fixed[k].(json.RawMessage)
		if !there {
			continue
		}
		to, ok := readText(v)
		if !ok {
			fixed[k] = to
		}
		if s, isText := stix.Text(v); !ok && to == nil || isText && strings.TrimSpace(s) == "" {
			delete(fixed, k)
		}
	}
	nameReference(fixed)
	out, err := json.Marshal(fixed)
	if err != nil {
		return nil
	}
	return out
}

// nameReference gives a reference what OpenCTI identifies it by: a source and, if
// it has neither address nor id, its description as id. If no property that OpenCTI
// reads has a text, its other texts are used.
func nameReference(fixed map[string]any) {
	if fixed["source_name"] == nil && fixed["url"] == nil && fixed["external_id"] == nil && fixed["description"] == nil {
		var said []string
		for _, k := range slices.Sorted(maps.Keys(fixed)) {
			raw, _ := fixed[k].(json.RawMessage)
			if s, ok := stix.Text(raw); ok && strings.TrimSpace(s) != "" {
				said = append(said, strings.TrimSpace(s))
			}
		}
		if said == nil {
			return
		}
		fixed["description"] = strings.Join(said, ", ")
	}
	source := fixed["source_name"]
	if source == nil {
		fixed["source_name"] = authorName
	}
	if fixed["url"] == nil && fixed["external_id"] == nil {
		id := fixed["description"]
		if id == nil {
			id = source
		}
		if id != nil {
			fixed["external_id"] = shortID(id)
		}
	}
}

// shortID returns a text, or JSON text, that serves as an id; a UUID if it is long, since it is elsewhere as well.
func shortID(text any) any {
	const most = 250
	s, isText := text.(string)
	if raw, ok := text.(json.RawMessage); ok {
		s = string(raw)
	} else if !isText {
		return text
	}
	if len(s) > most {
		return stix.DerivedID("external-reference", s)
	}
	return text
}
