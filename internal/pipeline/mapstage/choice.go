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

// choice decides which copies of an object are sent, by what was sent before.
type choice struct {
	known
	run         spool.Run
	now         time.Time
	resendAfter time.Duration // see Options
	count       map[string]int64
}

// entryOf makes the entry of an object that is sent. Its kind is left open.
func (c *choice) entryOf(o *stix.Object, t stix.Trace) spool.ID {
	e := spool.ID{
		Modified: t.Changed(), Properties: o.Len(), Names: o.Keys(), Lists: t.Marks(), Marking: t.Rank(),
		Run: c.run.ID, At: c.now,
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
func (c *choice) weigh(it *item) string {
	e, found := c.entry(it.id)
	sent := found && e.Run != 0
	if sent && e.Names == nil {
		if why := c.staleByCount(it, e); why != "" {
			return why
		}
		sent = false
	}
	var trace stix.Trace
	sameRun := !sent || e.Run == c.run.ID
	if sent {
		trace = traceOf(e)
		out, verdict := trace.Weigh(it.obj, sameRun)
		switch {
		case verdict == stix.Nothing && !c.recent(e) && !it.obj.Changed().Before(trace.Changed()):
			it.obj = out
		case verdict == stix.Nothing:
			c.note(it, trace, e)
			return staleWord(it, trace)
		case verdict == stix.Conflict:
			return c.conflict(it, trace, e)
		default:
			if verdict == stix.OnlyMarking {
				c.tally("older_marking", 1)
			}
			if !sameRun && out.SourceRank() < trace.Rank() {
				c.tally("markings_lowered", 1)
			}
			it.obj = out
		}
	}
	trace.Add(it.obj, sameRun)
	entry := c.entryOf(it.obj, trace)
	it.entry = &entry
	return ""
}

// conflict records an older copy that contradicts what was sent, so that it is
// reported once.
func (c *choice) conflict(it *item, trace stix.Trace, e spool.ID) string {
	trace.Note(it.obj)
	keepContents(&e, trace.Contents())
	c.put(it.id, e)
	return "older_conflict"
}

// note records that the item repeats what was sent, if that makes it newer.
func (c *choice) note(it *item, trace stix.Trace, e spool.ID) {
	if !trace.Note(it.obj) {
		return
	}
	e.Lists = trace.Marks()
	keepContents(&e, trace.Contents())
	c.put(it.id, e)
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
func (c *choice) staleByCount(it *item, e spool.ID) string {
	hash := it.obj.Hash()
	newer := it.obj.Changed().Compare(e.Modified.Truncate(time.Millisecond))
	switch {
	case newer < 0:
		return "skipped_older"
	case newer > 0, it.obj.Len() > e.Properties:
		return ""
	case it.obj.Len() < e.Properties:
		return "skipped_poorer"
	case hash == e.Hash && c.recent(e):
		return "skipped_equal"
	case !it.again && e.Run == c.run.ID && bytes.Compare(hash[:], e.Hash[:]) < 0:
		return "skipped_poorer"
	}
	return ""
}

// staleOnArrival says why the object is not needed, or "". What a relationship will
// become is known only when it is released.
func (c *choice) staleOnArrival(it *item) string {
	e, found := c.entry(it.id)
	if !found || e.Run == 0 {
		return ""
	}
	if it.anew && e.Run < c.run.ID && c.recent(e) {
		e.At = c.now.Add(-c.resendAfter) // it may wait, and is sent again even so
		c.put(it.id, e)
	}
	if e.Names == nil {
		return c.staleByCount(it, e)
	}
	trace := traceOf(e)
	if it.origin == fromRecord && it.obj.SourceRank() <= trace.Rank() && !slices.ContainsFunc(it.obj.Contents(), func(c stix.Content) bool { return !trace.Took(c) }) {
		if c.recent(e) {
			return "skipped_equal"
		}
		return ""
	}
	_, verdict := trace.Weigh(it.obj, e.Run == c.run.ID)
	older := it.obj.Changed().Before(trace.Changed())
	switch {
	case it.obj.Type() == "relationship" && !older:
	case verdict == stix.Conflict && older:
		return c.conflict(it, trace, e)
	case verdict == stix.Nothing && (older || c.recent(e)):
		c.note(it, trace, e)
		return staleWord(it, trace)
	}
	return ""
}

// recent reports whether an equal copy was sent recently enough not to be sent
// again.
func (c *choice) recent(e spool.ID) bool {
	switch {
	case e.Run >= c.run.ID:
		return true
	case !c.run.Reason.MovesWatermarks():
		return false
	}
	return c.resendAfter > 0 && c.now.Sub(e.At) < c.resendAfter
}

func (c *choice) tally(name string, n int64) {
	if n != 0 {
		c.count[counterPrefix+name] += n
	}
}
