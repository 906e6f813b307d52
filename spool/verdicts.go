package spool

import (
	"fmt"
	"slices"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// WatchedWork is a work on OpenCTI whose errors still have to be read: its run is done, but the platform's workers
// may still refuse what it brought.
type WatchedWork struct {
	Run   uint64    `json:"-"`
	ID    string    `json:"id"`
	Since time.Time `json:"since"` // when the run was done
	Due   time.Time `json:"due"`   // not to be asked before
	Tries int       `json:"tries"`
	Seen  []uint64  `json:"seen,omitempty"` // hashes of the errors that were kept
	// Large are ids of objects that were sent under the work and that a worker might not name when it refuses them;
	// at most mostLarge.
	Large []string `json:"large,omitempty"`
}

// mostLarge bounds how many large objects of a run are remembered: the platform keeps no more errors of a work.
const mostLarge = 100

// noteLarge remembers the large ones among the objects that are sent.
func (r *storedRun) noteLarge(bundles []NewBundle) {
	for _, b := range bundles {
		for _, id := range b.large {
			if len(r.Large) < mostLarge && !slices.Contains(r.Large, id) {
				r.Large = append(r.Large, id)
			}
		}
	}
}

// mayBeUnnamed reports whether a worker may leave the object out of its report of a refusal. It does so from 50,000
// characters on, as it writes the object: in ASCII and with a space after each comma and colon. The limit here is a
// little lower, to be safe.
func mayBeUnnamed(object []byte) bool {
	const limit = 45_000
	if len(object) >= limit || len(object)*6 < limit {
		return len(object) >= limit
	}
	n := 0
	for _, c := range string(object) {
		switch {
		case c == ',' || c == ':':
			n += 2
		case c < 0x80:
			n++
		case c < 0x10000:
			n += 6
		default:
			n += 12
		}
	}
	return n >= limit
}

// watch stores the work of a run that is done now.
func (tb runBucket) watch(r *storedRun, now time.Time) {
	if r.Work.ID != "" && r.Work.Status == WorkProcessed {
		tb.seal(numKey(pfxWork, r.ID), WatchedWork{ID: r.Work.ID, Since: now.UTC(), Large: r.Large})
	}
}

// longestDue is the longest that a work is put off.
const longestDue = 24 * time.Hour

// WatchedWorks returns up to limit works that are due, oldest run first, when the next of the others is due (zero if
// there is none), and how many there are in all. A row that cannot be read is rebuilt from its run.
func (s *Spool) WatchedWorks(now time.Time, limit int) (due []WatchedWork, next time.Time, all int, err error) {
	err = s.view("read works", func(t *txn) error {
		for k, v := range t.runs().entries([]byte{pfxWork}, []byte{pfxWork}, 8) {
			all++
			w := WatchedWork{Run: encoding.U64(k, 1)}
			if _, err := encoding.Open(k, v, &w); err != nil {
				w.Since, w.Due, w.Tries, w.Seen = now, time.Time{}, 0, nil
				if r, err := t.runs().byID(w.Run); err == nil {
					w.ID, w.Since, w.Large = r.Work.ID, r.DoneAt, r.Large
				}
			}
			if w.Due.Sub(now) > longestDue { // the clock was set back
				w.Due = now
			}
			switch {
			case !w.Due.After(now) && len(due) < limit:
				due = append(due, w)
			case next.IsZero() || w.Due.Before(next):
				next = w.Due
			}
		}
		return nil
	})
	return due, next, all, err
}

// SaveVerdict stores what OpenCTI refused under the work as dead letters of stage platform, with the item that
// brought each object if that is known. One whose object was sent again in a later run is healed at once. done ends
// the watch; otherwise w replaces the row. A work that is not watched any more, after a reset, makes it fail with
// ErrNotFound.
func (s *Spool) SaveVerdict(now time.Time, w WatchedWork, letters []DeadLetter, done bool) error {
	var size int64
	packed := packAll(letters, payloadOf, &size)
	return s.update("save verdict", use{share: moves, brings: size}, func(t *txn) error {
		key := numKey(pfxWork, w.Run)
		if t.runs().get(key) == nil {
			return fmt.Errorf("work of run %d: %w", w.Run, ErrNotFound)
		}
		for i, d := range letters {
			d.Run, d.Stage = w.Run, StagePlatform
			t.refused(now, d, packed[i])
		}
		if done {
			t.runs().del(key)
		} else {
			t.runs().seal(key, w)
		}
		return nil
	})
}

// refused adds one dead letter of the platform.
func (t *txn) refused(now time.Time, d DeadLetter, body encoding.Packed) {
	e, known := t.ids().get(d.STIX)
	d.Dataset, d.Source = cutOrigin(e.Origin)
	t.dead().add(now, d, body)
	if known && e.Run > d.Run && d.STIX != "" {
		t.dead().healRejected(now, d.STIX)
	}
}

// An origin says which item brought an object: the dataset's number, and the item's source id. For a page of IOCs it
// is the dataset alone: a page cannot be requested again by its source id, and a million objects come from few pages.

func origins(bundles []NewBundle) map[string]string {
	all := map[string]string{}
	for _, b := range bundles {
		for _, o := range b.Objects {
			n := slices.Index(Datasets(), o.Dataset)
			if n < 0 || len(o.Source) > MaxID {
				continue
			}
			source := o.Source
			if o.Dataset == IOCs {
				source = ""
			}
			all[o.STIX] = string(rune('0'+n)) + source
		}
	}
	return all
}

func cutOrigin(origin string) (Dataset, string) {
	if origin == "" || int(origin[0]-'0') >= len(Datasets()) {
		return "", ""
	}
	return Datasets()[origin[0]-'0'], origin[1:]
}
