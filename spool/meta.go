package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// Meta is the spool's own state.
type Meta struct {
	ConnectorID string
	Schema      int
	Epoch       uint64
	Created     time.Time
	Unclean     bool                // the last process did not close the spool
	StateKnown  bool                // watermarks came from the platform or from runs of this spool
	SetAside    string              // path of a damaged predecessor that Open set aside; empty if none, or if it was removed since
	Paused      map[Stage]time.Time // stages that an operator paused, and since when; see Pause
	Limit       MessageLimit        // see SaveMessageLimit
	Platform    []byte              // the platform loop's own notes (JSON), see SavePlatform
}

// connectorRow is the second copy of the connector id.
type connectorRow struct {
	ID string `json:"connector_id"`
}

// state is what the meta bucket says of the whole spool.
type state struct {
	ConnectorID string    `json:"connector_id"`
	Epoch       uint64    `json:"epoch"`
	Created     time.Time `json:"created"`
	StateKnown  bool      `json:"state_known"`
	SetAside    string    `json:"set_aside,omitempty"`
	Open        bool      `json:"open"` // a process has it open, or died with it
}

// counters are changed in the transactions that change what they count.
type counters struct {
	Counts
	Bytes map[string]int64 `json:"bytes"`

	// Of Held: whole copies of published objects. Nil if they have to be counted first: see countPublished.
	HeldPublished *int64 `json:"held_published,omitempty"`
	// Of Dead: what OpenCTI refused. Nil if it has to be counted first: see countRejected.
	Rejected *int64 `json:"rejected,omitempty"`
}

// Meta returns the spool's own state.
func (s *Spool) Meta() (m Meta, err error) {
	err = s.view("read state", func(t *txn) (err error) {
		m, err = s.describe(t.meta())
		return err
	})
	return m, err
}

// stillAside returns where a set-aside file is now, as the directory may have moved; "" if the operator, done with it,
// has removed it.
func (s *Spool) stillAside(path string) string {
	if path == "" {
		return ""
	}
	path = filepath.Join(s.dir, filepath.Base(path))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return path
}

func (s *Spool) describe(tb metaBucket) (Meta, error) {
	st, err := tb.state()
	if err != nil {
		return Meta{}, err
	}
	m := Meta{
		ConnectorID: st.ConnectorID, Schema: tb.schema(), Epoch: st.Epoch, Created: st.Created, Unclean: s.unclean,
		StateKnown: st.StateKnown, SetAside: s.stillAside(st.SetAside), Paused: tb.paused(), Limit: tb.limit(),
	}
	if v := tb.get([]byte(keyPlatform)); v != nil {
		if m.Platform, err = encoding.Open([]byte(keyPlatform), v, nil); err != nil {
			m.Platform = nil // as if the platform had never been seen; Verify reports it
		}
	}
	return m, nil
}

// SavePlatform stores the platform loop's own notes.
func (s *Spool) SavePlatform(epoch uint64, notes []byte) error {
	p := encoding.Pack(notes)
	return s.handOver("save platform notes", frees(), epoch, func(t *txn) error {
		t.meta().set(keyPlatform, t.sealed([]byte(keyPlatform), nil, p))
		return nil
	})
}

// stamp writes the schema number with its checksum.
func (tb metaBucket) stamp(n int) {
	tb.set(keySchema, encoding.Sum([]byte(keySchema), encoding.PutU32(nil, uint32(n))))
}

// schema returns the file's schema number. Schema 1 had no checksum. If the number cannot be read, the buckets tell
// which of the known schemas it is.
func (tb metaBucket) schema() int {
	if n, ok := cutSchema(tb.get([]byte(keySchema))); ok {
		return n
	}
	if tb.t.tx.Bucket([]byte(bktGone)) != nil {
		return schema
	}
	return 1
}

// cutSchema parses a row of stamp.
func cutSchema(v []byte) (int, bool) {
	n, ok := encoding.CutSum([]byte(keySchema), v)
	return int(encoding.U32(n, 0)), ok && len(n) == 4
}

// state returns the spool's state, for reading.
func (tb metaBucket) state() (*state, error) {
	if tb.t.st != nil {
		return tb.t.st, nil
	}
	var st state
	if err := tb.read(keyState, &st); err != nil || st.Epoch == 0 {
		if st, err = tb.rebuiltState(); err != nil {
			return nil, err
		}
	}
	tb.t.st = &st
	return tb.t.st, nil
}

// changeState returns the spool's state for changing; flush writes it.
func (tb metaBucket) changeState() (*state, error) {
	st, err := tb.state()
	tb.t.stDirty = err == nil
	return st, err
}

// checkEpoch refuses a hand-over whose input was read before a reset.
func (tb metaBucket) checkEpoch(epoch uint64) error {
	st, err := tb.state()
	if err != nil {
		return err
	}
	if st.Epoch != epoch {
		return fmt.Errorf("%w: epoch %d, now %d", ErrEpoch, epoch, st.Epoch)
	}
	return nil
}

// counters returns the counters for changing; flush writes them. A row that cannot be read is counted again.
func (t *txn) counters() *counters {
	if t.count != nil {
		return t.count
	}
	c := &counters{}
	if err := t.meta().read(keyCounters, c); err != nil || t.meta().get([]byte(keyCounters)) == nil {
		c = t.recount()
	}
	if c.Bytes == nil {
		c.Bytes = map[string]int64{}
	}
	if c.HeldPublished == nil {
		c.HeldPublished = t.held().countPublished()
	}
	if c.Rejected == nil {
		c.Rejected = t.dead().countRejected()
	}
	t.count = c
	return c
}

// set stores a value in the meta bucket, whose bytes are not counted.
func (tb metaBucket) set(key string, v []byte) {
	tb.t.fail(key, tb.b.Put([]byte(key), v))
}

// unset removes a value of the meta bucket.
func (tb metaBucket) unset(key string) {
	tb.t.fail(key, tb.b.Delete([]byte(key)))
}

// save stores a JSON value in the meta bucket.
func (tb metaBucket) save(key string, head any) {
	tb.set(key, tb.t.sealed([]byte(key), head, encoding.Packed{}))
}

// read reads a JSON value of the meta bucket; a missing one leaves head as it is.
func (tb metaBucket) read(key string, head any) error {
	v := tb.get([]byte(key))
	if v == nil {
		return nil
	}
	if _, err := encoding.Open([]byte(key), v, head); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}
