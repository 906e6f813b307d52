package inspect

import (
	"context"
	"slices"

	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// mostNamed limits the objects reported for one name.
const mostNamed = 20

// named returns the ids of objects with the name: those whose bytes are in the
// spool, and known ones whose id follows from type and name. The names of delivered
// objects are not kept.
func (d direct) named(ctx context.Context, name string) ([]string, error) {
	hits, err := d.search(ctx, spool.Query{Name: name})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, h := range hits {
		ids = append(ids, h.STIX)
	}
	for _, id := range stix.IDsOfName(name) {
		tr, err := d.Spool.Trace(id)
		if err != nil {
			return nil, err
		}
		if tr.Known != nil && !tr.Forgotten {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return ids[:min(len(ids), mostNamed)], nil
}
