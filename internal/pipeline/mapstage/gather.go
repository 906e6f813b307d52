package mapstage

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// How much is read from the spool at a time. A single record may be larger.
const (
	readRecords = 64
	readBytes   = 4 << 20
)

// gathering is the open bundle: the objects of records that are still in the spool.
// Losing it only costs the time to map them again.
type gathering struct {
	run    spool.Run
	epoch  uint64
	after  uint64 // seq of the last record in it
	oldest time.Time
	seqs   []uint64
	from   []spool.Item // the items that the records belong to
	items  map[string]*item
	order  []*item
	size   int
	dead   []spool.DeadLetter
	count  map[string]int64
	setIDs map[string]string // new ones; see mapping.Result
	notes  *notes

	maxObjects, maxBytes int
}

func (m *Stage) newGather(run spool.Run) (*gathering, error) {
	limit, err := m.limit()
	return &gathering{
		run: run, epoch: m.epoch, items: map[string]*item{}, count: map[string]int64{}, setIDs: map[string]string{}, notes: newNotes(),
		maxObjects: limit, maxBytes: m.opt.MaxBytes,
	}, err
}

// record is the result of mapping one record.
type record struct {
	seq     uint64
	from    spool.Item
	fetched time.Time
	items   []*item
	size    int
	dead    []spool.DeadLetter
	count   map[string]int64
	setIDs  map[string]string // new ones; see mapping.Result
	notes   *notes
	stop    error // the record is not at fault: too many in a row failed like this, or the spool failed
}

// mapOne makes items of one record. mapped is called only if the record is whole.
// Whatever cannot be mapped becomes a dead letter; so does the whole record if the
// mapper panics or the spool cannot read it.
func (m *Stage) mapOne(rec spool.Record, mapped func() mapped) *record {
	out := &record{seq: rec.Seq, fetched: rec.Fetched, notes: newNotes(), count: map[string]int64{"records": 1, "records_" + string(rec.Dataset): 1}}
	out.from.Dataset = rec.Dataset
	out.from.Source, _ = spool.CutDetails(rec.Source)
	if rec.Err != nil {
		out.bury(rec, "", verdict{deadCorrupt, rec.Err.Error()}, rec.Body)
		return out
	}
	if v, bad := m.blamed.records[rec.Seq]; bad {
		out.bury(rec, "", v, rec.Body)
		return out
	}
	rec.Body = nil // the mapper lets it go: a large one would stand beside what it becomes
	res, err := m.withSetIDs(rec, mapped())
	if err != nil {
		out.stop = err
		return out
	}
	out.setIDs = res.SetIDs
	if res.panicked != "" {
		v := verdict{deadPanic, res.panicked}
		if m.blamed.mapper.again(res.frame, fmt.Sprint(rec.Seq)) {
			out.stop = &stoppedError{&brokenError{verdict: v}}
		}
		if rec, out.stop = m.again(rec, out.stop); rec.Body != nil {
			out.bury(rec, "", v, rec.Body)
		}
		return out
	}
	m.blamed.mapper = streak{}
	if n := len(res.Unread); n > 0 {
		m.Log.Warn("times cannot be read", "dataset", string(rec.Dataset), "item", rec.Source, "count", n, "first", res.Unread[0])
	}
	for _, n := range res.Notices {
		m.Log.Warn("a value of ThreatMatch is not understood", "kind", n.Name, "object", n.Object, "value", n.Value,
			"dataset", rec.Dataset, "source", rec.Source)
	}
	out.addResult(m, rec, res.Result)
	return out
}

// again reads the body of a record that was mapped. It returns stop, or why it cannot.
func (m *Stage) again(rec spool.Record, stop error) (spool.Record, error) {
	same, err := m.Spool.Records(rec.Run, rec.Seq-1, 1, 1)
	switch {
	case err != nil:
		return rec, err
	case len(same) == 0 || same[0].Seq != rec.Seq || same[0].Err != nil:
		return rec, fmt.Errorf("record %d/%d cannot be read again", rec.Run, rec.Seq)
	}
	return same[0], stop
}

