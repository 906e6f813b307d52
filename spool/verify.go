package spool

import (
	"context"
	"errors"
	"fmt"
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
func (s *Spool) Verify(ctx context.Context) ([]string, error) {
	v := &verifier{ctx: ctx, bytes: map[string]int64{}}
	err := s.view("verify", func(t *txn) error {
		v.t = t
		if s.readOnly {
			if err := boltfile.Check(ctx, s.path); errors.Is(err, boltfile.ErrDamaged) {
				v.broken("page structure: %v", err)
			} else if err != nil {
				return err
			}
		}
		return v.all()
	})
	if v.more > 0 {
		v.found = append(v.found, fmt.Sprintf("and %d more", v.more))
	}
	return v.found, err
}

// verifier collects what is broken.
type verifier struct {
	ctx   context.Context
	t     *txn
	n     counters // counted from the contents
	rows  struct{ behind, heldBack, deadAll int64 }
	bytes map[string]int64
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

func (v *verifier) all() error {
	if err := v.contents(); err != nil {
		return err
	}
	return v.counters()
}

// contents walks all rows.
func (v *verifier) contents() error {
	v.n.HeldPublished, v.n.Rejected = new(int64), new(int64)
	for _, check := range []func() error{
		v.meta, v.runs, v.tasks, v.records, v.kept, v.waiting, v.waitingByID,
		v.held, v.bundles, v.cursors, v.ids, v.idLog, v.idMarks, v.items, v.dead,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// walk visits all entries of a bucket and adds up their bytes.
func (v *verifier) walk(tb *table, fn func(k, val []byte) error) error {
	return tb.scan(nil, nil, func(k, val []byte) (bool, error) {
		if v.seen++; v.seen%1024 == 0 && v.ctx.Err() != nil {
			return false, context.Cause(v.ctx)
		}
		v.bytes[tb.name] += int64(len(k) + len(val))
		return true, fn(k, val)
	})
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

func (v *verifier) meta() error {
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
	m, err := v.t.meta().marks()
	if err != nil {
		v.broken("meta: %v", err)
	}
	for d, w := range m {
		if len(w.Early) > 0 {
			if oldest, err := v.t.runs().oldestOpen(d); err == nil && oldest > w.Early[0].Run {
				v.broken("meta: the confirmed watermark of %s does not count run %d", d, w.Early[0].Run)
			}
		}
	}
	known := map[string]bool{
		keySchema: true, keyConnector: true, keyState: true, keyWatermarks: true, keyPlatform: true, keyCrash: true, keyCounters: true,
		keyPaused: true, keyLimit: true,
	}
	return v.t.tab(bktMeta).scan(nil, nil, func(k, val []byte) (bool, error) {
		if !known[string(k)] && !strings.HasPrefix(string(k), pfxSetID) {
			v.broken("meta: unknown key %q", k)
		} else if string(k) != keySchema {
			if _, err := encoding.Open(k, val, nil); err != nil {
				v.broken("meta: %s: %v", k, err)
			}
		}
		return true, nil
	})
}

func (v *verifier) runs() error {
	tb := v.t.tab(bktRuns)
	return v.walk(tb, func(k, val []byte) error {
		id := encoding.U64(k, 1)
		if len(k) == 9 && k[0] == pfxWork {
			if _, err := encoding.Open(k, val, nil); err != nil {
				v.broken("runs: the work of run %d, whose errors are to be read: %v", id, err)
			}
			return nil
		}
		if k[0] == pfxSalvage {
			if _, err := encoding.Open(k, val, nil); err != nil {
				v.broken("runs: what came back of a set-aside file: %v", err)
			}
			return nil
		}
		if len(k) != 9 || k[0] != pfxRun && k[0] != pfxOpen {
			v.broken("runs: key %x", k)
			return nil
		}
		if k[0] == pfxOpen {
			if tb.get(numKey(pfxRun, id)) == nil {
				v.broken("runs: open run %d is not there", id)
			}
			return nil
		}
		v.n.Runs++
		v.sequence(tb, id)
		if _, err := encoding.Open(k, val, nil); err != nil {
			v.broken("run %d: %v", id, err)
			return nil
		}
		r, err := v.t.runs().byID(id)
		delete(v.t.cached, id) // a thousand runs need not stay in memory
		if err != nil {
			v.broken("runs: %v", err)
			return nil
		}
		v.oneRun(tb, r)
		return nil
	})
}

func (v *verifier) oneRun(tb *table, r *storedRun) {
	open := tb.get(numKey(pfxOpen, r.ID)) != nil
	if open != r.DoneAt.IsZero() {
		v.broken("run %d: open is %v, but it was done at %v", r.ID, open, r.DoneAt)
	}
	if !r.Dropped && (r.FetchedAt.IsZero() && !r.MappedAt.IsZero() || r.MappedAt.IsZero() && !r.DoneAt.IsZero()) {
		v.broken("run %d: fetched %v, mapped %v, done %v are not in order", r.ID, r.FetchedAt, r.MappedAt, r.DoneAt)
	}
	if !r.FetchedAt.IsZero() && len(r.Open) > 0 {
		v.broken("run %d: its fetch has ended with open tasks %v", r.ID, r.Open)
	}
	want := 0
	for _, kinds := range r.Open {
		for _, n := range kinds {
			want += n
		}
	}
	got := 0
	_ = v.t.tab(bktTasks).scan(numKey(pfxDue, r.ID), nil, func(_, _ []byte) (bool, error) {
		got++
		return true, nil
	})
	if got != want {
		v.broken("run %d: it counts %d open tasks and has %d", r.ID, want, got)
	}
}

func (v *verifier) counters() error {
	c, err := v.t.meta().readCounters()
	if err != nil {
		v.broken("counters: %v", err)
		return nil
	}
	for _, n := range []struct {
		name      string
		got, want int64
	}{
		{"runs", c.Runs, v.n.Runs}, {"tasks", c.Tasks, v.n.Tasks}, {"parked", c.Parked, v.n.Parked},
		{"records", c.Records, v.n.Records}, {"waiting", c.Waiting, v.n.Waiting}, {"held", c.Held, v.n.Held},
		{"bundles", c.Bundles, v.n.Bundles}, {"messages", c.Messages, v.n.Messages}, {"ids", c.IDs, v.n.IDs},
		{"queued", c.Queued, v.n.Queued}, {"items", c.Items, v.n.Items},
		{"dead", c.Dead, v.n.Dead}, {"healed", c.Healed, v.n.Healed}, {"kept", c.Kept, v.n.Kept},
	} {
		if n.got != n.want {
			v.broken("counter %s is %d, there are %d", n.name, n.got, n.want)
		}
	}
	if got, want := c.HeldPublished, v.n.HeldPublished; want != nil && *got != *want {
		v.broken("counter held_published is %d, there are %d", *got, *want)
	}
	if got, want := c.Rejected, v.n.Rejected; want != nil && *got != *want {
		v.broken("counter rejected is %d, there are %d", *got, *want)
	}
	for _, name := range Buckets() {
		if name != bktMeta && name != bktGone && c.Bytes[name] != v.bytes[name] {
			v.broken("counter of bytes in %s is %d, there are %d", name, c.Bytes[name], v.bytes[name])
		}
	}
	return nil
}
