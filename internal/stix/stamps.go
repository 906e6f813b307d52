package stix

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
)

// Content stands for the content of one copy: the first bytes of its [Object.Hash].
type Content [8]byte

// contentsKept is how many contents are remembered of an object.
const contentsKept = 8

// Arrive notes the object's content as it is now, before it is merged with
// others or anything is cut from it, and returns it.
func (o *Object) Arrive() Content {
	h := o.Hash()
	c := Content(h[:len(Content{})])
	o.taken = []Content{c}
	return c
}

// Contents lists the contents of the copies that the object was made of, as
// far as Arrive noted them: the greatest 8, sorted.
func (o *Object) Contents() []Content { return slices.Clone(o.taken) }

func mergeContents(a, b []Content) []Content {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y Content) int { return bytes.Compare(x[:], y[:]) })
	all = slices.Compact(all)
	return all[max(0, len(all)-contentsKept):]
}

// ErrStamps means that what should be an object's stamps is none.
var ErrStamps = errors.New("unreadable stamps")

const stampsVersion = 1

// Stamps returns what a merge needs to know of the object beside its JSON text:
// the times of properties that came from older copies, what was filled in, and
// what Arrive noted. It is nil when there is nothing to know.
func (o *Object) Stamps() []byte {
	n := 0
	for i := range o.fields {
		if o.fields[i].stamp != 0 {
			n++
		}
	}
	if n == 0 && o.at == 0 && len(o.taken) == 0 {
		return nil
	}
	out := binary.AppendVarint([]byte{stampsVersion}, o.at)
	out = binary.AppendUvarint(out, uint64(len(o.taken)))
	for _, c := range o.taken {
		out = append(out, c[:]...)
	}
	for i := range o.fields {
		if f := &o.fields[i]; f.stamp != 0 {
			out = binary.AppendVarint(appendName(out, f.key), f.stamp)
		}
	}
	return out
}

// SetStamps brings back what Stamps returned for an object of this text; nil
// takes all of it away. Stamps of properties that the object does not have are
// left out. After an error the object is as it was.
func (o *Object) SetStamps(stamps []byte) error {
	c := o.Clone()
	c.at, c.taken = 0, nil
	for i := range c.fields {
		c.fields[i].stamp = 0
	}
	if len(stamps) > 0 {
		r := reader{in: stamps}
		if r.byte() != stampsVersion {
			return ErrStamps
		}
		c.at = r.varint()
		c.taken = r.contents()
		for len(r.in) > 0 && !r.bad {
			key := r.name()
			if stamp, i := r.varint(), c.index(key); i >= 0 {
				c.fields[i].stamp = stamp
			}
		}
		if r.bad {
			return ErrStamps
		}
	}
	*o = *c
	return nil
}

// reader reads what the spool gives back; bad after anything that cannot be.
type reader struct {
	in  []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.in) {
		r.bad, r.in = true, nil
		return nil
	}
	out := r.in[:n]
	r.in = r.in[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.in)
	if n <= 0 {
		n = -1
	}
	r.take(n)
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.in)
	if n <= 0 {
		n = -1
	}
	r.take(n)
	return v
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) contents() []Content {
	n := r.uvarint()
	if n > contentsKept {
		r.bad = true
	}
	var list []Content
	for ; n > 0 && !r.bad; n-- {
		if b := r.take(len(Content{})); b != nil {
			list = append(list, Content(b))
		}
	}
	return list
}

func (r *reader) name() string {
	if code := int(r.byte()); code > 0 && code <= len(nameCodes) {
		return nameCodes[code-1]
	} else if code != 0 {
		r.bad = true
		return ""
	}
	n := r.uvarint()
	if n > 1<<16 {
		r.bad = true
	}
	return string(r.take(int(n)))
}

// appendName writes the name of a property: a code, or 0, length and text.
func appendName(dst []byte, name string) []byte {
	if i := slices.Index(nameCodes, name); i >= 0 {
		return append(dst, byte(i+1))
	}
	dst = binary.AppendUvarint(append(dst, 0), uint64(len(name)))
	return append(dst, name...)
}

// nameCodes gives the most usual properties a code of one byte on disk. Names
// are only ever added, at the end.
var nameCodes = []string{
	"type", "spec_version", "id", "created", "modified", "created_by_ref", "revoked", "labels", "confidence", "lang",
	"external_references", "object_marking_refs", "granular_markings", "extensions", "name", "description", "aliases",
	"kill_chain_phases", "first_seen", "last_seen", "objective", "goals", "resource_level", "primary_motivation",
	"secondary_motivations", "identity_class", "sectors", "contact_information", "roles", "indicator_types", "pattern",
	"pattern_type", "pattern_version", "valid_from", "valid_until", "malware_types", "is_family",
	"architecture_execution_envs", "implementation_languages", "capabilities", "published", "report_types",
	"object_refs", "relationship_type", "source_ref", "target_ref", "start_time", "stop_time", "sighting_of_ref",
	"where_sighted_refs", "observed_data_refs", "count", "summary", "threat_actor_types", "sophistication",
	"tool_types", "tool_version", "infrastructure_types", "latitude", "longitude", "precision", "region", "country",
	"administrative_area", "city", "content", "abstract", "authors", "context", "value", "hashes", "size", "number",
	"path", "key", "x_opencti_score", "x_opencti_aliases", "x_opencti_content", "x_opencti_main_observable_type",
	"x_opencti_location_type", "x_opencti_type", "x_opencti_detection", "x_opencti_created_by_ref", "x_mitre_id",
	"x_mitre_platforms", "first_observed", "last_observed", "number_observed", "definition", "definition_type",
}
