package stix

import (
	"encoding/json"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/moment"
)

// Trace is what is remembered of an object that went out, so that a later copy
// of it can be weighed without the object itself. The zero value remembers
// nothing.
type Trace struct {
	changed  int64
	contents []Content // the newest first
	rank     int       // of the strictest TLP level that a source gave; 0: none
	units    traceUnits
}

// traceUnits are sorted by name.
type traceUnits []traceUnit

// traceUnit is what went out of one property, or of those that move with it.
type traceUnit struct {
	name  string
	stamp int64
	mark  uint64 // of a list: of its entries, in any order
}

// Verdict says what to do with a copy of an object that went out before.
type Verdict uint8

// The verdicts of [Trace.Weigh].
const (
	// Send: it goes out, without what an earlier copy says better.
	Send Verdict = iota
	// Nothing: it brings nothing that did not go out before.
	Nothing
	// OnlyMarking: an older copy, at odds with the required values that went out.
	// Its stricter marking goes out with what it says the object is.
	OnlyMarking
	// Conflict: as OnlyMarking, but its marking is not stricter; it brings more
	// than went out, and nothing of it can be sent.
	Conflict
)

// TraceOf makes a trace of what was kept of one: see Changed, Contents, Rank, Marks.
func TraceOf(changed time.Time, contents []Content, rank int, marks map[string]uint64) Trace {
	t := Trace{changed: changed.UnixMilli(), contents: contents, rank: rank, units: make(traceUnits, 0, len(marks))}
	for name, mark := range marks {
		if strings.HasPrefix(name, markTime) {
			continue
		}
		stamp, older := marks[markTime+name]
		if !older {
			stamp = uint64(t.changed)
		}
		t.units = append(t.units, traceUnit{name, int64(stamp), mark})
	}
	t.units.sort()
	return t
}

func (u traceUnits) sort() {
	slices.SortFunc(u, func(a, b traceUnit) int { return strings.Compare(a.name, b.name) })
}

// find returns the unit of that name, the zero value when there is none, and its place.
func (u traceUnits) find(name string) (unit traceUnit, at int, ok bool) {
	at, ok = slices.BinarySearchFunc(u, name, func(e traceUnit, name string) int { return strings.Compare(e.name, name) })
	if ok {
		unit = u[at]
	}
	return unit, at, ok
}

// set adds the unit, or puts it in the place of the one of its name.
func (u *traceUnits) set(unit traceUnit) {
	if _, at, ok := u.find(unit.name); ok {
		(*u)[at] = unit
	} else {
		*u = slices.Insert(*u, at, unit)
	}
}

// markTime stands before the name of a property that is as old as the mark
// under this name says, in Unix milliseconds.
const markTime = "@"

// Marks returns, by name, what stands for the values that went out, and for the
// times of those that are older than the newest.
func (t *Trace) Marks() map[string]uint64 {
	marks := make(map[string]uint64, len(t.units))
	for _, u := range t.units {
		marks[u.name] = u.mark
		if u.stamp != t.changed && u.stamp != 0 {
			marks[markTime+u.name] = uint64(u.stamp)
		}
	}
	return marks
}

// Contents lists the contents that were taken in, the newest first.
func (t *Trace) Contents() []Content { return t.contents }

// Took reports whether a copy of this content was taken in before.
func (t *Trace) Took(c Content) bool { return slices.Contains(t.contents, c) }

// Changed is the time of the newest copy that went out.
func (t *Trace) Changed() time.Time { return stampTime(t.changed) }

// Rank is the rank of the strictest TLP level that a source gave; 0 stands for none.
func (t *Trace) Rank() int { return t.rank }

// Weigh says what of a copy should go out after what the trace remembers, and
// returns that; nil with Nothing and Conflict. sameRun tells that what went out
// is of the same run: then the strictest marking stands. A newer copy of a
// later run goes out with its own. The copy is not changed.
func (t *Trace) Weigh(o *Object, sameRun bool) (*Object, Verdict) {
	stricter := o.SourceRank() > t.rank
	var worse []string
	news, clash := o.changed() > t.changed, false
	for _, u := range o.traceUnits() {
		lead := u.name
		known, _, ok := t.units.find(lead)
		switch {
		case u.stamp == filledIn && !ok, known == u:
		case !ok, isListMark(o, lead) && known.mark != u.mark:
			news = true
		case u.stamp > known.stamp, u.stamp == known.stamp && u.mark > known.mark:
			news = news || known.mark != u.mark
		case known.mark != u.mark && required[lead] && lead != "created":
			clash = true
		case known.mark != u.mark:
			worse = append(worse, lead)
		}
	}
	switch {
	case !news && !stricter:
		return nil, Nothing
	case clash && o.changed() <= t.changed && !stricter:
		return nil, Conflict
	}
	out := o.Clone()
	for _, lead := range worse {
		for _, key := range membersOf(lead) {
			out.Delete(key)
		}
	}
	if older := o.changed() < t.changed; older || sameRun {
		out.keepMarking(t.rank)
		if older {
			out.restamp(t.changed)
		}
	}
	if clash && o.changed() <= t.changed {
		out.onlyRequired()
		return out, OnlyMarking
	}
	return out, Send
}

