package mapstage

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// commit hands the batch over in one transaction. It waits while the spool is full:
// deliver and pruning make room. What is left in freed is kept for the next batch.
func (b *batch) commit(ctx context.Context) error {
	c, err := b.build()
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		err = b.m.Spool.CommitMap(b.epoch, b.m.Now(), c)
		if !errors.Is(err, spool.ErrFull) || b.m.alone {
			break
		}
		b.m.Status.Set(stageName, "waiting", "no room in the spool for "+b.m.describe(b.run), "")
		b.m.Status.Error(stageName, err)
		if err := b.m.Status.Sleep(ctx, stageName, retryWait(try), nil); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	b.m.acquit(c, len(c.Bundles)+len(c.Wait)+len(c.Hold) > 0)
	b.m.keepFreed(b)
	b.m.Metrics.committed(c)
	b.report(c)
	pipeline.Collect(b.largest)
	b.m.Wakes.Deliver.Signal()
	return nil
}

// report logs, once per commit, what an operator should look at.
func (b *batch) report(c spool.MapCommit) {
	log := b.m.Log.With("run", b.run.ID)
	if n := len(c.Dead); n > 0 {
		d := c.Dead[0]
		log.Warn("dead letters", "count", n, "class", d.Class, "object", d.STIX, "error", d.Error)
	}
	log.Debug("map commit", "records", len(c.Records), "objects", len(b.out), "waiting", len(c.Wait),
		"held", len(c.Hold), "bundles", len(c.Bundles))
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	for _, nb := range c.Bundles {
		types := map[string]int{}
		for _, o := range nb.Objects {
			stixType, _, _ := strings.Cut(o.STIX, "--")
			types[stixType]++
		}
		log.Debug("bundle made", "objects", len(nb.Objects), "bytes", nb.Size(), "types", types)
	}
}

// build makes the commit of the batch.
func (b *batch) build() (spool.MapCommit, error) {
	c := spool.MapCommit{
		Run: b.run.ID, Records: b.records, IDs: append(make([]spool.IDPut, 0, len(b.puts)+len(b.out)+8), b.puts...), Unhold: b.unhold, Dead: b.dead, SetIDs: b.setIDs,
	}
	for _, it := range b.order {
		b.m.at = it.id
		b.place(it, &c)
	}
	for _, from := range b.from {
		from.Run, from.At = b.run.ID, b.now
		c.Items = append(c.Items, from)
	}
	b.m.at = ""
	if err := b.keepEntries(&c); err != nil {
		return c, err
	}
	if err := b.pack(&c); err != nil {
		return c, err
	}
	for _, it := range b.order {
		it.obj = nil // it is in the commit now
		b.largest = max(b.largest, it.size)
	}
	pipeline.Collect(b.largest)
	c.Count = b.count
	return c, nil
}

// place records where an item's copies are after the commit.
func (b *batch) place(it *item, c *spool.MapCommit) {
	switch {
	case it.state == itemPending && it.changed:
		c.Wait = append(c.Wait, spool.Object{
			STIX: it.id, Run: b.run.ID, Seq: it.seq, Watch: it.watch, Since: it.since, Kept: it.again,
			Dataset: it.dataset, Source: it.source, JSON: it.obj.AppendJSON(nil), Stamps: it.obj.Stamps(),
		})
		if !it.waits {
			b.tally("waited", 1)
		}
	case it.state != itemPending && it.waits:
		c.Unwait = append(c.Unwait, it.id)
	}
	switch h := it.whole; {
	case h != nil:
		h.STIX, h.Run, h.Dataset, h.Source = it.id, b.run.ID, it.dataset, it.source
		if h.Since = it.since; h.Since.IsZero() {
			h.Since = b.now
		}
		if it.isCut {
			b.tally("kept", 1)
		} else {
			b.tally("held", 1)
		}
		c.Hold = append(c.Hold, *h)
	case it.held != nil:
		c.Unhold = append(c.Unhold, it.id)
	}
	if it.state == itemOut {
		it.entry.Kind = it.kind
		c.IDs = append(c.IDs, spool.IDPut{STIX: it.id, ID: *it.entry})
	}
}

