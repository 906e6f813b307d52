// Package splitter takes a bundle apart as OpenCTI's own client does: into bundles
// of one object, what others refer to first. OpenCTI's workers do so with a bundle
// that was pushed through the API; newer platforms do it themselves.
package splitter

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Split returns the bundles that come of one, in the order in which they are
// queued. Objects that OpenCTI does not know, and relationships without an end,
// are left out without a word.
func Split(bundle []byte) ([][]byte, error) {
	var in struct {
		ID      string            `json:"id"`
		Objects []json.RawMessage `json:"objects"`
	}
	if err := json.Unmarshal(bundle, &in); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if in.ID == "" {
		return nil, errors.New("bundle: no id") // the client would make one up
	}
	s := &splitter{objects: map[string]*object{}, refs: map[string][]string{}, done: map[string]*object{}}
	var ids []string
	for _, text := range in.Objects {
		o, err := readObject(text)
		if err != nil {
			return nil, err
		}
		ids = append(ids, o.id)
		s.objects[o.id] = o
		for _, alias := range o.aliases {
			s.objects[alias] = o
		}
	}
	for _, id := range ids {
		if _, err := s.enlist(id, nil); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(s.elements, func(a, b *object) int { return cmp.Compare(a.deps, b.deps) })
	var out [][]byte
	for _, o := range s.elements {
		part := fmt.Appendf(nil, `{"type":"bundle","id":%s,"spec_version":"2.1","x_opencti_seq":%d,"objects":[`, quoted(in.ID), o.deps)
		out = append(out, append(o.appendTo(part), `]}`...))
	}
	return out, nil
}

type splitter struct {
	objects  map[string]*object // by id and aliases; of two with one id, the last
	refs     map[string][]string
	done     map[string]*object
	elements []*object
}

// enlist adds an object behind all that it refers to, and returns its weight: how
// many objects it needs, itself included. It takes out of it what cannot be kept.
func (s *splitter) enlist(id string, parents []string) (int, error) {
	o := s.objects[id]
	if o == nil {
		return 0, nil
	}
	if done := s.done[id]; done != nil {
		return done.deps, nil
	}
	n := 1
	keep := func(ref string) (bool, error) {
		if !supportedID(ref) || ref == id || slices.Contains(parents, ref) || slices.Contains(s.refs[ref], id) {
			return false, nil
		}
		s.refs[id] = append(s.refs[id], ref)
		more, err := s.enlist(ref, append(slices.Clone(parents), ref))
		n += more
		return true, err
	}
	for _, key := range slices.Clone(o.keys) {
		if err := o.tidy(key, keep); err != nil {
			return 0, err
		}
	}
	o.deps = n
	if s.done[id] != nil { // a deeper call came back to it
		return n, nil
	}
	whole, err := o.whole()
	if whole {
		s.elements = append(s.elements, o)
	}
	s.done[id] = o
	for _, alias := range o.aliases { // not by its own id, as the client has it
		s.done[alias] = o
	}
	return n, err
}

// tidy goes through one property: references that are not kept go, and what a list
// holds twice.
func (o *object) tidy(key string, keep func(ref string) (bool, error)) error {
	value := o.values[key]
	null := bytes.Equal(value, []byte("null"))
	switch {
	case strings.HasSuffix(key, "_refs") && !null:
		var refs []string
		if err := json.Unmarshal(value, &refs); err != nil {
			return fmt.Errorf("%s: %s: %w", o.id, key, err)
		}
		kept := []string{}
		for _, ref := range refs {
			ok, err := keep(ref)
			if err != nil {
				return err
			}
			if ok && !slices.Contains(kept, ref) {
				kept = append(kept, ref)
			}
		}
		o.values[key] = encoded(kept)
	case strings.HasSuffix(key, "_ref"):
		ref, ok := "", false
		if err := json.Unmarshal(value, &ref); err != nil {
			return fmt.Errorf("%s: %s: %w", o.id, key, err)
		}
		if !null {
			var err error
			if ok, err = keep(ref); err != nil {
				return err
			}
		}
		if !ok {
			o.values[key] = json.RawMessage("null")
		}
	case key == "external_references" && !null:
		return o.dedupe(key, "url", "source_name", "external_id")
	case key == "kill_chain_phases" && !null:
		return o.dedupe(key, "", "phase_name", "kill_chain_name")
	}
	return nil
}

// dedupe keeps the first of entries with one id, which is made of the first field
// or else of the two others. An entry that has none goes.
func (o *object) dedupe(key, first, second, third string) error {
	var list []json.RawMessage
	if err := json.Unmarshal(o.values[key], &list); err != nil {
		return fmt.Errorf("%s: %s: %w", o.id, key, err)
	}
	kept, seen := []json.RawMessage{}, map[string]bool{}
	for _, entry := range list {
		var fields map[string]any
		if err := json.Unmarshal(entry, &fields); err != nil {
			return fmt.Errorf("%s: %s: %w", o.id, key, err)
		}
		id := ""
		switch {
		case first != "" && fields[first] != nil:
			id = fmt.Sprint(fields[first])
		case fields[second] != nil && fields[third] != nil:
			id = fmt.Sprint(fields[second], "\x00", fields[third])
		default:
			continue
		}
		if !seen[id] {
			kept = append(kept, entry)
		}
		seen[id] = true
	}
	o.values[key] = encoded(kept)
	return nil
}

// whole says whether the object is sent at all.
func (o *object) whole() (bool, error) {
	set := func(key string) (bool, error) {
		value, has := o.values[key]
		if !has {
			return false, fmt.Errorf("%s has no %s", o.id, key)
		}
		return !bytes.Equal(value, []byte("null")), nil
	}
	switch o.kind {
	case "relationship":
		from, err := set("source_ref")
		to, also := set("target_ref")
		return from && to, errors.Join(err, also)
	case "sighting":
		of, err := set("sighting_of_ref")
		var where []string
		if value, has := o.values["where_sighted_refs"]; has {
			err = errors.Join(err, json.Unmarshal(value, &where))
		}
		return of && len(where) > 0, err
	}
	return supportedID(o.id), nil
}
