package spool

import "threatmatch-connector/spool/internal/encoding"

// Trace is what the indices know of one STIX id.
type Trace struct {
	Known     *ID // as handed over to deliver, or found on the platform; nil if neither
	Forgotten bool
	Waiting   []Object // one for each run that it waits in
	Held      *Object
}

// Trace looks a STIX id up in the indices; it is cheap. Bundles, records and dead letters have no index by id: Search
// walks through them.
func (s *Spool) Trace(id string) (Trace, error) {
	var out Trace
	err := s.view("trace "+id, func(t *txn) error {
		if err := t.ids().trace(id, &out); err != nil {
			return err
		}
		if seq := heldOf(t).seq(id); seq != 0 {
			o := heldOf(t).at(seq)
			out.Held = &o
		}
		runs, err := t.runs().open()
		if err != nil {
			return err
		}
		for _, run := range runs {
			if x := waitingOf(run)(t); x.seq(id) != 0 {
				out.Waiting = append(out.Waiting, x.at(x.seq(id)))
			}
		}
		return nil
	})
	return out, err
}

func (tb idBucket) trace(id string, out *Trace) error {
	key := encoding.IDKey(id)
	v := tb.entries().get(key)
	if v == nil {
		return nil
	}
	e, err := decodeEntry(key, v)
	if err != nil {
		return nil // counts as unknown everywhere; Verify reports it
	}
	out.Known, out.Forgotten = &e.ID, tb.forgets(e)
	return nil
}
