package spool

import (
	"cmp"
	"fmt"

	"threatmatch-connector/spool/internal/encoding"
)

// The checks of what map writes: waiting and held objects, bundles, cursors, ids.

func (v *verifier) waiting() {
	tb := v.t.waiting().table
	for k := range v.walk(tb) {
		if v.fragment(tb, k, 16) {
			continue
		}
		v.n.Waiting++
		run := encoding.U64(k, 0)
		if r := v.run("waiting objects", run); r != nil && !r.MappedAt.IsZero() {
			v.broken("waiting object %d/%d: its run is mapped", run, encoding.U64(k, 8))
		}
		v.object(v.t.objects(run), encoding.U64(k, 8))
	}
}

func (v *verifier) waitingByID() {
	var n indexRows
	for k, val := range v.walk(v.t.tab(bktWaitingByID)) {
		if len(k) < 10 || k[0] != pfxByID && k[0] != pfxWatch {
			v.broken("waiting_by_id: key %x", k)
			continue
		}
		v.indexRow(v.t.objects(encoding.U64(k, 1)), &n, k, val)
	}
	v.indexSize("waiting_by_id", n, v.n.Waiting)
}

func (v *verifier) held() {
	x := v.t.objects(Held)
	var n indexRows
	for k, val := range v.walk(x.rows) {
		switch k[0] {
		case pfxHeld:
			if v.fragment(x.rows, k, 9) {
				continue
			}
			v.n.Held++
			o := v.object(x, encoding.U64(k, 1))
			if v.n.addPublished(o.Kept, 1); o.Err != nil {
				v.n.HeldPublished = nil // it may be such a copy
			}
		case pfxByID, pfxWatch:
			v.indexRow(x, &n, k, val)
		default:
			v.broken("held: key %x", k)
		}
	}
	v.indexSize("held", n, v.n.Held)
}

// object checks that an object can be read, and is found by both ids.
func (v *verifier) object(x objectIndex, seq uint64) Object {
	v.sequence(x.rows, seq)
	o := x.rows.object(x.key(seq), nil)
	switch {
	case o.Err != nil:
		v.broken("%v", o.Err)
	case x.seq(o.STIX) != seq:
		v.broken("%s %x: is not found by its id %s", x.rows.name, x.key(seq), o.STIX)
	case x.index.get(encoding.PutU64(x.watchKey(o.Watch), seq)) == nil:
		v.broken("%s %x: is not found by %s, which it waits for", x.rows.name, x.key(seq), o.Watch)
	}
	return o
}

// indexRows are the numbers of the rows of an index.
type indexRows struct{ byID, byWatch int64 }

// indexRow checks that a row of an index names an object.
func (v *verifier) indexRow(x objectIndex, n *indexRows, k, val []byte) {
	_, seq, ok := x.cutWatch(k)
	if k[0] == pfxWatch {
		n.byWatch++
	} else {
		n.byID++
		_, rest, whole := encoding.CutID(k[len(x.id):])
		seq, ok = indexSeq(k, val)
		ok = ok && whole && len(rest) == 0
	}
	if !ok || x.rows.get(x.key(seq)) == nil {
		v.broken("%s: key %x names nothing", x.index.name, k)
	}
}

func (v *verifier) indexSize(name string, n indexRows, want int64) {
	if n.byID != want || n.byWatch != want {
		v.broken("%s: %d ids and %d watched ones for %d objects", name, n.byID, n.byWatch, want)
	}
}

func (v *verifier) bundles() {
	tb := v.t.bundles().table
	blocks, want := 0, 0
	for k := range v.walk(tb) {
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
	}
	if blocks != want {
		v.broken("bundles: %d blocks, their headers name %d", blocks, want)
	}
}

// bundle checks one bundle with its blocks and returns how many it has.
func (v *verifier) bundle(tb *table, run, seq uint64) int {
	name := fmt.Sprintf("bundle %d/%d", run, seq)
	v.sequence(tb, seq)
	v.run("bundles", run)
	key := pairKey(pfxHead, run, seq)
	v.envelope(key, tb.blob(key, nil), "%s: its header", name)
	b, err := v.t.bundles().head(run, seq)
	if err != nil {
		v.broken("%v", err)
		return 0
	}
	v.n.Messages += int64(b.Objects - b.Confirmed)
	var bytes int64
	first := 0
	for n := range b.Blocks {
		objects, err := v.t.bundles().block(b, n, first)
		if err != nil {
			v.broken("%v", err)
		}
		for _, o := range objects {
			bytes += int64(len(o.JSON))
		}
		first += b.Blocks[n]
	}
	if first != b.Objects {
		v.broken("%s: %d objects, its header says %d", name, first, b.Objects)
	}
	if bytes > b.Bytes {
		v.broken("%s: %d bytes, its header says %d", name, bytes, b.Bytes)
	}
	return len(b.Blocks)
}

func (v *verifier) cursors() {
	for k, val := range v.walk(v.t.tab(bktCursors)) {
		run, seq := encoding.U64(k, 0), encoding.U64(k, 8)
		c, err := encoding.DecodeCursor(k, val)
		b, herr := v.t.bundles().head(run, seq)
		if err = cmp.Or(err, herr); err != nil {
			v.broken("cursor %d/%d: %v", run, seq, err)
		} else if c.Confirmed > b.Objects || len(c.Skipped) > 0 && c.Skipped[len(c.Skipped)-1] >= b.Objects {
			v.broken("cursor %d/%d: is at %d with skipped %v of %d", run, seq, c.Confirmed, c.Skipped, b.Objects)
		}
	}
}

func (v *verifier) ids() {
	for k, val := range v.walk(v.t.ids().entries()) {
		v.n.IDs++
		id, rest, ok := encoding.CutID(k)
		e, err := decodeEntry(k, val)
		if !ok || len(rest) > 0 {
			v.broken("ids: key %x", k)
		} else if err != nil {
			v.broken("ids: %s: %v", id, err)
		} else if run, key, ok := cutLogRow(v.t.ids().log().get(encoding.Num(e.Seq))); !ok || run != e.Run || string(key) != string(k) {
			v.broken("ids: %s: its log row %d is not there", id, e.Seq)
		}
	}
}

func (v *verifier) idLog() {
	var rows int64
	tb := v.t.ids().log()
	for k, val := range v.walk(tb) {
		rows++
		v.sequence(tb, encoding.U64(k, 0))
		if _, key, ok := cutLogRow(val); !ok || v.t.ids().entries().get(key) == nil {
			v.broken("ids: log row %d names nothing", encoding.U64(k, 0))
		}
	}
	if rows != v.n.IDs {
		v.broken("ids: %d log rows for %d entries", rows, v.n.IDs)
	}
}

func (v *verifier) idMarks() {
	for k, val := range v.walk(v.t.ids().marks()) {
		if _, err := encoding.DecodeMark(k, val); err != nil || len(k) != 8 {
			v.broken("ids: what is forgotten of run %d: %v", encoding.U64(k, 0), err)
		}
	}
}

func (v *verifier) items() {
	for k, val := range v.walk(v.t.items().table) {
		v.n.Items++
		if _, err := decodeItem(k, val); err != nil {
			v.broken("%v", err)
		}
	}
}
