package mapstage

import (
	"slices"

	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// How many objects or ids are read from the spool at a time.
const (
	objectPage = 100
	idPage     = 1000
)

// batch is one commit in the making. It sees the spool as it will be after that
// commit: what it released counts as known, and what it loaded no longer waits or
// is held.
type batch struct {
	choice
	m     *Stage
	epoch uint64
	limit int // maximum number of objects

	items  map[string]*item // by id
	order  []*item          // in the order of arrival
	by     map[string][]*item
	out    []*item   // in the order of release: dependencies first
	freed  []freedID // released; their watchers in the spool are not checked yet
	size   int       // JSON bytes of out
	loaded int       // JSON bytes of all items

	largest int // JSON bytes of the largest item

	hasWaiting, hasHeld bool
	notes               *notes

	records []uint64
	setIDs  map[string]string
	from    []spool.Item // the items that the records belong to
	unhold  []string
	dead    []spool.DeadLetter
	buried  []string // ids of copies that could not be merged with those in the spool
}

// freedID is an id that is known now, and how far its watchers were read.
type freedID struct {
	id      string
	after   uint64
	held    bool // its watchers among the waiting objects are done
	awaited bool // there is something that waits for it
}

func (m *Stage) newBatch(run spool.Run, epoch uint64) (*batch, error) {
	b := &batch{
		m: m, epoch: epoch, items: map[string]*item{}, by: map[string][]*item{},
		choice: choice{
			known: known{spool: m.Spool, entries: map[string]*spool.ID{}},
			run:   run, now: m.Now(), resendAfter: m.opt.ResendAfter, count: map[string]int64{},
		},
	}
	watched, err := m.Spool.WatchedIDs(run.ID, "", 1)
	if err != nil {
		return nil, err
	}
	held, err := m.Spool.WatchedIDs(spool.Held, "", 1)
	if err != nil {
		return nil, err
	}
	if b.limit, err = m.limit(); err != nil {
		return nil, err
	}
	if b.notes, err = m.notesOf(run); err != nil {
		return nil, err
	}
	b.hasWaiting, b.hasHeld = len(watched) > 0, len(held) > 0
	return b, nil
}

// full reports whether the batch should be committed before more is added.
func (b *batch) full() bool {
	return len(b.out) >= b.limit || b.size >= b.m.opt.MaxBytes ||
		len(b.items) >= 2*b.limit || b.loaded >= 2*b.m.opt.MaxBytes || len(b.entries) >= knownMax
}

// moved reports whether the batch made progress with any object.
func (b *batch) moved() bool {
	if len(b.out)+len(b.dead)+len(b.unhold)+len(b.puts) > 0 {
		return true
	}
	return slices.ContainsFunc(b.order, func(it *item) bool { return it.changed || it.state != itemPending })
}

// empty reports whether a commit would change nothing.
func (b *batch) empty() bool { return len(b.records) == 0 && len(b.count) == 0 && !b.moved() }

func (b *batch) add(it *item) {
	b.items[it.id] = it
	b.order = append(b.order, it)
	b.loaded += it.size
}

// putBack removes the item that was added last, unchanged.
func (b *batch) putBack(it *item) {
	delete(b.items, it.id)
	b.order = b.order[:len(b.order)-1]
	b.loaded -= it.size
}

// isSettled reports whether a reference to id may be sent now: the object it names
// is sent before this batch or in it. An id that learn did not look up counts as
// unknown. So does an object that a later run handed over while this run waited,
// because that run's bundles are sent after this one's.
func (b *batch) isSettled(id string) bool {
	if it := b.items[id]; it != nil && it.state == itemOut {
		return true
	}
	e, found := b.entry(id)
	return found && e.Run <= b.run.ID
}

// learnRefs looks up everything that the items refer to, and the items themselves.
func (b *batch) learnRefs(items ...*item) error {
	ids := make([]string, 0, 4*len(items))
	for _, it := range items {
		ids = append(ids, it.id)
		for _, r := range it.refs {
			ids = append(ids, r.ID)
		}
	}
	return b.learn(ids)
}

// open returns the references of an item that are not settled. Call learnRefs
// first.
func (b *batch) open(it *item) []reference {
	return slices.DeleteFunc(slices.Clone(it.refs), func(r reference) bool { return b.isSettled(r.ID) })
}

// settle releases the items whose references are all settled, and whatever in the
// batch waits for those. The others watch their first missing id.
func (b *batch) settle(items ...*item) error {
	if err := b.learnRefs(items...); err != nil {
		return err
	}
	ready := slices.Clone(items)
	for i := 0; i < len(ready); i++ {
		it := ready[i]
		b.m.at = it.id
		if b.clear(it) {
			if err := b.release(it); err != nil {
				return err
			}
			if b.isSettled(it.id) {
				ready = append(ready, b.by[it.id]...)
				delete(b.by, it.id)
			}
		}
	}
	b.m.at = ""
	return nil
}

// clear looks for a reference of the item that is not settled. If there is none it
// returns true; otherwise the item watches that reference. It continues where it
// stopped before and checks every reference once more before it returns true, so
// that long lists are not read from the start again and again.
func (b *batch) clear(it *item) bool {
	if it.state == itemOut || it.state == itemGone {
		return false
	}
	for it.looked = 0; it.looked < len(it.refs); it.looked++ {
		if it.next >= len(it.refs) {
			it.next = 0
		}
		if id := it.refs[it.next].ID; !b.isSettled(id) {
			b.watch(it, id)
			return false
		}
		it.next++
	}
	return true
}

// watch makes the item wait for the id.
func (b *batch) watch(it *item, id string) {
	if it.state != itemPending || it.watch != id {
		it.changed = true
	}
	it.state, it.watch = itemPending, id
	b.by[id] = append(b.by[id], it)
}

// free records that the id is known now, so that whatever waits for it is checked.
func (b *batch) free(id string) {
	if b.hasWaiting || b.hasHeld {
		b.freed = append(b.freed, freedID{id: id})
	}
}

// spread releases what waits or is held in the spool for the freed ids, until the
// batch is full.
func (b *batch) spread() error {
	for len(b.freed) > 0 && !b.full() {
		if !b.freed[0].awaited {
			if err := b.dropUnawaited(); err != nil {
				return err
			}
			continue
		}
		f := &b.freed[0]
		if err := b.learn([]string{f.id}); err != nil {
			return err
		}
		if !b.isSettled(f.id) { // its entry was removed meanwhile
			b.freed = b.freed[1:]
			continue
		}
		objs, err := b.page(f)
		if err != nil {
			return err
		}
		switch {
		case len(objs) > 0:
			f.after = objs[len(objs)-1].Seq
			if err := b.takeIn(objs, f.held); err != nil {
				return err
			}
		case !f.held:
			f.held, f.after = true, 0
		default:
			b.freed = b.freed[1:]
		}
	}
	return nil
}

// dropUnawaited drops those of the next freed ids that nothing waits for, which most are.
func (b *batch) dropUnawaited() error {
	n := slices.IndexFunc(b.freed, func(f freedID) bool { return f.awaited })
	if n < 0 {
		n = len(b.freed)
	}
	n = min(n, idPage)
	ids := make([]string, n)
	for i, f := range b.freed[:n] {
		ids[i] = f.id
	}
	awaited, err := b.m.Spool.Awaited(b.run.ID, ids)
	left := 0
	for _, f := range slices.Backward(b.freed[:n]) {
		if f.awaited = awaited[f.id]; f.awaited {
			left++
			b.freed[n-left] = f
		}
	}
	b.freed = b.freed[n-left:]
	return err
}

// page reads the next objects that watch a freed id.
func (b *batch) page(f *freedID) ([]spool.Object, error) {
	switch {
	case !f.held && b.hasWaiting:
		return b.m.Spool.Watchers(b.run.ID, f.id, f.after, objectPage)
	case f.held && b.hasHeld:
		return b.m.Spool.Watchers(spool.Held, f.id, f.after, objectPage)
	}
	return nil, nil
}

// takeIn loads objects of the spool into the batch and settles them.
func (b *batch) takeIn(objs []spool.Object, held bool) error {
	items := make([]*item, 0, len(objs))
	for _, o := range objs {
		it, err := b.load(o, held)
		if err != nil {
			return err
		}
		if it != nil {
			items = append(items, it)
		}
	}
	return b.settle(items...)
}

// load makes an item of a waiting or held object. It returns nil for an object that
// the batch has already, and for one that cannot be read, which becomes a dead
// letter.
func (b *batch) load(o spool.Object, held bool) (*item, error) {
	if b.items[o.STIX] != nil {
		return nil, nil
	}
	if v, bad := b.m.blamed.objects[o.STIX]; bad {
		b.takeOut(o, held, v)
		return nil, nil
	}
	if held {
		// A copy that waits in this run is newer and goes the usual way.
		if _, waits, err := b.stored(o.STIX); waits || err != nil {
			return nil, err
		}
	}
	it := b.m.reload(o)
	if it == nil {
		b.unreadable(o, held)
		return nil, nil
	}
	if held {
		it.origin, it.seq, it.held, it.changed = fromHeld, 0, &o, true
		b.tally("taken_up", 1)
	} else {
		it.waits = true
	}
	b.add(it)
	return it, nil
}

// reload makes an item of an object in the spool. It returns nil if that is not a
// STIX object of that id, or is known to fail.
func (m *Stage) reload(o spool.Object) *item {
	if _, bad := m.blamed.objects[o.STIX]; bad || o.Err != nil {
		return nil
	}
	before := m.at
	m.at = o.STIX
	obj, err := stix.Decode(o.JSON)
	if err != nil || obj.ID() != o.STIX {
		m.at = before
		return nil
	}
	obj.SetStamps(o.Stamps)
	it := newItem(obj, obj.Refs(), m.author)
	it.origin, it.dataset, it.source = fromWaiting, o.Dataset, o.Source
	it.seq, it.since, it.again, it.size = o.Seq, o.Since, o.Kept, len(o.JSON)
	it.state, it.watch = itemPending, o.Watch
	it.next = max(0, slices.IndexFunc(it.refs, func(r reference) bool { return r.ID == o.Watch }))
	m.at = before
	return it
}