// restamp keeps modified from going back. The properties stay as old as they are.
func (o *Object) restamp(ms int64) {
	own := nonZero(o.changed())
	for i := range o.fields {
		if o.fields[i].stamp == 0 {
			o.fields[i].stamp = own
		}
	}
	if i := o.index("modified"); i >= 0 {
		o.fields[i].raw = appendString(nil, moment.Format(time.UnixMilli(ms)))
	}
	o.at = nonZero(ms)
}

// Add notes that the object went out, after what the trace remembers. The
// contents are those that the object was made of.
func (t *Trace) Add(o *Object, sameRun bool) {
	if rank := o.SourceRank(); sameRun || t.units != nil && o.changed() < t.changed {
		t.rank = max(t.rank, rank)
	} else {
		t.rank = rank
	}
	if t.units == nil {
		t.changed, t.units = o.changed(), make(traceUnits, 0, o.Len())
	}
	t.changed = max(t.changed, o.changed())
	units := o.traceUnits()
	for _, u := range units {
		if known, _, ok := t.units.find(u.name); u.stamp != filledIn && (!ok || u.stamp >= known.stamp || isListMark(o, u.name)) {
			t.units.set(u)
		}
	}
	t.note(o, units)
}

// Note notes that the copies the object was made of were taken in, whether
// anything of them goes out or not. It reports whether that changed the time of
// anything that went out.
func (t *Trace) Note(o *Object) (changed bool) { return t.note(o, o.traceUnits()) }

func (t *Trace) note(o *Object, units traceUnits) (changed bool) {
	t.contents = slices.DeleteFunc(t.contents, func(c Content) bool { return slices.Contains(o.taken, c) })
	t.contents = slices.Concat(o.taken, t.contents)
	t.contents = t.contents[:min(len(t.contents), contentsKept)]
	for _, u := range units { // what it says again counts as said then
		if known, _, _ := t.units.find(u.name); known.mark == u.mark && known.stamp < u.stamp {
			t.units.set(u)
			changed = true
		}
	}
	return changed
}

// traceUnits returns what a trace keeps of the object.
func (o *Object) traceUnits() traceUnits {
	units := make(traceUnits, 0, len(o.fields))
	d := o.dated()
	var done uint64 // a bit for each of together
	var buf [512]byte
	for i := range o.fields {
		f := &o.fields[i]
		lead, bit := leading(f.key)
		switch {
		case done&bit != 0, f.key == "type", f.key == "id", f.key == "spec_version", f.key == "modified":
		case united(f.raw, f.key): // it is united with what is there, whatever its time
			mark := listMark(f.key, f.raw)
			if mark != 0 && (f.stamp != filledIn || f.key == "object_marking_refs") {
				units = append(units, traceUnit{name: lead, mark: mark})
				done |= bit
			}
		default:
			units = append(units, d.traceUnit(lead, buf[:0]))
			done |= bit
		}
	}
	units.sort()
	return units
}

func isListMark(o *Object, lead string) bool {
	raw, _ := o.Get(lead)
	return united(raw, lead)
}

// listMark is the same for lists of the same entries in any order. TLP levels
// are not in it: rank says what there is to say of them.
func listMark(key string, raw json.RawMessage) uint64 {
	sum := uint64(0)
	var few [256]byte
	buf := few[:0]
	for k, v := range Members(raw) {
		buf = append(append(buf[:0], k...), v...)
		sum += entryMark(buf)
	}
	for e := range Elements(raw) {
		if id, ok := Text(e); ok && key == "object_marking_refs" {
			if _, level := TLPByID(id); level {
				continue
			}
		}
		buf = appendCanonicalValue(buf[:0], e)
		sum += entryMark(buf)
	}
	return sum
}

func entryMark(entry []byte) uint64 {
	h := fnv.New64a()
	h.Write(entry)
	return h.Sum64()
}

// required lists what an object goes out with in any case: without one of them
// OpenCTI refuses it, or takes it for another.
var required = set("created", "name", "value", "path", "key", "number", "hashes", "content", "opinion", "product",
	"result_name", "pattern", "published", "relationship_type", "sighting_of_ref", "where_sighted_refs",
	"identity_class", "context", "definition", "first_observed", "valid_from", "x_opencti_location_type",
	"x_opencti_type")

// onlyRequired leaves what an object cannot go out without, and its markings.
func (o *Object) onlyRequired() {
	o.fields = slices.DeleteFunc(o.fields, func(f field) bool {
		switch f.key {
		case "type", "id", "spec_version", "created", "modified", "created_by_ref", "object_marking_refs":
			return false
		}
		return !required[leader(f.key)]
	})
}

// SourceRank returns the rank of the TLP level that sources gave the object; 0
// when there is none, or it was filled in.
func (o *Object) SourceRank() int {
	if o.Filled("object_marking_refs") {
		return 0
	}
	rank := 0
	for _, id := range o.Strings("object_marking_refs") {
		if t, ok := TLPByID(id); ok {
			rank = max(rank, t.Rank)
		}
	}
	return rank
}

// keepMarking raises the TLP level to the rank, if sources gave that.
func (o *Object) keepMarking(rank int) {
	if rank <= o.SourceRank() {
		return
	}
	list := slices.DeleteFunc(o.Strings("object_marking_refs"), func(id string) bool {
		_, level := TLPByID(id)
		return level
	})
	for _, t := range tlps {
		if t.Rank == rank {
			list = append([]string{t.ID}, list...)
		}
	}
	o.Set("object_marking_refs", list)
}
