package spool

import "threatmatch-connector/spool/internal/encoding"

// The checks of what map writes: waiting and held objects, bundles, cursors, ids.

func (v *verifier) waiting() error {
	tb := v.t.tab(bktWaiting)
	return v.walk(tb, func(k, val []byte) error {
		if v.fragment(tb, k, 16) {
			return nil
		}
		v.n.Waiting++
		run, seq := encoding.U64(k, 0), encoding.U64(k, 8)
		v.sequence(tb, seq)
		if r := v.run("waiting objects", run); r != nil && !r.MappedAt.IsZero() {
			v.broken("waiting object %d/%d: its run is mapped", run, seq)
		}
		o, x := tb.object(k, val), waitingOf(run)(v.t)
		if o.Err != nil {
			v.broken("%v", o.Err)
			return nil
		}
		if x.seq(o.STIX) != seq {
			v.broken("waiting object %d/%d: is not found by its id %s", run, seq, o.STIX)
		}
		if x.index.get(encoding.PutU64(x.watchKey(o.Watch), seq)) == nil {
			v.broken("waiting object %d/%d: is not found by %s, which it waits for", run, seq, o.Watch)
		}
		return nil
	})
}

func (v *verifier) waitingByID() error {
	rows := v.t.tab(bktWaiting)
	var byID, byWatch int64
	err := v.walk(v.t.tab(bktWaitingByID), func(k, val []byte) error {
		if len(k) < 10 || k[0] != pfxByID && k[0] != pfxWatch {
			v.broken("waiting_by_id: key %x", k)
			return nil
		}
		run, seq := encoding.U64(k, 1), encoding.U64(val, 0)
		_, rest, ok := encoding.CutID(k[9:])
		if k[0] == pfxWatch {
			byWatch++
			seq = encoding.U64(rest, 0)
			ok = ok && len(rest) == 8
		} else {
			byID++
			_, sound := indexSeq(k, val)
			ok = ok && sound && len(rest) == 0
		}
		if !ok || rows.get(encoding.Pair(run, seq)) == nil {
			v.broken("waiting_by_id: key %x names nothing", k)
		}
		return nil
	})
	if byID != v.n.Waiting || byWatch != v.n.Waiting {
		v.broken("waiting_by_id: %d ids and %d watched ones for %d objects", byID, byWatch, v.n.Waiting)
	}
	return err
}

func (v *verifier) held() error {
	tb := v.t.tab(bktHeld)
	var byID, byWatch int64
	err := v.walk(tb, func(k, val []byte) error {
		switch k[0] {
		case pfxHeld:
			if v.fragment(tb, k, 9) {
				return nil
			}
			v.n.Held++
			v.heldObject(tb, k, val)
		case pfxByID:
			byID++
			_, sound := indexSeq(k, val)
			if id, rest, ok := encoding.CutID(k[1:]); !ok || !sound || len(rest) > 0 || tb.get(numKey(pfxHeld, encoding.U64(val, 0))) == nil {
				v.broken("held: id %q names nothing", id)
			}
		case pfxWatch:
			byWatch++
			if id, rest, ok := encoding.CutID(k[1:]); !ok || len(rest) != 8 || tb.get(numKey(pfxHeld, encoding.U64(rest, 0))) == nil {
				v.broken("held: watched id %q names nothing", id)
			}
		default:
			v.broken("held: key %x", k)
		}
		return nil
	})
	if byID != v.n.Held || byWatch != v.n.Held {
		v.broken("held: %d ids and %d watched ones for %d objects", byID, byWatch, v.n.Held)
	}
	return err
}

func (v *verifier) heldObject(tb *table, k, val []byte) {
	seq := encoding.U64(k, 1)
	v.sequence(tb, seq)
	o := tb.object(k, val)
	if o.Err != nil {
		v.broken("%v", o.Err)
		v.n.HeldPublished = nil // it may be such a copy
		return
	}
	v.n.addPublished(o.Kept, 1)
	if heldOf(v.t).seq(o.STIX) != seq {
		v.broken("held object %d: is not found by its id %s", seq, o.STIX)
	}
	if tb.get(encoding.PutU64(heldOf(v.t).watchKey(o.Watch), seq)) == nil {
		v.broken("held object %d: is not found by %s, which it needs", seq, o.Watch)
	}
}

