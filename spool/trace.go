package spool

// Trace is what the indices say of one STIX id.
type Trace struct {
	Known     *ID // as handed over to deliver, or found on the platform; nil if neither
	Forgotten bool
	Waiting   []Object // one for each run that it waits in
	Held      *Object
}

// Trace looks a STIX id up in the indices; cheap. Bundles, records and dead
// letters have no index by id: Search walks through them.
func (s *Spool) Trace(id string) (Trace, error) {
	var out Trace
	err := s.view("trace "+id, func(t *txn) error {
		if err := t.traceKnown(id, &out); err != nil {
			return err
		}
		if v := t.tab(bktHeld).get(heldIDKey(id)); v != nil {
			o := t.heldObject(u64(v, 0))
			out.Held = &o
		}
		runs, err := t.openRuns()
		if err != nil {
			return err
		}
		for _, run := range runs {
			if v := t.tab(bktWaitingByID).get(waitingIDKey(run, id)); v != nil {
				out.Waiting = append(out.Waiting, t.waitingObject(run, u64(v, 0)))
			}
		}
		return nil
	})
	return out, err
}

func (t *txn) traceKnown(id string, out *Trace) error {
	key := idKey(id)
	v := t.sub(subEntries).get(key)
	if v == nil {
		return nil
	}
	e, err := decodeID(key, v)
	if err != nil {
		return nil // counts as unknown everywhere; Verify reports it
	}
	r, err := t.idRun(e.Run)
	if err != nil {
		return err
	}
	out.Known, out.Forgotten = &e.ID, r.forgets(e.Seq)
	return nil
}
