package pipeline

import (
	"threatmatch-connector/spool"
)

// RunHistory calls yield with the runs of an epoch, newest first, until it returns
// false. It begins before the run with the id before; 0 means at the newest.
func RunHistory(sp interface {
	Runs(before uint64, limit int) ([]spool.Run, error)
}, epoch, before uint64, yield func(spool.Run) bool) error {
	const page = 50
	for {
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

// PagesOfType begins the counter of a run's pages of one STIX type. Fetch counts
// under it, and the schedule learns from it which types a run asked for.
const PagesOfType = "fetch.pages_of:"