func (v *verifier) bundles() error {
	tb := v.t.tab(bktBundles)
	blocks, want := 0, 0
	err := v.walk(tb, func(k, _ []byte) error {
		switch {
		case k[0] == pfxBlock && len(k) == 21:
			blocks++
		case k[0] == pfxBlock && v.fragment(tb, k, 21):
		case k[0] == pfxHead && v.fragment(tb, k, 17):
		case k[0] == pfxHead:
			v.n.Bundles++
			want += v.bundle(tb, encoding.U64(k, 1), encoding.U64(k, 9))
		default:
			v.broken("bundles: key %x", k)
		}
		return nil
	})
	if blocks != want {
		v.broken("bundles: %d blocks, their headers name %d", blocks, want)
	}
	return err
}

// bundle checks one bundle with its blocks and returns how many it has.
func (v *verifier) bundle(tb *table, run, seq uint64) int {
	v.sequence(tb, seq)
	v.run("bundles", run)
	key := pairKey(pfxHead, run, seq)
	if _, err := encoding.Open(key, tb.blob(key, nil), nil); err != nil {
		v.broken("bundle %d/%d: its header: %v", run, seq, err)
	}
	b, h, err := v.t.bundles().head(run, seq)
	if err != nil {
		v.broken("%v", err)
		return 0
	}
	v.n.Messages += int64(b.Objects - b.Confirmed)
	var bytes int64
	first := 0
	for n := range h.Blocks {
		objects, err := v.t.bundles().block(run, seq, h, n, first)
		if err != nil {
			v.broken("%v", err)
		}
		for _, o := range objects {
			bytes += int64(len(o.JSON))
		}
		first += h.Blocks[n]
	}
	if first != h.Objects {
		v.broken("bundle %d/%d: %d objects, its header says %d", run, seq, first, h.Objects)
	}
	if err == nil && bytes > h.Bytes {
		v.broken("bundle %d/%d: %d bytes, its header says %d", run, seq, bytes, h.Bytes)
	}
	return len(h.Blocks)
}

func (v *verifier) cursors() error {
	return v.walk(v.t.tab(bktCursors), func(k, val []byte) error {
		run, seq := encoding.U64(k, 0), encoding.U64(k, 8)
		c, err := encoding.DecodeCursor(k, val)
		if err != nil {
			v.broken("cursor %d/%d: %v", run, seq, err)
			return nil
		}
		b, _, err := v.t.bundles().head(run, seq)
		if err != nil {
			v.broken("cursor %d/%d: %v", run, seq, err)
			return nil
		}
		if c.Confirmed > b.Objects || len(c.Skipped) > 0 && c.Skipped[len(c.Skipped)-1] >= b.Objects {
			v.broken("cursor %d/%d: is at %d with skipped %v of %d", run, seq, c.Confirmed, c.Skipped, b.Objects)
		}
		return nil
	})
}

func (v *verifier) ids() error {
	log := v.t.sub(subLog)
	return v.walk(v.t.sub(subEntries), func(k, val []byte) error {
		v.n.IDs++
		id, rest, ok := encoding.CutID(k)
		if !ok || len(rest) > 0 {
			v.broken("ids: key %x", k)
			return nil
		}
		e, err := decodeEntry(k, val)
		if err != nil {
			v.broken("ids: %s: %v", id, err)
			return nil
		}
		if run, key, ok := cutLogRow(log.get(encoding.Num(e.Seq))); !ok || run != e.Run || string(key) != string(k) {
			v.broken("ids: %s: its log row %d is not there", id, e.Seq)
		}
		return nil
	})
}

func (v *verifier) idLog() error {
	var rows int64
	tb := v.t.sub(subLog)
	err := v.walk(tb, func(k, val []byte) error {
		rows++
		v.sequence(tb, encoding.U64(k, 0))
		if _, key, ok := cutLogRow(val); !ok || v.t.sub(subEntries).get(key) == nil {
			v.broken("ids: log row %d names nothing", encoding.U64(k, 0))
		}
		return nil
	})
	if rows != v.n.IDs {
		v.broken("ids: %d log rows for %d entries", rows, v.n.IDs)
	}
	return err
}

func (v *verifier) idMarks() error {
	return v.walk(v.t.ids().marks(), func(k, val []byte) error {
		if _, err := encoding.DecodeMark(k, val); err != nil || len(k) != 8 {
			v.broken("ids: what is forgotten of run %d: %v", encoding.U64(k, 0), err)
		}
		return nil
	})
}

func (v *verifier) items() error {
	return v.walk(v.t.items().table, func(k, val []byte) error {
		v.n.Items++
		if _, err := decodeItem(k, val); err != nil {
			v.broken("%v", err)
		}
		return nil
	})
}
