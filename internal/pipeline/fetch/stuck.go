package fetch

import (
	"fmt"
	"strings"

	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

// stuckRuns is how many runs in a row may fail a dataset before the stage is not
// ready.
const stuckRuns = 3

// lookForStuck finds the datasets that failed in each of the latest runs: every
// later run fails at the same place, so nothing new of them is imported. It goes by
// the history in the spool, so a restart changes nothing.
func (f *Stage) lookForStuck() error {
	var stuck []string
	for _, d := range f.opt.Datasets {
		failed, why := 0, ""
		err := pipeline.RunHistory(f.Spool, f.epoch, func(r spool.Run) bool {
			dr, asked := r.Datasets[d]
			if !asked || !r.Reason.MovesWatermarks() || r.FetchedAt.IsZero() {
				return true
			}
			if dr.Status != spool.DatasetFailed {
				return false
			}
			if failed++; failed == 1 {
				why = dr.Detail
			}
			return failed < stuckRuns
		})
		if err != nil {
			return err
		}
		if failed == stuckRuns {
			stuck = append(stuck, fmt.Sprintf("%s failed in the last %d runs, nothing new of it is imported: %s "+
				"(if ThreatMatch never returns that part: threatmatch-connector skip --dataset %s --to DATE)", d, stuckRuns, why, d))
		}
	}
	f.stuck = strings.Join(stuck, "; ")
	return nil
}

// notReady returns why the stage cannot do all of its work, empty if it can.
func (f *Stage) notReady() string {
	if why := f.health.notReady(); why != "" {
		return why
	}
	return f.stuck
}
