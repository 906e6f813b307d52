package mapstage

import (
	"slices"

	"threatmatch-connector/spool"
)

// knownMax limits how many entries of ids a batch remembers.
const knownMax = 50_000

// known is what ids says about objects, as it will be after the batch.
type known struct {
	spool   Spool
	entries map[string]*spool.ID // as far as it was asked; nil: nothing
	puts    []spool.IDPut
}

// learn looks up the ids that were not asked yet.
func (k *known) learn(ids []string) error {
	ask := ids[:0:0]
	for _, id := range ids {
		if _, asked := k.entries[id]; !asked {
			k.entries[id] = nil
			ask = append(ask, id)
		}
	}
	for chunk := range slices.Chunk(ask, idPage) {
		found, err := k.spool.LookupIDs(chunk)
		if err != nil {
			return err
		}
		for id, e := range found {
			k.entries[id] = &e
		}
	}
	return nil
}

// entry returns what ids says about an id; found is false if it says nothing, or was not asked.
func (k *known) entry(id string) (e spool.ID, found bool) {
	if e := k.entries[id]; e != nil {
		return *e, true
	}
	return spool.ID{}, false
}

// put changes what ids says about an id.
func (k *known) put(id string, e spool.ID) {
	k.puts = append(k.puts, spool.IDPut{STIX: id, ID: e})
	k.entries[id] = &e
}
