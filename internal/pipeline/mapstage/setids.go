package mapstage

import (
	"maps"
	"slices"

	"threatmatch-connector/spool"
)

// withSetIDs applies what earlier records said about ids of intrusion sets. If an
// actor and an intrusion set have the same UUID, the first one keeps the id, and
// the record is mapped again with that. What is left in SetIDs is new.
func (m *Stage) withSetIDs(rec spool.Record, res mapped) (mapped, error) {
	if len(res.SetIDs) == 0 {
		return res, nil
	}
	known, err := m.Spool.SetIDs(slices.Collect(maps.Keys(res.SetIDs)))
	if err != nil {
		return res, err
	}
	if m.gather != nil {
		for id := range res.SetIDs {
			if original, ok := m.gather.setIDs[id]; ok {
				known[id] = original
			}
		}
	}
	for id, original := range known {
		if res.SetIDs[id] != original {
			if rec, err = m.again(rec, nil); err != nil {
				return res, err
			}
			res = m.guard(rec, known)()
			break
		}
	}
	maps.DeleteFunc(res.SetIDs, func(id, _ string) bool { return known[id] != "" })
	return res, nil
}
