package pipeline

import (
	"threatmatch-connector/spool"
)

// RunHistory calls yield with the runs of an epoch, newest first, until yield
// returns false.
func RunHistory(sp interface {
	Runs(before uint64, limit int) ([]spool.Run, error)
}, epoch uint64, yield func(spool.Run) bool) error {
	const page = 50
	for before := uint64(0); ; {
		runs, err := sp.Runs(before, page)
		if err != nil {
			return err
		}
		for _, r := range runs {
			if r.Epoch != epoch || !yield(r) {
				return nil
			}
			before = r.ID
		}
		if len(runs) < page {
			return nil
		}
	}
}

// PagesOfType is the prefix of the counters for pages of one STIX type. Fetch
// counts under it; the schedule learns from it which types a run requested.
const PagesOfType = "fetch.pages_of:"
