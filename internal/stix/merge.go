package stix

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/moment"
)

// filledIn is the stamp of what the mapper filled in: older than anything from a source.
const filledIn = math.MinInt64

// futureTolerance is how far ahead of us a source's clock may be.
const futureTolerance = 24 * time.Hour

// Merge merges two copies of an object into a new one; neither copy is changed. However many copies there are, and in
// whatever order and grouping they are merged, the result is the same:
//
//   - Each scalar property is decided on its own: the copy that was modified later
//     wins, then the greater value. Properties that belong together, such as
//     start and stop, move as one. What a copy lacks comes from the other.
//   - Lists are united, and so are hashes. Of several TLP levels the strictest wins.
//   - What was set by [Object.Fill] counts as absent.
//
// A property that comes from an older copy keeps that copy's time, its stamp. Both copies must have the same id.
func Merge(a, b *Object) *Object {
	m := &Object{typ: a.typ, id: a.id, fields: make([]field, 0, max(len(a.fields), len(b.fields)))}
	da, db := a.dated(), b.dated()
	changed := max(a.changed(), b.changed())
	for _, key := range mergedKeys(a, b) {
		switch lead := leader(key); {
		case key == "object_marking_refs":
			m.fields = append(m.fields, uniteMarkings(a, b))
		case isUnited(a, b, key):
			m.fields = append(m.fields, unite(a, b, key))
		default:
			from := da
			if compareUnits(da, db, lead) < 0 {
				from = db
			}
			if i := from.index(key); i >= 0 {
				f := from.fields[i]
				f.stamp = from.stampOf(i)
				m.fields = append(m.fields, f)
			}
		}
	}
	for i := range m.fields {
		if m.fields[i].stamp == nonZero(changed) {
			m.fields[i].stamp = 0
		}
	}
	if m.Modified().UnixMilli() != changed {
		m.at = nonZero(changed)
	}
	m.taken = mergeContents(a.taken, b.taken)
	return m
}

// Distrust handles an object that claims to have been modified more than a day after now: it counts as changed when
// it was created, or as the oldest of all if that is no better. The properties stay as they are.
func (o *Object) Distrust(now time.Time) {
	limit := now.Add(futureTolerance)
	if !o.Modified().After(limit) {
		return
	}
	reading, _ := moment.Parse(o.String("created"))
	created := reading.Time
	if created.After(limit) {
		created = time.Time{}
	}
	o.at = nonZero(created.UnixMilli())
}

// Changed returns when the object was last changed, in milliseconds, which decides between copies: see Merge and
// Distrust.
func (o *Object) Changed() time.Time { return time.UnixMilli(o.changed()).UTC() }

func (o *Object) changed() int64 {
	if o.at != 0 {
		return o.at
	}
	return o.Modified().UnixMilli()
}

// nonZero keeps a stamp of 1970 apart from no stamp.
func nonZero(ms int64) int64 {
	if ms == 0 {
		return 1
	}
	return ms
}

// dated is an object with the stamp of those of its properties that have none of their own, which is read once for
// all of them.
type dated struct {
	*Object
	own int64
}

func (o *Object) dated() dated { return dated{o, nonZero(o.changed())} }

func (o dated) stampOf(i int) int64 {
	if s := o.fields[i].stamp; s != 0 {
		return s
	}
	return o.own
}

// together lists the properties that move as one, the leading one first.
var together = [][]string{
	{"start_time", "stop_time"}, {"first_seen", "last_seen"}, {"valid_from", "valid_until"},
	{"first_observed", "last_observed", "number_observed"}, {"analysis_started", "analysis_ended"},
	{"pattern", "pattern_type", "pattern_version", "x_opencti_main_observable_type"},
	{"latitude", "longitude", "precision"},
	{"relationship_type", "source_ref", "target_ref"},
	{"definition", "definition_type", "x_opencti_definition", "x_opencti_definition_type"},
}

// leader returns the property under which key is decided: mostly key itself.
func leader(key string) string {
	lead, _ := leading(key)
	return lead
}

// leading returns key's leader and, if key does not move alone, a bit that stands for its group.
func leading(key string) (lead string, bit uint64) {
	for i, unit := range together {
		if slices.Contains(unit, key) {
			return unit[0], 1 << i
		}
	}
	return key, 0
}

