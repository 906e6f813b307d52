package mapstage

import (
	"testing"

	"threatmatch-connector/spool"
)

// grownSpool claims to be this large.
type grownSpool struct {
	Spool
	stats spool.Stats
}

func (g grownSpool) Stats() (spool.Stats, error) { return g.stats, nil }

func TestCommitsLessIntoLargeIndexes(t *testing.T) {
	for _, c := range []struct{ waiting, ids, most, want int }{
		{0, 0, 5000, 5000},
		{manyRows, manyRows, 5000, 5000},
		{0, manyRows + 1, 5000, smallCommit},
		{manyRows + 1, 0, 5000, smallCommit},
		{manyRows + 1, manyRows + 1, 100, 100},
	} {
		m := &Stage{
			Deps: Deps{Spool: grownSpool{stats: spool.Stats{Counts: spool.Counts{Waiting: int64(c.waiting), IDs: int64(c.ids)}}}},
			opt:  Options{MaxObjects: c.most},
		}
		if got, err := m.limit(); got != c.want || err != nil {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
}
