package stix

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/moment"
)

// Trace is what is remembered of an object that was sent, so that a later copy can be compared with it without the
// object itself. The zero value remembers nothing.
type Trace struct {
	changed  int64
	contents []Content // newest first
	rank     int       // of the strictest TLP level that a source gave; 0: none
	units    traceUnits
}

// traceUnits are sorted by name.
type traceUnits []traceUnit

// traceUnit is what was sent of one property, or of those that move with it.
type traceUnit struct {
	name  string
	stamp int64
	mark  uint64 // of a list: of its entries, in any order; odd for those alone
}

// isList reports whether the unit is a list, which takes precedence over other values.
func (u traceUnit) isList() bool { return u.mark&1 == 1 }

// Verdict says what to do with a copy of an object that was sent before.
type Verdict uint8

// The verdicts of [Trace.Weigh].
const (
	// Send: send it, without what an earlier copy says better.
	Send Verdict = iota
	// Nothing: it has nothing that was not sent before.
	Nothing
	// OnlyMarking: an older copy that contradicts the required values that were sent. Its stricter marking is sent
	// with what it says the object is.
	OnlyMarking
	// Conflict: like OnlyMarking, but its marking is not stricter: it has more than was sent, and nothing of it can
	// be sent.
	Conflict
)

// TraceOf restores a trace from what was kept of one: see Changed, Contents, Rank, Marks.
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
		t.units = append(t.units, traceUnit{strings.TrimPrefix(name, asName), int64(stamp), mark})
	}
	t.units.sort()
	return t
}

func (u traceUnits) sort() {
	slices.SortFunc(u, func(a, b traceUnit) int { return strings.Compare(a.name, b.name) })
}

// find returns the unit of that name, or the zero value if there is none, and its index.
func (u traceUnits) find(name string) (unit traceUnit, at int, ok bool) {
	at, ok = slices.BinarySearchFunc(u, name, func(e traceUnit, name string) int { return strings.Compare(e.name, name) })
	if ok {
		unit = u[at]
	}
	return unit, at, ok
}

// set adds the unit, or replaces the one of its name.
func (u *traceUnits) set(unit traceUnit) {
	if _, at, ok := u.find(unit.name); ok {
		(*u)[at] = unit
	} else {
		*u = slices.Insert(*u, at, unit)
	}
}

// markTime precedes the name of a property that is as old as the mark under this name says, in Unix milliseconds.
const markTime = "@"

// Marks returns, by name, what stands for the values that were sent, and for the times of those that are older than
// the newest.
func (t *Trace) Marks() map[string]uint64 {
	marks := make(map[string]uint64, len(t.units))
	for _, u := range t.units {
		name := stampKey(u.name)
		marks[name] = u.mark
		if u.stamp != t.changed && u.stamp != 0 {
			marks[markTime+name] = uint64(u.stamp)
		}
	}
	return marks
}

// Contents returns the contents that were taken in, newest first.
func (t *Trace) Contents() []Content { return t.contents }

// Took reports whether a copy of this content was taken in before.
func (t *Trace) Took(c Content) bool { return slices.Contains(t.contents, c) }

// Changed returns the time of the newest copy that was sent.
func (t *Trace) Changed() time.Time { return stampTime(t.changed) }

// Rank returns the rank of the strictest TLP level that a source gave; 0 if none did.
func (t *Trace) Rank() int { return t.rank }

