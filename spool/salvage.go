package spool

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// Salvage is what can be, or was, brought back from a set-aside file.
type Salvage struct {
	File     string           `json:"file"`
	Created  time.Time        `json:"created,omitzero"` // of the old spool
	Rows     map[string]int64 `json:"rows"`             // by kind: set_ids, records, objects (of bundles), waiting, held, dead_letters
	Before   map[string]int64 `json:"before,omitempty"` // what earlier salvages of the same file brought back
	Parked   int64            `json:"parked"`           // parked items, which are not brought back: the lists name them again
	Unread   int64            `json:"unread"`           // rows and pages that cannot be read
	Names    []string         `json:"unread_names,omitempty"`
	Run      uint64           `json:"run,omitempty"` // the run that has the records; 0: none was needed
	Finished bool             `json:"finished"`      // all that can be read came back before
}

// maxUnread is how many unreadable rows and pages are named; all are counted.
const maxUnread = 200

func (r *Salvage) lost(err error) {
	if r.Unread++; len(r.Names) < maxUnread {
		r.Names = append(r.Names, err.Error())
	}
}

// salvaged is what the spool remembers of a file that it salvages, or did.
type salvaged struct {
	File string           `json:"file"`
	Run  uint64           `json:"run,omitempty"`
	At   rowPlace         `json:"at"` // the last row that came back
	Done bool             `json:"done,omitempty"`
	Rows map[string]int64 `json:"rows"`
}

// The most that one transaction of a salvage brings back.
const (
	salvageRows  = 500
	salvageBytes = 4 << 20
)

// SalvageOptions are what an operator says about a set-aside file.
type SalvageOptions struct {
	BeforeReset bool   // bring it back even if it may be from before a reset
	ConnectorID string // whose file it is, if it does not say so itself any more
}

// ErrNoOwner is an ErrCorrupt of a set-aside file that does not say which connector it belonged to.
var ErrNoOwner = fmt.Errorf("%w: neither copy of the connector id can be read", ErrCorrupt)

// LookSalvage returns what Salvage would bring back from a set-aside file.
func (s *Spool) LookSalvage(ctx context.Context, path string, o SalvageOptions) (Salvage, error) {
	return s.salvage(ctx, path, o, func(*asideFile, *salvaged, []rescued, bool) error { return nil })
}

// Salvage brings back what can be read of a set-aside file and was not delivered: records, the objects of bundles,
// waiting and held objects, all as records of one run of reason retry, so that map compares them with what was
// delivered since; dead letters that are not healed; and which object has the id of an intrusion set, if no other has
// got it since. It takes no watermarks, ids or tasks. Each row comes back once: the place in the file is committed
// with the rows, so an interrupted salvage continues there when it is repeated.
//
// It returns ErrConnector for another connector's file; ErrNoOwner if neither the file nor the options say whose it is;
// ErrInvalid for the spool's own and, unless BeforeReset, for one that may be from before a reset; ErrFull if the spool
// has to drain first; ErrEpoch if a reset comes in between, which drops what came back.
func (s *Spool) Salvage(ctx context.Context, path string, now time.Time, o SalvageOptions) (Salvage, error) {
	return s.salvage(ctx, path, o, func(f *asideFile, m *salvaged, rows []rescued, done bool) error {
		return s.bringBack(f, m, now, rows, done)
	})
}

func (s *Spool) salvage(ctx context.Context, path string, o SalvageOptions, step func(f *asideFile, m *salvaged, rows []rescued, done bool) error) (Salvage, error) {
	out := Salvage{File: path, Rows: map[string]int64{}}
	fail := func(err error) (Salvage, error) { return out, fmt.Errorf("salvage %s: %w", path, err) }
	if mine, err := os.Stat(s.path); err != nil {
		return fail(err)
	} else if fi, err := os.Stat(path); err != nil {
		return fail(err)
	} else if os.SameFile(mine, fi) {
		return fail(fmt.Errorf("%w: it is the spool's own file", ErrInvalid))
	}
	f, err := openAside(ctx, path, o.ConnectorID)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = f.Close() }()
	m, err := s.salvageable(f, o.BeforeReset)
	if err != nil {
		return fail(err)
	}
	out.Created, out.Before, out.Finished, out.Run = f.state.Created, maps.Clone(m.Rows), m.Done, m.Run
	if m.Done {
		return out, nil
	}
	if m.Rows == nil {
		m.Rows = map[string]int64{}
	}
	m.File = filepath.Base(path)
	var rows []rescued
	size := 0
	flush := func(done bool) error {
		err := context.Cause(ctx) // then the rows may have been read in part only
		if err == nil {
			err = step(f, &m, rows, done)
		}
		if err == nil {
			for _, r := range rows {
				out.Rows[r.kind] += r.n
			}
			rows, size, out.Run = nil, 0, m.Run
		}
		return err
	}
	for r := range f.each(m.At, out.lost) {
		if size+r.size() > salvageBytes && len(rows) > 0 || len(rows) >= salvageRows {
			if err := flush(false); err != nil {
				return fail(err)
			}
		}
		rows, size = append(rows, r), size+r.size()
	}
	out.Parked = f.parked(out.lost)
	if err := flush(true); err != nil {
		return fail(err)
	}
	return out, nil
}