// keepEntries keeps what ids knows about dead objects. The spool removes the entry
// of an object that becomes a dead letter; but another copy of the object is being
// sent, otherwise it would not be known.
func (b *batch) keepEntries(c *spool.MapCommit) error {
	var ids []string
	for _, d := range c.Dead {
		if it := b.items[d.STIX]; d.STIX != "" && (it == nil || it.state != itemOut) {
			ids = append(ids, d.STIX)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	known, err := b.m.Spool.LookupIDs(ids)
	for id, e := range known {
		c.IDs = append(c.IDs, spool.IDPut{STIX: id, ID: e})
	}
	return err
}

// pack puts the released objects into bundles, in order. The author and the
// markings in use come first, unless the run has sent them already.
func (b *batch) pack(c *spool.MapCommit) error {
	if len(b.out) == 0 {
		return nil
	}
	objs, err := b.companions(c)
	if err != nil {
		return err
	}
	size, n := 0, 0
	for _, it := range b.out {
		if n > 0 && (n >= b.m.opt.MaxObjects || size+it.size > b.m.opt.MaxBytes) {
			if err := b.bundle(objs, c); err != nil {
				return err
			}
			objs, size, n = nil, 0, 0
		}
		objs, size, n = append(objs, it.obj), size+it.size, n+1
	}
	return b.bundle(objs, c)
}

// bundle orders the objects, which come in the order of their release, and appends
// them as one bundle.
func (b *batch) bundle(objs []*stix.Object, c *spool.MapCommit) error {
	whole := map[*stix.Object]*stix.Object{}
	var packer spool.BundlePacker
	var buf []byte
	for _, o := range stix.Order(onlyBackward(objs, whole)) {
		if o.Cyclic || len(o.Cut) > 0 {
			return unmappable(o.Object.ID(), "part of a cycle in a bundle that is in order") // cannot happen: they are in order already
		}
		obj := o.Object
		if w := whole[obj]; w != nil {
			obj = w
		}
		bo := spool.BundleObject{STIX: obj.ID(), Deps: o.Deps}
		if it := b.items[bo.STIX]; it != nil { // companions have no item
			bo.Dataset, bo.Source = it.dataset, it.source
			buf = slices.Grow(buf, it.size)
		}
		bo.JSON = obj.AppendJSON(buf)
		buf = packer.Add(bo)
	}
	c.Bundles = append(c.Bundles, packer.Bundle())
	return nil
}

// onlyBackward returns the objects without references to later ones. Such a
// reference was settled because the later object was sent before and is sent again
// now. It may close a cycle and does not matter for the order. whole maps the
// changed copies to the originals.
func onlyBackward(objs []*stix.Object, whole map[*stix.Object]*stix.Object) []*stix.Object {
	at := make(map[string]int, len(objs))
	for i, o := range objs {
		at[o.ID()] = i
	}
	out := slices.Clone(objs)
	for i, o := range objs {
		for id := range o.RefIDs() {
			if at[string(id)] > i {
				out[i] = o.Clone()
				out[i].EditRefs(func(r stix.Ref) (string, bool) { return r.ID, at[r.ID] <= i })
				whole[out[i]] = o
				break
			}
		}
	}
	return out
}

// companions returns the default author and the standard markings that the batch
// uses and the run has not sent yet, and adds them to ids.
func (b *batch) companions(c *spool.MapCommit) ([]*stix.Object, error) {
	var objs []*stix.Object
	var ids []string
	use := func(o *stix.Object) {
		if o != nil {
			objs, ids = append(objs, o), append(ids, o.ID())
		}
	}
	for _, id := range b.markingsInUse() {
		use(b.m.Mapper.Marking(id))
	}
	if b.usesAuthor() {
		use(b.m.Mapper.Author())
	}
	known, err := b.m.Spool.LookupIDs(ids)
	if err != nil {
		return nil, err
	}
	send := objs[:0:0]
	var puts []spool.IDPut
	for _, o := range objs {
		e, ok := known[o.ID()]
		modified := o.Modified().Truncate(time.Millisecond)
		name := "companions:" + o.ID()
		// Leave a copy of the source that is newer than ours as it is.
		if ok && (e.Run == b.run.ID || b.run.Counters[counterPrefix+name] > 0 || e.Run != 0 && e.Modified.After(modified)) {
			continue
		}
		send = append(send, o)
		b.tally(name, 1)
		o.Arrive()
		var trace stix.Trace
		trace.Add(o, true)
		entry := b.entryOf(o, trace)
		entry.Kind = mapping.Kind(o)
		puts = append(puts, spool.IDPut{STIX: o.ID(), ID: entry})
	}
	c.IDs = slices.Insert(c.IDs, 0, puts...) // a copy from the source itself takes precedence
	return send, nil
}

// markingsInUse returns the ids of the standard markings of the released objects,
// in a fixed order.
func (b *batch) markingsInUse() []string {
	used := map[string]bool{}
	for _, it := range b.out {
		for _, id := range it.obj.Strings("object_marking_refs") {
			if stix.StandardTLP(id) {
				used[id] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(used))
}

// usesAuthor reports whether any released object has the default author.
func (b *batch) usesAuthor() bool {
	return slices.ContainsFunc(b.out, func(it *item) bool {
		return it.obj.String("created_by_ref") == b.m.author || it.obj.String("x_opencti_created_by_ref") == b.m.author
	})
}
