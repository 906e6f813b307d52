package stix

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/moment"
)

// Errors of Decode, which dead letters tell apart.
var (
	ErrNotObject = errors.New("not a JSON object")
	ErrNoType    = errors.New("no usable type")
	ErrNoID      = errors.New("no id")
	ErrBadID     = errors.New("id is not of the form <type>--<uuid>")
)

// Object is one STIX object: its properties in source order, values as JSON text in normal form. Values are replaced,
// never changed in place, so that clones can share them. Create one with New or Decode.
type Object struct {
	typ, id string
	fields  []field
	at      int64 // when it was last changed, in Unix ms, if modified does not say so; 0: it does
	taken   []Content
	// repeated are values that Decode found before another one of the same property.
	repeated []field
}

type field struct {
	key   string
	raw   json.RawMessage
	stamp int64 // 0: the object's own; see Merge
}

// Decode reads one JSON object in normal form that has a string type and an id of the form <type>--<uuid>. A repeated
// key keeps its first position and its last value. Errors wrap the Err… values of this package. raw is kept and must
// not change afterwards.
func Decode(raw json.RawMessage) (*Object, error) {
	if len(raw) == 0 || raw[0] != '{' {
		return nil, ErrNotObject
	}
	o := decodeFields(raw)
	if !typeName(o.typ) {
		return nil, ErrNoType
	}
	if o.id == "" {
		return nil, ErrNoID
	}
	if prefix, ok := SplitID(o.id); !ok || prefix != o.typ {
		return nil, ErrBadID
	}
	return o, nil
}

func decodeFields(raw json.RawMessage) *Object {
	o := &Object{fields: make([]field, 0, min(16, len(raw)/16))}
	places := map[string]int(nil) // once there are many
	for key, value := range Members(raw) {
		i := -1
		if places == nil {
			i = o.index(key)
		} else if at, ok := places[key]; ok {
			i = at
		}
		if i >= 0 {
			o.repeated = append(o.repeated, o.fields[i])
			o.fields[i].raw = value
			continue
		}
		o.fields = append(o.fields, field{key: key, raw: value})
		if n := len(o.fields); places != nil {
			places[key] = n - 1
		} else if n == manyFields {
			places = make(map[string]int, 2*n)
			for i := range o.fields {
				places[o.fields[i].key] = i
			}
		}
	}
	o.typ, o.id = o.String("type"), o.String("id")
	return o
}

// manyFields is the number of fields from which on a map is faster than a search.
const manyFields = 64

// New returns an object with only a type, spec version 2.1 and an id.
func New(typ, id string) *Object {
	o := &Object{fields: make([]field, 0, 16)}
	o.Set("type", typ)
	o.Set("spec_version", "2.1")
	o.Set("id", id)
	return o
}

// SplitID returns the type in an id; false if the id is not <type>--<uuid>.
func SplitID(id string) (string, bool) {
	const uuid = len("00000000-0000-0000-0000-000000000000")
	n := len(id) - uuid - 2
	if n < 1 || id[n:n+2] != "--" || !typeName(id[:n]) || strings.Contains(id[:n], "--") {
		return "", false
	}
	for i, c := range []byte(id[n+2:]) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return "", false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return "", false
			}
		}
	}
	return id[:n], true
}

// typeName reports whether STIX allows s as a type: lower case letters, digits, hyphens.
func typeName(s string) bool {
	for _, c := range []byte(s) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 250
}

func (o *Object) index(key string) int {
	for i := range o.fields {
		if o.fields[i].key == key {
			return i
		}
	}
	return -1
}

// ID returns the object's id.
func (o *Object) ID() string { return o.id }

// Type returns the object's type.
func (o *Object) Type() string { return o.typ }

// Len returns the number of properties.
func (o *Object) Len() int { return len(o.fields) }

// Keys returns the property names in order.
func (o *Object) Keys() []string {
	keys := make([]string, len(o.fields))
	for i := range o.fields {
		keys[i] = o.fields[i].key
	}
	return keys
}

// All yields the properties in order. The object must not change meanwhile.
func (o *Object) All() iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for i := range o.fields {
			if !yield(o.fields[i].key, o.fields[i].raw) {
				return
			}
		}
	}
}

// Repeated yields values of properties that appear again in the text that the object was decoded from: the last one
// counts.
func (o *Object) Repeated() iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for _, f := range o.repeated {
			if !yield(f.key, f.raw) {
				return
			}
		}
	}
}

// Copy copies those of the properties that from has, with their stamps.
func (o *Object) Copy(from *Object, keys ...string) {
	for _, key := range keys {
		if i := from.index(key); i >= 0 {
			o.put(key, from.fields[i].raw)
			o.fields[o.index(key)].stamp = from.fields[i].stamp
		}
	}
}