// Weigh says what of a copy should be sent after what the trace remembers, and returns that. With Nothing it returns
// what to send if the copy is sent again anyway, which is all of it, since OpenCTI may have lost or refused what was
// sent; with Conflict it returns nil. sameRun says that what was sent is from the same run: then the strictest marking
// wins. A newer copy of a later run is sent with its own marking. o is not changed.
func (t *Trace) Weigh(o *Object, sameRun bool) (*Object, Verdict) {
	stricter := o.SourceRank() > t.rank
	var worse []string
	news, clash := o.changed() > t.changed, false
	for _, u := range o.traceUnits() {
		lead := u.name
		known, _, ok := t.units.find(lead)
		switch {
		case u.stamp == filledIn && !ok, known == u:
		case !ok, u.isList() && known.mark != u.mark:
			news = true
		case known.isList() && !u.isList():
			worse = append(worse, lead)
		case u.stamp > known.stamp, u.stamp == known.stamp && u.mark > known.mark:
			news = news || known.mark != u.mark
		case known.mark != u.mark && required[lead] && lead != "created":
			clash = true
		case known.mark != u.mark:
			worse = append(worse, lead)
		}
	}
	nothing := !news && !stricter
	if !nothing && clash && o.changed() <= t.changed && !stricter {
		return nil, Conflict
	}
	if nothing {
		if o.SourceRank() < t.rank {
			o = o.Clone()
			o.Restrict(t.rank)
		}
		return o, Nothing
	}
	out := o.Clone()
	for _, lead := range worse {
		for _, key := range membersOf(lead) {
			out.Delete(key)
		}
	}
	if older := o.changed() < t.changed; older || sameRun {
		out.Restrict(t.rank)
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

// Add records that the object was sent, after what the trace remembers. The contents are those that the object was
// made from.
func (t *Trace) Add(o *Object, sameRun bool) {
	if rank := o.SourceRank(); sameRun || t.units != nil && o.changed() < t.changed {
		t.rank = max(t.rank, rank)
	} else {
		t.rank = rank
	}
	units := o.traceUnits()
	if t.units == nil {
		t.changed = o.changed()
		t.units = slices.DeleteFunc(units, func(u traceUnit) bool { return u.stamp == filledIn })
		units = nil // they are all new
	}
	t.changed = max(t.changed, o.changed())
	for _, u := range units {
		if known, _, ok := t.units.find(u.name); u.stamp != filledIn && (!ok || u.stamp >= known.stamp || u.isList()) {
			t.units.set(u)
		}
	}
	if len(t.units) > MaxProperties { // of many copies with ever other properties the last is remembered
		t.units = slices.DeleteFunc(o.traceUnits(), func(u traceUnit) bool { return u.stamp == filledIn })
	}
	t.note(o, units)
}

// Note records that the copies which the object was made from were taken in, whether anything of them is sent or not.
// It reports whether that changed the time of anything that was sent.
func (t *Trace) Note(o *Object) (changed bool) { return t.note(o, o.traceUnits()) }

func (t *Trace) note(o *Object, units traceUnits) (changed bool) {
	t.contents = slices.DeleteFunc(t.contents, func(c Content) bool { return slices.Contains(o.taken, c) })
	t.contents = slices.Concat(o.taken, t.contents)
	t.contents = t.contents[:min(len(t.contents), contentsKept)]
	for _, u := range units { // what it repeats counts as said at its time
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
	var buf []byte
	for i := range o.fields {
		f := &o.fields[i]
		lead, bit := leading(f.key)
		switch {
		case done&bit != 0, f.key == "type", f.key == "id", f.key == "spec_version", f.key == "modified":
		case united(f.raw, f.key): // it is united with what is there, whatever its time
			mark := listMark(f.key, f.raw, &buf)
			if mark != 0 && (f.stamp != filledIn || f.key == "object_marking_refs") {
				units = append(units, traceUnit{name: lead, mark: mark | 1})
				done |= bit
			}
		default:
			units = append(units, d.traceUnit(lead, &buf))
			done |= bit
		}
	}
	units.sort()
	return units
}

// listMark is equal for lists of the same entries in any order. TLP levels do not count: rank covers them. What buf
// holds is lost.
func listMark(key string, raw json.RawMessage, buf *[]byte) uint64 {
	sum := uint64(0)
	for k, v := range Members(raw) {
		*buf = append(append((*buf)[:0], k...), v...)
		sum += entryMark(*buf)
	}
	for e := range Elements(raw) {
		if key == "object_marking_refs" {
			id, _ := Text(e)
			if _, level := TLPByID(id); level {
				continue
			}
		}
		if len(e) > largeText {
			mark := uint64(markStart)
			writeCanonical(e, func(b []byte) { mark = addMark(mark, b) })
			sum += mark
			continue
		}
		sum += entryMark(canonical(e, buf))
	}
	return sum
}

// entryMark is FNV-1a, as hash/fnv has it: that one takes memory for each of its arguments.
func entryMark(entry []byte) uint64 { return addMark(markStart, entry) }

const markStart = 14695981039346656037

func addMark(h uint64, text []byte) uint64 {
	for _, c := range text {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// required lists what an object is always sent with: without one of these properties OpenCTI refuses it, or takes it
// for another.
var required = set("created", "name", "value", "path", "key", "number", "hashes", "content", "opinion", "product",
	"result_name", "pattern", "published", "relationship_type", "sighting_of_ref", "where_sighted_refs",
	"identity_class", "context", "definition", "first_observed", "valid_from", "x_opencti_location_type",
	"x_opencti_type")

// onlyRequired keeps what an object cannot be sent without, and its markings.
func (o *Object) onlyRequired() {
	o.fields = slices.DeleteFunc(o.fields, func(f field) bool {
		switch f.key {
		case "type", "id", "spec_version", "created", "modified", "created_by_ref", "object_marking_refs":
			return false
		}
		return !required[leader(f.key)]
	})
}

// SourceRank returns the rank of the TLP level that sources gave the object; 0 if there is none or it was filled in.
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

// Restrict raises the TLP level to the rank if that is stricter than what sources gave.
func (o *Object) Restrict(rank int) {
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
