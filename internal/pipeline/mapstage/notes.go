package mapstage

import (
	"fmt"
	"slices"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/spool"
)

// notes are what map knows, while a run is mapped, about objects of it that are not
// sent. After a stop the ranks are read again from the dead letters. What a filter took
// out is forgotten then, and objects that refer to it are held.
type notes struct {
	ranks map[string]int  // of the strictest TLP level of copies that became dead letters
	left  map[string]bool // taken out by a filter; true: by the ceiling, which no copy may pass
}

// notesMax limits the size of each map. Objects beyond it restrict nothing.
const notesMax = 100_000

func newNotes() *notes { return &notes{ranks: map[string]int{}, left: map[string]bool{}} }

// restrict notes the rank of the marking of a copy that cannot be sent.
func (n *notes) restrict(id string, rank int) {
	if rank > n.ranks[id] && (len(n.ranks) < notesMax || n.ranks[id] > 0) {
		n.ranks[id] = rank
	}
}

func (n *notes) leave(id, filter string) {
	if over := filter == mapping.Ceiling; len(n.left) < notesMax || over && n.left[id] {
		n.left[id] = n.left[id] || over
	}
}

// take adds the notes of one record.
func (n *notes) take(from *notes) {
	for id, rank := range from.ranks {
		n.restrict(id, rank)
	}
	for id, over := range from.left {
		n.leave(id, map[bool]string{true: mapping.Ceiling}[over])
	}
}

// notesOf returns the notes of a run.
func (m *Stage) notesOf(run spool.Run) (*notes, error) {
	if n := m.notes[run.ID]; n != nil {
		return n, nil
	}
	n := newNotes()
	for after := uint64(0); run.Counters[counterPrefix+"dead"] > 0; {
		m.Status.Beat(stageName)
		heads, err := m.Spool.OpenDeadLetters(after, idPage)
		if err != nil {
			return nil, err
		}
		if len(heads) == 0 {
			break
		}
		for _, d := range heads {
			if after = d.Key; d.Run != run.ID || d.Stage != spool.StageMap || d.STIX == "" {
				continue
			}
			whole, err := m.Spool.DeadLetters(d.Key-1, 1)
			if err != nil {
				return nil, err
			}
			if len(whole) == 1 && whole[0].Err == nil {
				n.restrict(d.STIX, m.rankOf(whole[0]))
			}
		}
	}
	m.notes[run.ID] = n
	return n, nil
}

// rankOf returns the rank of the marking of a dead letter.
func (m *Stage) rankOf(d spool.DeadLetter) (rank int) {
	res := m.guard(spool.Record{NewRecord: spool.NewRecord{
		Dataset: d.Dataset, Source: d.Source, Fetched: d.First, Mapped: d.Class != mapping.DeadIncomplete,
		Body: slices.Concat([]byte(`{"objects":[`), d.Payload, []byte("]}")),
	}}, nil)()
	for _, dead := range res.Dead {
		rank = max(rank, dead.Rank)
	}
	for _, o := range res.Objects {
		rank = max(rank, o.SourceRank())
	}
	return rank
}

// restrict marks an item as strictly as those of its copies that cannot be sent.
func (b *batch) restrict(it *item) {
	if rank := b.notes.ranks[it.id]; rank > it.obj.SourceRank() {
		it.obj = it.obj.Clone()
		it.obj.Restrict(rank)
	}
}

// restrictOthers applies the markings of copies that cannot be sent to the held copies
// of these ids, and to the copies that were sent.
func (b *batch) restrictOthers(ids []string) error {
	ids = slices.DeleteFunc(ids, func(id string) bool { return b.items[id] != nil })
	waits, err := b.waiting(ids)
	if err != nil {
		return err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return waits[id] })
	if err := b.learn(ids); err != nil {
		return err
	}
	searches := lookBacks
	for chunk := range slices.Chunk(ids, objectPage) {
		held, err := b.m.Spool.ObjectsByID(spool.Held, chunk)
		if err != nil {
			return err
		}
		for _, id := range chunk {
			if o, ok := held[id]; ok {
				it, err := b.load(o, true)
				if err != nil {
					return err
				}
				if it != nil {
					b.restrict(it)
					b.watch(it, it.watch)
				}
				continue
			}
			if e, _ := b.entry(id); e.Run != 0 && b.notes.ranks[id] > e.Marking {
				searches--
				if err := b.sendAgain(id, e, searches >= 0); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// How often a batch searches the undelivered bundles for an object that was sent, and
// how many bytes each search reads.
const (
	lookBacks = 4
	lookBack  = 64 << 20
)

// sendAgain sends an object again, as an undelivered bundle has it, under the stricter
// marking of a copy that cannot be sent. Without such a bundle its bytes are gone; that
// is logged and counted.
func (b *batch) sendAgain(id string, entry spool.ID, look bool) (err error) {
	var hits []spool.Hit
	if look {
		hits, _, err = b.m.Spool.Search("bundles", spool.Query{STIX: id}, fmt.Sprintf("%d/0", entry.Run), lookBack)
		if err != nil {
			return err
		}
	}
	for _, hit := range slices.Backward(hits) {
		var run, seq uint64
		if _, err := fmt.Sscanf(hit.Key, "%d/%d", &run, &seq); hit.STIX != id || err != nil {
			continue
		}
		found, err := b.m.Spool.BundleObjects(run, seq, hit.Index, 1)
		if err != nil || len(found) == 0 {
			break // delivered meanwhile, or damaged
		}
		it := b.m.reload(spool.Object{STIX: id, Dataset: found[0].Dataset, Source: found[0].Source, JSON: found[0].JSON})
		if it == nil {
			break
		}
		b.restrict(it)
		entry.Marking, entry.Run = it.obj.SourceRank(), b.run.ID
		it.entry = &entry
		b.add(it)
		b.tally("restricted_again", 1)
		b.letOut(it, entry.Kind)
		return nil
	}
	b.tally("restricted_late", 1)
	b.m.Log.Warn("a copy that cannot be sent is marked more strictly than what was sent", "run", b.run.ID, "object", id)
	return nil
}

// withoutLeft removes those of an item's lost references whose objects a filter took
// out. An item that needs one of them is not sent.
func (b *batch) withoutLeft(it *item, lost []reference) (changed bool) {
	gone := slices.DeleteFunc(slices.Clone(lost), func(r reference) bool {
		_, left := b.notes.left[r.ID]
		return !left
	})
	if len(gone) == 0 {
		return false
	}
	if it.vital(gone) != "" {
		b.skip(it, "left_out")
		return true
	}
	b.tally("references_filtered", int64(len(gone)))
	b.strip(it, gone)
	it.changed = true
	return true
}
