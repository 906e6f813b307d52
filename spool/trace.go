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
		t.ids().trace(id, &out)
		if seq := t.objects(Held).seq(id); seq != 0 {
			o := t.objects(Held).at(seq)
			out.Held = &o
		}
		for _, r := range t.runs().open() {
			if x := t.objects(r.ID); x.seq(id) != 0 {
				out.Waiting = append(out.Waiting, x.at(x.seq(id)))
			}
		}
		return nil
	})
	return out, err
}

func (tb idBucket) trace(id string, out *Trace) {
	key := encoding.IDKey(id)
	if e, err := decodeEntry(key, tb.entries().get(key)); err == nil { // else it is unknown, or Verify reports it
		out.Known, out.Forgotten = &e.ID, tb.forgets(e)
	}
}
