package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"threatmatch-connector/spool/internal/boltfile"
	"threatmatch-connector/spool/internal/encoding"
)

// maxBroken is how many broken invariants Verify names; the rest is counted.
const maxBroken = 200

// Verify checks every invariant and returns what is broken, one sentence each: counters equal contents, every index
// names existing rows and the reverse, no orphans, checksums, order. If the file is open read-only it checks the page
// structure, too. It reads the whole file in one transaction, so that the numbers are consistent; its memory does not
// grow with the contents.
func (s *Spool) Verify(ctx context.Context) (found []string, err error) {
	err = s.view("verify", func(t *txn) error {
		v := &verifier{ctx: ctx, t: t}
		if s.readOnly {
			if err := boltfile.Check(ctx, s.path); errors.Is(err, boltfile.ErrDamaged) {
				v.broken("page structure: %v", err)
			} else if err != nil {
				return err
			}
		}
		v.contents()
		v.counters()
		if found = v.found; v.more > 0 {
			found = append(found, fmt.Sprintf("and %d more", v.more))
		}
		return context.Cause(ctx)
	})
	return found, err
}

// verifier collects what is broken.
type verifier struct {
	ctx   context.Context
	t     *txn
	n     counters // counted from the contents
	rows  struct{ behind, heldBack, deadAll int64 }
	found []string
	more  int
	seen  int
}

func (v *verifier) broken(format string, args ...any) {
	if len(v.found) >= maxBroken {
		v.more++
		return
	}
	v.found = append(v.found, fmt.Sprintf(format, args...))
}

// contents walks all rows.
func (v *verifier) contents() {
	v.n = counters{Bytes: map[string]int64{}, HeldPublished: new(int64), Rejected: new(int64)}
	for _, check := range []func(){
		v.meta, v.runs, v.tasks, v.records, v.kept, v.waiting, v.waitingByID,
		v.held, v.bundles, v.cursors, v.ids, v.idLog, v.idMarks, v.items, v.dead,
	} {
		check()
	}
}

// walk walks all rows of a bucket, until the context ends, and adds up their bytes.
func (v *verifier) walk(tb *table) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, val []byte) bool) {
		for k, val := range tb.rows(nil) {
			v.n.Bytes[tb.name] += int64(len(k) + len(val))
			if v.seen++; v.seen%1024 == 0 && v.ctx.Err() != nil || !yield(k, val) {
				return
			}
		}
	}
}

// envelope checks one whose head says nothing about other rows.
func (v *verifier) envelope(key, sealed []byte, what string, args ...any) {
	if _, err := encoding.Open(key, sealed, nil); err != nil {
		v.broken("%s: %v", fmt.Sprintf(what, args...), err)
	}
}

// fragment reports whether k is longer than its bucket's rows, and checks that it then continues an envelope.
func (v *verifier) fragment(tb *table, k []byte, rowLen int) bool {
	if len(k) == rowLen {
		return false
	}
	if len(k) != rowLen+2 || len(tb.get(k[:rowLen])) != fragmentSize {
		v.broken("%s: key %x belongs to nothing", tb.name, k)
	}
	return true
}

// sequence checks that the bucket has given out this number.
func (v *verifier) sequence(tb *table, seq uint64) {
	if seq == 0 || seq > tb.b.Sequence() {
		v.broken("%s: number %d was never given (the last is %d)", tb.name, seq, tb.b.Sequence())
	}
}

// run checks that an entry's run exists and is open, and returns it.
func (v *verifier) run(what string, id uint64) *storedRun {
	r, err := v.t.runs().byID(id)
	switch {
	case err != nil:
		v.broken("%s: %v", what, err)
		return nil
	case !r.DoneAt.IsZero():
		v.broken("%s: run %d is done", what, id)
	}
	return r
}

func (v *verifier) meta() {
	st, err := v.t.meta().state()
	switch {
	case err != nil:
		v.broken("meta: %v", err)
	case st.Epoch == 0 || st.Created.IsZero():
		v.broken("meta: state without epoch or time of creation")
	}
	if n := v.t.meta().schema(); n != schema {
		v.broken("meta: schema %d", n)
	}
	for d, w := range v.t.meta().marks() {
		if len(w.Early) > 0 && v.t.runs().oldestOpen(d) > w.Early[0].Run {
			v.broken("meta: the confirmed watermark of %s does not count run %d", d, w.Early[0].Run)
		}
	}
	known := []string{keySchema, keyConnector, keyState, keyWatermarks, keyPlatform, keyCrash, keyCounters, keyPaused, keyLimit}
	for k, val := range v.t.meta().rows(nil) {
		if !slices.Contains(known, string(k)) && !strings.HasPrefix(string(k), pfxSetID) {
			v.broken("meta: unknown key %q", k)
		} else if string(k) != keySchema {
			v.envelope(k, val, "meta: %s", k)
		}
	}
}

func (v *verifier) runs() {
	tb := v.t.runs()
	for k, val := range v.walk(tb.table) {
		id := encoding.U64(k, 1)
		switch {
		case k[0] == pfxSalvage:
			v.envelope(k, val, "runs: what came back of a set-aside file")
		case len(k) != 9:
			v.broken("runs: key %x", k)
		case k[0] == pfxWork:
			v.envelope(k, val, "runs: the work of run %d, whose errors are to be read", id)
		case k[0] == pfxOpen:
			if tb.get(numKey(pfxRun, id)) == nil {
				v.broken("runs: open run %d is not there", id)
			}
		case k[0] == pfxRun:
			v.n.Runs++
			v.sequence(tb.table, id)
			r := &storedRun{}
			if _, err := encoding.Open(k, val, r); err != nil {
				v.broken("run %d: %v", id, err)
			} else {
				v.oneRun(r)
			}
		default:
			v.broken("runs: key %x", k)
		}
	}
}

func (v *verifier) oneRun(r *storedRun) {
	open := v.t.runs().get(numKey(pfxOpen, r.ID)) != nil
	if open != r.DoneAt.IsZero() {
		v.broken("run %d: open is %v, but it was done at %v", r.ID, open, r.DoneAt)
	}
	if !r.Dropped && (r.FetchedAt.IsZero() && !r.MappedAt.IsZero() || r.MappedAt.IsZero() && !r.DoneAt.IsZero()) {
		v.broken("run %d: fetched %v, mapped %v, done %v are not in order", r.ID, r.FetchedAt, r.MappedAt, r.DoneAt)
	}
	if !r.FetchedAt.IsZero() && len(r.Open) > 0 {
		v.broken("run %d: its fetch has ended with open tasks %v", r.ID, r.Open)
	}
	got := 0
	for range v.t.tasks().rows(numKey(pfxDue, r.ID)) {
		got++
	}
	if want := r.openTasks(); got != want {
		v.broken("run %d: it counts %d open tasks and has %d", r.ID, want, got)
	}
}

func (v *verifier) counters() {
	c := v.t.counters()
	got, want := c.byName(), v.n.byName()
	got["held_published"], want["held_published"] = *c.HeldPublished, *cmp.Or(v.n.HeldPublished, c.HeldPublished)
	got["rejected"], want["rejected"] = *c.Rejected, *cmp.Or(v.n.Rejected, c.Rejected)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			v.broken("counter %s is %d, there are %d", name, got[name], want[name])
		}
	}
	for _, name := range Buckets() {
		if name != bktMeta && name != bktGone && c.Bytes[name] != v.n.Bytes[name] {
			v.broken("counter of bytes in %s is %d, there are %d", name, c.Bytes[name], v.n.Bytes[name])
		}
	}
}
