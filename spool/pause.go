package spool

import (
	"fmt"
	"slices"
	"time"
)

// Pausable returns the stages that can be paused, in the order of the data flow.
func Pausable() []Stage { return []Stage{StageFetch, StageMap, StageDeliver} }

// Pause stops a stage until Resume, also over restarts and resets. It returns since when: now, or an earlier time if
// it is paused already. Meta lists the paused stages.
func (s *Spool) Pause(now time.Time, st Stage) (since time.Time, err error) {
	if !slices.Contains(Pausable(), st) {
		return since, fmt.Errorf("pause %s: %w: only %v can be paused", st, ErrInvalid, Pausable())
	}
	err = s.changePaused("pause", func(all map[Stage]time.Time) {
		if _, ok := all[st]; !ok {
			all[st] = now.UTC()
		}
		since = all[st]
	})
	return since, err
}

// Resume lets a stage continue and reports whether it was paused.
func (s *Spool) Resume(st Stage) (was bool, err error) {
	err = s.changePaused("resume", func(all map[Stage]time.Time) {
		_, was = all[st]
		delete(all, st)
	})
	return was, err
}

func (s *Spool) changePaused(op string, fn func(map[Stage]time.Time)) error {
	return s.update(op, frees(), func(t *txn) error {
		all := t.meta().paused()
		fn(all)
		if len(all) == 0 {
			t.meta().unset(keyPaused)
		} else {
			t.meta().save(keyPaused, all)
		}
		return nil
	})
}

// paused returns since when stages are paused. A row that cannot be read pauses none.
func (tb metaBucket) paused() map[Stage]time.Time {
	all := map[Stage]time.Time{}
	if tb.read(keyPaused, &all) != nil {
		return map[Stage]time.Time{}
	}
	return all
}
