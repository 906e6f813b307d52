package pipeline

import (
	"testing"

	"threatmatch-connector/spool"
)

// grownSpool has grown as large as it says.
type grownSpool struct {
	MapSpool
	stats spool.Stats
}

func (g grownSpool) Stats() (spool.Stats, error) { return g.stats, nil }

func TestMapCommitsLessIntoLargeIndexes(t *testing.T) {
	for _, c := range []struct{ waiting, ids, most, want int }{
		{0, 0, 5000, 5000},
		{mapManyWaiting, mapManyIDs, 5000, 5000},
		{0, mapManyIDs + 1, 5000, mapIDsCommit},
		{mapManyWaiting + 1, mapManyIDs + 1, 5000, mapSmallCommit},
		{mapManyWaiting + 1, mapManyIDs + 1, 100, 100},
	} {
		m := &Map{
			spool: grownSpool{stats: spool.Stats{Waiting: int64(c.waiting), IDs: int64(c.ids)}},
			opt:   MapOptions{MaxObjects: c.most},
		}
		if got, err := m.limit(); got != c.want || err != nil {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
}
