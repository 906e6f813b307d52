package spool

import (
	"fmt"
	"time"
)

// Meta is the spool's own state.
type Meta struct {
	ConnectorID string
	Schema      int
	Epoch       uint64
	Created     time.Time
	Unclean     bool   // the last process did not close the spool
	StateKnown  bool   // watermarks came from the platform or from runs of this spool
	SetAside    string // path of a damaged predecessor that Open set aside; empty if none
	Platform    []byte // the platform loop's own notes (JSON), see SavePlatform
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

// counters are kept in the transactions that change what they count.
type counters struct {
	Runs     int64            `json:"runs"`
	Tasks    int64            `json:"tasks"`
	Parked   int64            `json:"parked"`
	Records  int64            `json:"records"`
	Waiting  int64            `json:"waiting"`
	Held     int64            `json:"held"`
	Bundles  int64            `json:"bundles"`
	Messages int64            `json:"messages"`
	IDs      int64            `json:"ids"`
	Dead     int64            `json:"dead"`
	Healed   int64            `json:"healed"`
	Kept     int64            `json:"kept"`
	Bytes    map[string]int64 `json:"bytes"`

	// Of Held: whole copies of objects that are published. Nil where they are
	// still to be counted: see countPublished.
	HeldPublished *int64 `json:"held_published,omitempty"`
}

// Meta returns the spool's own state.
func (s *Spool) Meta() (Meta, error) {
	var m Meta
	err := s.view("read state", func(t *txn) error {
		var err error
		m, err = t.readMeta()
		return err
	})
	m.Unclean = s.unclean
	return m, err
}

func (t *txn) readMeta() (Meta, error) {
	st, err := t.state()
	if err != nil {
		return Meta{}, err
	}
	m := Meta{
		ConnectorID: st.ConnectorID, Schema: t.schema(), Epoch: st.Epoch,
		Created: st.Created, StateKnown: st.StateKnown, SetAside: st.SetAside,
	}
	if v := t.tab(bktMeta).get([]byte(keyPlatform)); v != nil {
		if m.Platform, err = open([]byte(keyPlatform), v, nil); err != nil {
			return m, fmt.Errorf("platform notes: %w", err)
		}
	}
	return m, nil
}

// SavePlatform stores the platform loop's own notes.
func (s *Spool) SavePlatform(epoch uint64, notes []byte) error {
	p := pack(notes)
	return s.update("save platform notes", frees(), func(t *txn) error {
		if err := t.checkEpoch(epoch); err != nil {
			return err
		}
		v, err := seal([]byte(keyPlatform), nil, p)
		if err != nil {
			return err
		}
		return t.tab(bktMeta).b.Put([]byte(keyPlatform), v)
	})
}

// schema returns the file's schema number.
func (t *txn) schema() int { return int(u32(t.tab(bktMeta).get([]byte(keySchema)), 0)) }

// state returns the spool's state, for reading.
func (t *txn) state() (*state, error) {
	if t.st != nil {
		return t.st, nil
	}
	var st state
	if err := t.readMetaKey(keyState, &st); err != nil {
		return nil, err
	}
	t.st = &st
	return t.st, nil
}

// changeState returns the spool's state for changing; flush writes it.
func (t *txn) changeState() (*state, error) {
	st, err := t.state()
	t.stDirty = err == nil
	return st, err
}

// checkEpoch refuses a hand-over whose input was read before a reset.
func (t *txn) checkEpoch(epoch uint64) error {
	st, err := t.state()
	if err != nil {
		return err
	}
	if st.Epoch != epoch {
		return fmt.Errorf("%w: epoch %d, now %d", ErrEpoch, epoch, st.Epoch)
	}
	return nil
}

// counters returns the counters for changing; flush writes them.
func (t *txn) counters() (*counters, error) {
	if t.count != nil {
		return t.count, nil
	}
	c, err := t.readCounters()
	if err != nil {
		return nil, err
	}
	t.count = c
	return c, nil
}

func (t *txn) readCounters() (*counters, error) {
	c := &counters{}
	if err := t.readMetaKey(keyCounters, c); err != nil {
		return nil, err
	}
	if c.Bytes == nil {
		c.Bytes = map[string]int64{}
	}
	if c.HeldPublished == nil {
		n, err := t.countPublished()
		if err != nil {
			return nil, err
		}
		c.HeldPublished = &n
	}
	return c, nil
}

// add changes the counters.
func (t *txn) add(fn func(c *counters)) error {
	c, err := t.counters()
	if err == nil {
		fn(c)
	}
	return err
}

func (t *txn) addBytes(bucket string, n int) error {
	return t.add(func(c *counters) { c.Bytes[bucket] += int64(n) })
}

// putMeta stores a JSON value in the meta bucket.
func (t *txn) putMeta(key string, head any) error {
	v, err := seal([]byte(key), head, packed{})
	if err != nil {
		return err
	}
	return t.tab(bktMeta).b.Put([]byte(key), v)
}

// readMetaKey reads a JSON value of the meta bucket; a missing one leaves head as it is.
func (t *txn) readMetaKey(key string, head any) error {
	v := t.tab(bktMeta).get([]byte(key))
	if v == nil {
		return nil
	}
	if _, err := open([]byte(key), v, head); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}
