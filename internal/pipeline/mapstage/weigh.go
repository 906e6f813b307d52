package mapstage

import (
	"bytes"
	"slices"
	"time"

	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// traceOf reads what an entry of ids remembers of the copies that were sent. Its
// Lists hold a mark for every property, and the times of those that are older than
// the entry; see stix.Trace.
func traceOf(e spool.ID) stix.Trace {
	contents := make([]stix.Content, 0, 1+len(e.Earlier))
	for _, h := range append([][16]byte{e.Hash}, e.Earlier...) {
		contents = append(contents, h)
	}
	return stix.TraceOf(e.Modified, contents, e.Marking, e.Lists)
}

// entryOf makes the entry of an object that is sent. Its kind is left open.
func (b *batch) entryOf(o *stix.Object, t stix.Trace) spool.ID {
	e := spool.ID{
		Modified: t.Changed(), Properties: o.Len(), Names: o.Keys(), Lists: t.Marks(), Marking: t.Rank(),
		Run: b.run.ID, At: b.now,
	}
	slices.Sort(e.Names)
	keepContents(&e, t.Contents())
	return e
}

func keepContents(e *spool.ID, contents []stix.Content) {
	e.Earlier = nil
	for i, c := range contents {
		if i == 0 {
			e.Hash = c
			continue
		}
		e.Earlier = append(e.Earlier, c)
	}
}

// weigh compares the item with what ids knows of it. It returns why nothing of it
// is sent, or "" with what to send in the item.
func (b *batch) weigh(it *item) string {
	e, found := b.entry(it.id)
	known := found && e.Run != 0
	if known && e.Names == nil {
		if why := b.staleByCount(it, e); why != "" {
			return why
		}
		known = false
	}
	var trace stix.Trace
	sameRun := !known || e.Run == b.run.ID
	if known {
		trace = traceOf(e)
		out, verdict := trace.Weigh(it.obj, sameRun)
		switch {
		case verdict == stix.Nothing && !b.recent(e) && !it.obj.Changed().Before(trace.Changed()):
			it.obj = out
		case verdict == stix.Nothing:
			b.note(it, trace, e)
			return staleWord(it, trace)
		case verdict == stix.Conflict:
			return b.conflict(it, trace, e)
		default:
			if verdict == stix.OnlyMarking {
				b.tally("older_marking", 1)
			}
			if !sameRun && out.SourceRank() < trace.Rank() {
				b.tally("markings_lowered", 1)
			}
			it.obj = out
		}
	}
	trace.Add(it.obj, sameRun)
	entry := b.entryOf(it.obj, trace)
	it.entry = &entry
	return ""
}

// conflict records an older copy that contradicts what was sent, so that it is
// reported once.
func (b *batch) conflict(it *item, trace stix.Trace, e spool.ID) string {
	trace.Note(it.obj)
	keepContents(&e, trace.Contents())
	b.putEntry(it.id, e)
	return "older_conflict"
}

// note records that the item repeats what was sent, if that makes it newer.
func (b *batch) note(it *item, trace stix.Trace, e spool.ID) {
	if !trace.Note(it.obj) {
		return
	}
	e.Lists = trace.Marks()
	keepContents(&e, trace.Contents())
	b.putEntry(it.id, e)
}

// putEntry changes an entry of ids without sending anything of it in this batch.
func (b *batch) putEntry(id string, e spool.ID) {
	b.ids = append(b.ids, spool.IDPut{STIX: id, ID: e})
	b.known[id] = &e
}

func staleWord(it *item, trace stix.Trace) string {
	switch {
	case !slices.ContainsFunc(it.obj.Contents(), func(c stix.Content) bool { return !trace.Took(c) }):
		return "skipped_equal"
	case it.obj.Changed().Before(trace.Changed()):
		return "skipped_older"
	}
	return "skipped_poorer"
}

// staleByCount compares with an entry that only says how many properties the object
// had; see FORMAT.md.
func (b *batch) staleByCount(it *item, e spool.ID) string {
	hash := it.obj.Hash()
	newer := it.obj.Changed().Compare(e.Modified.Truncate(time.Millisecond))
	switch {
	case newer < 0:
		return "skipped_older"
	case newer > 0, it.obj.Len() > e.Properties:
		return ""
	case it.obj.Len() < e.Properties:
		return "skipped_poorer"
	case hash == e.Hash && b.recent(e):
		return "skipped_equal"
	case !it.again && e.Run == b.run.ID && bytes.Compare(hash[:], e.Hash[:]) < 0:
		return "skipped_poorer"
	}
	return ""
}