// Has reports whether the object has the property, even if it is null.
func (o *Object) Has(key string) bool { return o.index(key) >= 0 }

// Get returns a property's JSON text. It must not be changed.
func (o *Object) Get(key string) (json.RawMessage, bool) {
	if i := o.index(key); i >= 0 {
		return o.fields[i].raw, true
	}
	return nil, false
}

// String returns a string property; "" if it is absent or not a string.
func (o *Object) String(key string) string {
	raw, _ := o.Get(key)
	s, _ := Text(raw)
	return s
}

// Strings returns the strings in a list property, without other elements; nil if it is not a list.
func (o *Object) Strings(key string) []string {
	raw, _ := o.Get(key)
	return texts(raw)
}

func texts(raw json.RawMessage) []string {
	if len(raw) < 2 || raw[0] != '[' {
		return nil
	}
	list := make([]string, 0, bytes.Count(raw, []byte(`","`))+1)
	for e := range Elements(raw) {
		if s, ok := Text(e); ok {
			list = append(list, s)
		}
	}
	return list
}

// Modified returns the time in modified, else that in created, else the zero time.
func (o *Object) Modified() time.Time {
	for _, key := range [...]string{"modified", "created"} {
		if raw, ok := o.Get(key); ok {
			if r, ok := moment.ParseJSON(raw); ok {
				return r.Time
			}
		}
	}
	return time.Time{}
}

// Set replaces or appends a property. v is anything that encoding/json accepts; nil and empty values delete the
// property, since workers fail on them. A value that cannot be encoded deletes it, too.
func (o *Object) Set(key string, v any) {
	raw, err := encode(v)
	if err != nil || !keep(raw) {
		o.Delete(key)
		return
	}
	o.put(key, raw)
}

// SetNormal is Set for JSON text in normal form, which is kept and must not change afterwards.
func (o *Object) SetNormal(key string, raw json.RawMessage) {
	if !keep(raw) {
		o.Delete(key)
		return
	}
	o.put(key, raw)
}

// Detach copies all values of less than most bytes, so that the text that the object was decoded from can be freed once
// its larger values are replaced.
func (o *Object) Detach(most int) {
	for i := range o.fields {
		if f := &o.fields[i]; len(f.raw) < most {
			f.raw = bytes.Clone(f.raw)
		}
	}
}

// Fill sets a property that the source did not give: a merge treats it as absent. If it is set or copied again
// afterwards, it counts again.
func (o *Object) Fill(key string, v any) {
	if o.Set(key, v); o.Has(key) {
		o.fields[o.index(key)].stamp = filledIn
	}
}

// Filled reports whether the property exists and was set by Fill. In a list of markings only the TLP level was.
func (o *Object) Filled(key string) bool {
	i := o.index(key)
	return i >= 0 && o.fields[i].stamp == filledIn
}

func (o *Object) put(key string, raw json.RawMessage) {
	switch key {
	case "type":
		o.typ, _ = Text(raw)
	case "id":
		o.id, _ = Text(raw)
	}
	if i := o.index(key); i >= 0 {
		o.fields[i].raw, o.fields[i].stamp = raw, 0
		return
	}
	o.fields = append(o.fields, field{key: key, raw: raw})
}

// Delete removes a property and reports whether it was there.
func (o *Object) Delete(key string) bool {
	i := o.index(key)
	if i < 0 {
		return false
	}
	o.fields = slices.Delete(o.fields, i, i+1)
	return true
}

// Clone returns a copy that shares no state that can change.
func (o *Object) Clone() *Object {
	c := *o
	c.fields, c.taken = slices.Clone(o.fields), slices.Clone(o.taken)
	return &c
}

// AppendJSON appends the object as compact UTF-8 JSON, properties in order.
func (o *Object) AppendJSON(dst []byte) []byte {
	if dst == nil {
		dst = make([]byte, 0, o.Size())
	}
	dst = append(dst, '{')
	for i := range o.fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, o.fields[i].key)
		dst = append(dst, ':')
		dst = append(dst, o.fields[i].raw...)
	}
	return append(dst, '}')
}

// Size returns how many bytes AppendJSON appends.
func (o *Object) Size() int {
	var buf [64]byte
	n := len("{}") + max(0, len(o.fields)-1)
	for i := range o.fields {
		n += len(appendString(buf[:0], o.fields[i].key)) + len(":") + len(o.fields[i].raw)
	}
	return n
}

// MarshalJSON implements json.Marshaler.
func (o *Object) MarshalJSON() ([]byte, error) { return o.AppendJSON(nil), nil }