// addResult makes items of what a record was mapped to.
func (out *record) addResult(m *Stage, rec spool.Record, res mapping.Result) {
	for name, n := range res.Counts {
		out.count[name] += n
	}
	for id, filter := range res.Filtered {
		out.notes.leave(id, filter)
	}
	for _, d := range res.Dead {
		out.notes.restrict(d.ID, d.Rank)
		out.bury(rec, d.ID, verdict{d.Class, d.Reason}, d.Raw)
	}
	out.count["objects"] = int64(len(res.Objects))
	out.from.Objects = len(res.Objects)
	if len(res.Objects)+len(res.Dead) == 0 {
		out.count["records_empty"] = 1
	}
	for _, o := range res.Objects {
		m.at = o.ID()
		out.addItem(m, o, rec)
	}
	m.at = ""
}

// bury makes a dead letter of an object of the record, or of the whole record if id
// is "".
func (out *record) bury(rec spool.Record, id string, v verdict, payload []byte) {
	out.size += len(payload)
	out.dead = append(out.dead, spool.DeadLetter{
		Class: v.class, Error: v.reason, Dataset: rec.Dataset, Source: rec.Source, STIX: id, First: rec.Fetched, Payload: payload,
	})
}

// addItem makes an item of a mapped object. References of an object to itself are
// removed; if the object is nothing without them, it becomes a dead letter.
func (out *record) addItem(m *Stage, o *stix.Object, rec spool.Record) {
	if v, bad := m.blamed.objects[o.ID()]; bad {
		out.count["buried"]++
		out.notes.restrict(o.ID(), o.SourceRank())
		out.bury(rec, o.ID(), v, o.AppendJSON(nil))
		return
	}
	refs := o.Refs()
	var raw *stix.Object
	if slices.ContainsFunc(refs, func(r stix.Ref) bool { return r.ID == o.ID() }) {
		raw = o.Clone()
	}
	changed := dedupeRefs(o, refs)
	for _, r := range refs {
		if r.ID != o.ID() || !o.DropRef(r.Key, r.ID) {
			continue
		}
		changed = true
		out.count["cut_self"]++
		if stix.Essential(o.Type(), r.Key) && !o.Has(r.Key) {
			out.count["buried"]++
			out.bury(rec, o.ID(), verdict{deadCycle, r.Key + " refers to the object itself"}, raw.AppendJSON(nil))
			return
		}
		m.Mapper.EnsureAuthor(o)
	}
	if changed {
		refs = o.Refs()
	}
	o.Arrive()
	it := newItem(o, refs, m.author)
	it.dataset, it.source, it.anew = rec.Dataset, rec.Source, rec.Anew
	it.size = o.Size()
	out.size += it.size
	out.items = append(out.items, it)
}

// dedupeRefs removes repeated entries from lists of references. Otherwise ordering
// the bundle would remove them after the content was compared. It reports whether
// there were any.
func dedupeRefs(o *stix.Object, refs []stix.Ref) (changed bool) {
	if len(refs) < 2 || len(refs) < 8 && !repeated(refs) {
		return false
	}
	lists := map[string][]string{}
	seen := make(map[stix.Ref]bool, len(refs))
	for _, r := range refs {
		if r.List && !seen[r] {
			lists[r.Key] = append(lists[r.Key], r.ID)
		}
		seen[r] = true
	}
	if len(seen) == len(refs) {
		return false
	}
	for key, list := range lists {
		if len(list) < len(o.Strings(key)) {
			o.Set(key, list)
			changed = true
		}
	}
	return changed
}

// repeated is fast for the few references that most objects have.
func repeated(refs []stix.Ref) bool {
	for i, r := range refs {
		if slices.Contains(refs[:i], r) {
			return true
		}
	}
	return false
}

// room reports whether a record's objects fit into the open bundle.
func (g *gathering) room(r *record) bool {
	return len(g.seqs) == 0 || len(g.order)+len(r.items) <= g.maxObjects && g.size+r.size <= g.maxBytes
}

// full reports whether the bundle must be closed now.
func (g *gathering) full() bool {
	return len(g.order)+len(g.dead) >= g.maxObjects || g.size >= g.maxBytes
}