func membersOf(lead string) []string {
	for _, unit := range together {
		if unit[0] == lead {
			return unit
		}
	}
	return []string{lead}
}

// unit is the value and the time of properties that are decided together.
type unit struct {
	stamp int64  // filledIn if absent
	bytes []byte // canonical; nil if absent
}

// unit returns the unit that is decided under lead.
func (o dated) unit(lead string) unit {
	u := unit{stamp: filledIn}
	for _, key := range membersOf(lead) {
		if i := o.index(key); i >= 0 {
			u.bytes = append(appendCanonicalValue(append(u.bytes, key...), o.fields[i].raw, nil), 0)
			u.stamp = max(u.stamp, o.stampOf(i))
		}
	}
	return u
}

// traceUnit returns what stands for a unit where its bytes are not kept. The mark is the first bytes of the leading
// value, then a hash of the whole, so most marks compare as the bytes do.
func (o dated) traceUnit(lead string, buf *[]byte) traceUnit {
	u := traceUnit{name: lead, stamp: filledIn}
	var first [4]byte
	h := uint32(fnv32Start)
	for _, key := range membersOf(lead) {
		i := o.index(key)
		if i < 0 {
			continue
		}
		value := canonical(o.fields[i].raw, buf)
		if key == lead {
			copy(first[:], bytes.TrimPrefix(value, []byte{'"'}))
		}
		h = fnv32(fnv32(fnv32(h, key), value), "\x00")
		u.stamp = max(u.stamp, o.stampOf(i))
	}
	u.mark = uint64(binary.BigEndian.Uint32(first[:]))<<32 | uint64(h&^1)
	return u
}

// fnv32 continues FNV-1a; see entryMark.
func fnv32[T string | []byte](h uint32, text T) uint32 {
	for i := range len(text) {
		h = (h ^ uint32(text[i])) * 16777619
	}
	return h
}

const fnv32Start = 2166136261

// compareUnits says which copy wins: the later one, then the one with the greater value.
func compareUnits(a, b dated, lead string) int {
	if sameUnit(a, b, lead) {
		return 0
	}
	ua, ub := a.unit(lead), b.unit(lead)
	var buf []byte
	switch {
	case ua.bytes == nil || ub.bytes == nil:
		return cmp.Compare(len(ua.bytes), len(ub.bytes))
	case ua.stamp != ub.stamp:
		return cmp.Compare(ua.stamp, ub.stamp)
	}
	if c := cmp.Compare(a.traceUnit(lead, &buf).mark, b.traceUnit(lead, &buf).mark); c != 0 {
		return c
	}
	if c := bytes.Compare(ua.bytes, ub.bytes); c != 0 {
		return c
	}
	for _, key := range membersOf(lead) { // equal except for the order of keys inside, or for what was filled in
		i, j := a.index(key), b.index(key)
		if i < 0 {
			continue
		}
		if c := cmp.Or(cmp.Compare(a.stampOf(i), b.stampOf(j)), bytes.Compare(a.fields[i].raw, b.fields[j].raw)); c != 0 {
			return c
		}
	}
	return 0
}

// sameUnit reports whether two copies, as most do, have the same values of the same time.
func sameUnit(a, b dated, lead string) bool {
	for _, key := range membersOf(lead) {
		i, j := a.index(key), b.index(key)
		switch {
		case i < 0 && j < 0:
		case i < 0 || j < 0 || a.stampOf(i) != b.stampOf(j) || !bytes.Equal(a.fields[i].raw, b.fields[j].raw):
			return false
		}
	}
	return true
}

// mergedKeys returns the properties of both in a fixed order: that of the copies if it is the same, else by name with
// type, spec_version and id first.
func mergedKeys(a, b *Object) []string {
	keys := a.Keys()
	if slices.Equal(keys, b.Keys()) {
		return keys
	}
	keys = append(keys, b.Keys()...)
	slices.SortFunc(keys, func(x, y string) int {
		return cmp.Or(cmp.Compare(keyRank(x), keyRank(y)), strings.Compare(x, y))
	})
	return slices.Compact(keys)
}

func keyRank(key string) int {
	if i := slices.Index([]string{"type", "spec_version", "id"}, key); i >= 0 {
		return i
	}
	return 3
}

func isList(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '[' }
