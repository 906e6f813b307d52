package spool

// Which object of the source is sent under the id of an intrusion set is stored in meta. It survives a reset, since
// what was sent under that id is still on the platform.

// setIDRow names the object of the source that has the id of an intrusion set.
type setIDRow struct {
	Original string `json:"original"`
}

func (tb metaBucket) putSetIDs(list map[string]string) {
	for id, original := range list {
		tb.save(pfxSetID+id, setIDRow{original})
	}
}

// setID returns the object of the source that has the id, "" if that is not known.
func (tb metaBucket) setID(id string) string {
	var row setIDRow
	if tb.read(pfxSetID+id, &row) != nil {
		return ""
	}
	return row.Original
}

// SetIDs returns, by id of an intrusion set, the object of the source that CommitMap stored for it. One that cannot
// be read counts as unknown; Verify reports it.
func (s *Spool) SetIDs(ids []string) (map[string]string, error) {
	found := map[string]string{}
	err := s.view("look up ids of intrusion sets", func(t *txn) error {
		for _, id := range ids {
			if original := t.meta().setID(id); original != "" {
				found[id] = original
			}
		}
		return nil
	})
	return found, err
}
