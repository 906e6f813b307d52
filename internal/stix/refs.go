package stix

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
	"strings"
)

// Ref is one reference of an object: a property named *_ref, or an entry of a list named *_refs. OpenCTI's splitter
// looks at top-level properties only.
type Ref struct {
	Key, ID string
	List    bool
}

// Refs returns the object's references in order, including repeated ones.
func (o *Object) Refs() []Ref {
	refs := make([]Ref, 0, 2) // most have an author and a marking
	for f, id := range o.refs() {
		refs = append(refs, Ref{f.key, string(id), strings.HasSuffix(f.key, "_refs")})
	}
	return refs
}

// RefIDs yields the ids of Refs without copying them: they are valid until the object is changed, and must not be
// changed themselves.
func (o *Object) RefIDs() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, id := range o.refs() {
			if !yield(id) {
				return
			}
		}
	}
}

// refs yields the properties that are references, once for each id in them.
func (o *Object) refs() iter.Seq2[*field, []byte] {
	return func(yield func(*field, []byte) bool) {
		for i := range o.fields {
			f := &o.fields[i]
			switch {
			case strings.HasSuffix(f.key, "_refs"):
				for e := range Elements(f.raw) {
					if id, ok := TextBytes(e); ok && !yield(f, id) {
						return
					}
				}
			case strings.HasSuffix(f.key, "_ref"):
				if id, ok := TextBytes(f.raw); ok && !yield(f, id) {
					return
				}
			}
		}
	}
}

// AddRef appends id to a list of references if it is not there, and reports whether it was added.
func (o *Object) AddRef(key, id string) bool { return o.AddRefs(key, []string{id}) > 0 }

// AddRefs appends those ids to a list that are not there, and returns how many it added.
func (o *Object) AddRefs(key string, ids []string) int {
	before := o.Strings(key)
	list := unique(append(slices.Clip(before), ids...))
	if len(list) > len(before) {
		o.Set(key, list)
	}
	return len(list) - len(before)
}

// DropRef removes every entry id from a list, and the list if it becomes empty, or a single reference with that id.
// It reports whether there was one.
func (o *Object) DropRef(key, id string) bool {
	return o.EditRefs(func(r Ref) (string, bool) { return r.ID, r.Key != key || r.ID != id }) > 0
}

// ReplaceRefs replaces every referenced id by f(id) and returns how many it changed.
func (o *Object) ReplaceRefs(f func(id string) string) int {
	return o.EditRefs(func(r Ref) (string, bool) { return f(r.ID), true })
}

// EditRefs calls edit for each reference; edit returns the id to replace it by, and whether the reference stays. A
// list that is changed loses its repeated entries and those that are not strings, and is removed if it becomes empty.
// For a value that is not a string, edit gets the id "". EditRefs returns how many references were changed or
// removed.
func (o *Object) EditRefs(edit func(Ref) (id string, stay bool)) int {
	total := 0
	for i := 0; i < len(o.fields); i++ {
		f := &o.fields[i]
		var raw json.RawMessage
		n := 0
		switch {
		case strings.HasSuffix(f.key, "_refs"):
			raw, n = editList(f.key, f.raw, edit)
		case strings.HasSuffix(f.key, "_ref"):
			raw, n = editSingle(f.key, f.raw, edit)
		}
		if total += n; n == 0 {
			continue
		}
		if f.raw = raw; raw == nil {
			o.fields = slices.Delete(o.fields, i, i+1)
			i--
		}
	}
	return total
}

func editSingle(key string, raw json.RawMessage, edit func(Ref) (string, bool)) (json.RawMessage, int) {
	old, _ := Text(raw)
	id, stay := edit(Ref{key, old, false})
	switch {
	case !stay:
		return nil, 1
	case id != old:
		return appendString(nil, id), 1
	}
	return raw, 0
}

func editList(key string, raw json.RawMessage, edit func(Ref) (string, bool)) (json.RawMessage, int) {
	if raw[0] != '[' {
		if _, stay := edit(Ref{key, "", true}); stay {
			return raw, 0
		}
		return nil, 1
	}
	var out []string
	n, same := 0, 0
	for e := range Elements(raw) {
		old, isText := Text(e)
		id, stay := edit(Ref{key, old, true})
		switch {
		case !stay || id != old:
			if n++; n == 1 {
				out = texts(raw)[:same]
			}
			if stay {
				out = append(out, id)
			}
		case !isText:
		case n == 0:
			same++
		default:
			out = append(out, id)
		}
	}
	if n == 0 {
		return raw, 0
	}
	if out = unique(out); len(out) == 0 {
		return nil, n
	}
	return stringList(out), n
}

// unique keeps the first of equal strings. It changes list.
func unique(list []string) []string {
	seen := make(map[string]struct{}, len(list))
	return slices.DeleteFunc(list, func(s string) bool {
		_, dup := seen[s]
		seen[s] = struct{}{}
		return dup
	})
}

// dedupeRefs removes repeated entries from lists of references and returns how many.
func (o *Object) dedupeRefs() int {
	removed := 0
	for i := range o.fields {
		f := &o.fields[i]
		if !strings.HasSuffix(f.key, "_refs") || bytes.IndexByte(f.raw, ',') < 0 {
			continue
		}
		list := texts(f.raw)
		if once := unique(list); len(once) < len(list) {
			f.raw = stringList(once)
			removed += len(list) - len(once)
		}
	}
	return removed
}
