package mapping

import (
	"bytes"
	"encoding/json"

	"threatmatch-connector/internal/mapping/markup"
	"threatmatch-connector/internal/stix"
)

// addresses converts the texts of external references and removes addresses that
// would run something in a browser or read a local file.
func (r *record) addresses(o *stix.Object) {
	for _, key := range [...]string{"external_uri", "url"} {
		if o.Type() != "external-reference" && key == "url" { // elsewhere it is an observable's value
			continue
		}
		if s := o.String(key); s != "" {
			if to, ok := r.address(s); !ok {
				o.Delete(key)
			} else if to != s {
				o.Set(key, to)
			}
		}
	}
	raw, ok := o.Get("external_references")
	if !ok || raw[0] != '[' {
		return
	}
	var list []json.RawMessage
	changed := false
	for e := range stix.Elements(raw) {
		to := e
		if e[0] == '{' && dubious(e) {
			to = r.reference(e)
		}
		changed = changed || !bytes.Equal(to, e)
		list = append(list, to)
	}
	if changed {
		o.Set("external_references", list)
	}
}

// dubious is the fast path: most references consist of a web address and plain
// names.
func dubious(raw json.RawMessage) bool {
	return marked(raw) || linked(raw) || !bytes.Contains(raw, []byte(`"url":"http`)) && bytes.Contains(raw, []byte(`"url":`)) ||
		bytes.Contains(raw, []byte("x_opencti_files")) || bytes.Contains(raw, []byte(`\`))
}

func (r *record) reference(raw json.RawMessage) json.RawMessage {
	to := appendMembers(make([]byte, 0, len(raw)), raw, func(key string, v json.RawMessage) any {
		s, isText := stix.Text(v)
		switch {
		case key == "x_opencti_files":
			if list := r.fileList(v); list != nil {
				return list
			}
			return nil
		case !isText:
			return v
		case key == "url":
			if to, ok := r.address(s); ok {
				return to
			}
			return nil
		case key == "source_name", key == "external_id":
			return r.line(s)
		case key == "description":
			return r.long(s)
		}
		return v
	})
	if fixed := fixReference(to); fixed != nil { // its address was removed
		return fixed
	}
	return to
}

// address returns an address as it may be sent; false if it may not be.
func (r *record) address(s string) (string, bool) {
	if s = markup.Decode(s); !markup.Allowed(s) {
		r.count("addresses_unsafe", 1)
		return "", false
	}
	return r.m.markup.Address(s), true
}

// appendMembers appends an object in which each member's value is what edit returns, JSON
// text or a string; nil removes the member.
func appendMembers(dst []byte, raw json.RawMessage, edit func(string, json.RawMessage) any) []byte {
	start, out := len(dst), append(dst, '{')
	for key, v := range stix.Members(raw) {
		to := edit(key, v)
		if to == nil {
			continue
		}
		if len(out) > start+1 {
			out = append(out, ',')
		}
		out = append(append(out, stix.Quote(key)...), ':')
		switch to := to.(type) {
		case json.RawMessage:
			out = append(out, to...)
		case string:
			out = append(out, stix.Quote(to)...)
		}
	}
	return append(out, '}')
}