// add puts a record into the open bundle. Copies of one object are merged.
func (g *gathering) add(r *record, now time.Time, author string) {
	at := r.fetched
	if at.After(now) {
		at = now
	}
	if len(g.seqs) == 0 || at.Before(g.oldest) {
		g.oldest = at
	}
	g.seqs, g.after = append(g.seqs, r.seq), r.seq
	if r.from.Dataset != spool.IOCs { // pages of IOCs are no items
		g.from = append(g.from, r.from)
	}
	for _, d := range r.dead {
		g.dead = append(g.dead, d)
		g.size += len(d.Payload)
	}
	maps.Copy(g.setIDs, r.setIDs)
	g.notes.take(r.notes)
	for name, n := range r.count {
		g.count[name] += n
	}
	for _, it := range r.items {
		old := g.items[it.id]
		if old == nil {
			g.items[it.id] = it
			g.order = append(g.order, it)
			g.size += it.size
			continue
		}
		if err := old.merge(it, author); err != nil {
			g.count["buried"]++
			g.notes.restrict(it.id, it.obj.SourceRank())
			d := spool.DeadLetter{Class: mapping.DeadElement, Error: err.Error(), Dataset: it.dataset, Source: it.source, STIX: it.id,
				First: r.fetched, Payload: it.obj.AppendJSON(nil)}
			g.dead = append(g.dead, d)
			g.size += len(d.Payload)
			continue
		}
		g.count["merged"]++
		g.size -= old.size
		old.size = old.obj.Size()
		g.size += old.size
	}
}

// read adds the next records of the run to the open bundle. It reports whether
// there were any.
func (m *Stage) read(ctx context.Context, run spool.Run) (bool, error) {
	after := uint64(0)
	if m.gather != nil {
		after = m.gather.after
	}
	recs, err := m.Spool.Records(run.ID, after, readRecords, readBytes)
	if err != nil || len(recs) == 0 {
		return false, err
	}
	m.Status.Set(stageName, "working", "mapping "+m.describe(run), "")
	results, stop := m.mapAhead(recs)
	defer stop()
	for i, rec := range recs {
		if ctx.Err() != nil {
			return true, nil
		}
		mapped := results[i]
		recs[i].Body, results[i] = nil, nil // frees the body and what was made of it, which may be large
		if err := m.addRecord(ctx, run, rec, mapped); err != nil {
			return true, err
		}
	}
	return true, nil
}

// addRecord maps one record and adds it to the open bundle, which is closed when full. A
// suspect record gets its own bundle.
func (m *Stage) addRecord(ctx context.Context, run spool.Run, rec spool.Record, mapped func() mapped) error {
	suspect := m.suspect(rec)
	apart := suspect || m.isApart(run.ID, rec.Seq)
	if apart {
		if m.gather != nil {
			if err := m.flush(ctx); err != nil {
				return err
			}
		}
	}
	if suspect {
		if err := m.markRecord(run.ID, rec.Seq); err != nil {
			return err
		}
	}
	m.under = &gathering{run: run, seqs: []uint64{rec.Seq}}
	size := len(rec.Body)
	pipeline.Collect(size)
	r := m.mapOne(rec, mapped)
	if r.stop != nil {
		return r.stop
	}
	pipeline.Collect(size)
	if m.gather != nil && !m.gather.room(r) {
		if err := m.flush(ctx); err != nil {
			return err
		}
	}
	if m.gather == nil {
		g, err := m.newGather(run)
		if err != nil {
			return err
		}
		m.gather = g
	}
	m.under = &gathering{run: run, seqs: []uint64{rec.Seq}}
	m.gather.add(r, m.Now(), m.author)
	m.under = nil
	if apart || m.gather.full() {
		return m.flush(ctx)
	}
	return nil
}

// flush closes the open bundle with one commit. If anything goes wrong, the records
// are still in the spool and are mapped again.
func (m *Stage) flush(ctx context.Context) error {
	g := m.gather
	m.gather, m.under = nil, g
	if d := m.drains[g.run.ID]; d != nil && d.room && d.phase == phaseDone {
		d.enter(phaseSettled) // there is something new to release
	}
	b, err := m.newBatch(g.run, g.epoch)
	if err != nil {
		return err
	}
	b.records, b.from, b.setIDs = g.seqs, g.from, g.setIDs
	for name, n := range g.count {
		b.tally(name, n)
	}
	for _, d := range g.dead {
		b.addDeadLetter(d)
	}
	b.notes.take(g.notes)
	b.freed = m.takeFreed(g.run.ID)
	if err := b.arrive(g.order); err != nil {
		return err
	}
	if err := b.restrictOthers(slices.AppendSeq(b.buried, maps.Keys(g.notes.ranks))); err != nil {
		return err
	}
	if err := b.spread(); err != nil {
		return err
	}
	if err := b.cutAuthors(); err != nil {
		return err
	}
	if err := b.commit(ctx); err != nil {
		return err
	}
	m.under = nil
	return nil
}