func (r rescued) size() (n int) {
	for _, rec := range r.records {
		n += len(rec.Body)
	}
	if r.letter != nil {
		n += len(r.letter.Payload)
	}
	return n
}

func salvageKey(id []byte) []byte { return append([]byte{pfxSalvage}, id...) }

// salvageable refuses a file that must not be brought back, and returns how far an earlier salvage got.
func (s *Spool) salvageable(f *asideFile, beforeReset bool) (m salvaged, err error) {
	err = s.view("read state", func(t *txn) error {
		st, err := t.meta().state()
		switch {
		case err != nil:
			return err
		case st.ConnectorID != f.state.ConnectorID:
			return fmt.Errorf("%w: the file belonged to %q, this spool to %q", ErrConnector, f.state.ConnectorID, st.ConnectorID)
		case st.Epoch > 1 && !beforeReset:
			return fmt.Errorf("%w: the state was reset since this spool was made, and the file may be from before that", ErrInvalid)
		}
		f.epoch, m = st.Epoch, t.runs().salvaged(f.id)
		return nil
	})
	return m, err
}

// salvaged returns what is remembered of a file. A damaged row counts as nothing, so that the file is brought back
// once more.
func (tb runBucket) salvaged(id []byte) salvaged {
	var m salvaged
	key := salvageKey(id)
	if _, err := encoding.Open(key, tb.get(key), &m); err != nil {
		return salvaged{}
	}
	return m
}

// bringBack commits a step of a salvage.
func (s *Spool) bringBack(f *asideFile, m *salvaged, now time.Time, rows []rescued, done bool) error {
	u := use{share: grows}
	packed := make([][]encoding.Packed, len(rows))
	for i, r := range rows {
		for _, rec := range r.records {
			packed[i] = append(packed[i], encoding.Pack(rec.Body))
		}
		if r.letter != nil {
			packed[i] = append(packed[i], encoding.Pack(r.letter.Payload))
		}
		for _, p := range packed[i] {
			u.brings += int64(p.Size())
		}
	}
	next := *m
	err := s.handOver("salvage", u, f.epoch, func(t *txn) error {
		next = *m
		next.Rows, next.Done = maps.Clone(m.Rows), done
		r, err := t.runs().salvageRun(&next, now, slices.ContainsFunc(rows, func(r rescued) bool { return r.setIDs == nil }))
		if err != nil {
			return err
		}
		for i, row := range rows {
			next.At = row.at
			next.Rows[row.kind] += row.n
			if err := t.rescue(now, r, row, packed[i]); err != nil {
				return fmt.Errorf("%s %x: %w", row.at.Bucket, row.at.Key, err)
			}
		}
		if done {
			if err := t.runs().endSalvage(next.Run, now); err != nil {
				return err
			}
		}
		t.runs().seal(salvageKey(f.id), next)
		return nil
	})
	if err == nil {
		*m = next
	}
	return err
}

// salvageRun returns the run that receives what comes back. If that of an interrupted salvage has been fetched
// meanwhile, it starts another.
func (tb runBucket) salvageRun(m *salvaged, now time.Time, needed bool) (*storedRun, error) {
	if !needed {
		return nil, nil
	}
	if m.Run != 0 && tb.get(numKey(pfxOpen, m.Run)) != nil {
		r, err := tb.change(m.Run)
		if err != nil || r.FetchedAt.IsZero() {
			return r, err
		}
	}
	r, err := tb.add(now, RunSpec{Reason: ReasonRetry, Start: now})
	if err == nil {
		m.Run = r.ID
	}
	return r, err
}

// endSalvage ends the fetch of the run: it has no request to make, and waits for no response of ThreatMatch.
func (tb runBucket) endSalvage(run uint64, now time.Time) error {
	if run == 0 || tb.get(numKey(pfxOpen, run)) == nil {
		return nil
	}
	r, err := tb.change(run)
	if err == nil {
		r.endFetch(now)
	}
	return err
}

// rescue adds to the spool what one row gave.
func (t *txn) rescue(now time.Time, r *storedRun, row rescued, packed []encoding.Packed) error {
	for i, rec := range row.records {
		if rec.Fetched.IsZero() {
			rec.Fetched = now
		}
		r.touch(rec.Dataset, now, now)
		if err := t.records().add(r, rec, packed[i]); err != nil {
			return err
		}
	}
	maps.DeleteFunc(row.setIDs, func(id, _ string) bool { return t.meta().setID(id) != "" }) // something got it since
	t.meta().putSetIDs(row.setIDs)
	if d := row.letter; d != nil {
		letter := *d
		letter.Run = r.ID
		t.dead().add(now, letter, packed[0])
	}
	return nil
}
