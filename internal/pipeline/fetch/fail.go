package fetch

import (
	"cmp"
	"net/http"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

// Limits after which the stage stops trying a task in this run.
const (
	itemTries    = 10               // tries of an item that count
	itemRefused  = 2                // refusals of an item in a row
	listRefused  = 5                // refusals of a list or page in a row
	listPatience = 30 * time.Minute // without a success of a list or page
	// An item that only meets failures it did not cause leaves the run after this
	// many tries and this much time, because the run must end. It is not blamed.
	itemWaived   = 60
	itemPatience = 30 * time.Minute
	itemsTold    = 5 // lost items named in one log line
)

// fail handles a failed try that counts.
func (f *Stage) fail(r result) {
	st := f.triedState(r)
	if r.task.Kind == spool.TaskItem {
		f.ready = append(f.ready, f.failItem(r, st))
		return
	}
	f.failFront(r, st)
}

// triedState returns the task's state after a failure that counts.
func (f *Stage) triedState(r result) spool.TaskState {
	class, after := fault.Of(r.err)
	answer := answerOf(r.err)
	st := r.task.TaskState
	switch {
	case notItsOwn(r.err):
		st.Waived++
	case class == fault.Permanent:
		st.Tries++
		st.Refused++
	default:
		st.Tries++
		st.Refused = 0
	}
	if st.FirstTry.IsZero() || st.FirstTry.After(r.ended) { // the clock was set back
		st.FirstTry = r.ended
	}
	st.LastTry = r.ended
	st.LastClass = cmp.Or(string(answer.Kind), class.String())
	st.LastError, st.LastAnswer = fault.Sentence(r.err), []byte(answer.Snippet)
	wait := max(after, pipeline.Jitter(st.Tries+st.Waived, retryFirst, retryMost, f.Rand()))
	st.Due = r.ended.Add(f.bounded(wait))
	return st
}

// failItem keeps an item for another try, parks it, or gives it up.
func (f *Stage) failItem(r result, st spool.TaskState) verdict {
	v := verdict{Outcome: spool.Outcome{Task: r.task.TaskKey, Run: r.run.ID, Count: map[string]int64{"fetch.retries": 1}}}
	blamed := st.Tries >= itemTries || st.Refused >= itemRefused || st.Refused > 0 && isDetails(r.task.TaskKey)
	if !blamed && (st.Waived < itemWaived || r.ended.Sub(st.FirstTry) < itemPatience) {
		v.Keep = &st
		return v
	}
	if isDetails(r.task.TaskKey) {
		return f.dropDetails(r, st)
	}
	if blamed {
		st.Runs++
	}
	st.Due = time.Time{}
	if len(r.run.missed) < itemsTold {
		r.run.missed = append(r.run.missed, r.task.Title())
	}
	if st.Runs < f.opt.MaxAttempts {
		v.Keep, v.Park = &st, true
		v.Count = map[string]int64{"fetch.parked": 1}
		f.Metrics.parked.WithLabelValues(string(r.task.Dataset), "parked").Inc()
		return v
	}
	v.Dead = &spool.DeadLetter{
		Stage: spool.StageFetch, Class: st.LastClass, Error: st.LastError, Attempts: st.Runs,
		First: st.FirstTry, Last: st.LastTry, Run: r.run.ID,
		Dataset: r.task.Dataset, Source: r.task.Source, Payload: st.LastAnswer,
	}
	v.Count = map[string]int64{"fetch.dead": 1}
	f.Metrics.parked.WithLabelValues(string(r.task.Dataset), "dead").Inc()
	return v
}

// failFront keeps a list or page for another try, ends its dataset for this run, or
// concludes that the server refuses everything.
func (f *Stage) failFront(r result, st spool.TaskState) {
	d := r.task.Dataset
	if r.task.Kind == spool.TaskList {
		f.run.list(d).refused = st.Refused > 0
		if f.everyListRefused() {
			f.release(r)
			f.refused(r.err, true)
			return
		}
		if answerOf(r.err).Status == http.StatusNotFound && f.anyListOK() {
			f.ready = append(f.ready, f.endDataset(r, spool.DatasetSkipped, "not offered to this account: "+st.LastError))
			return
		}
	}
	if st.Refused >= listRefused || r.ended.Sub(st.FirstTry) >= listPatience {
		f.ready = append(f.ready, f.endDataset(r, spool.DatasetFailed, st.LastError))
		return
	}
	f.ready = append(f.ready, verdict{Outcome: spool.Outcome{
		Task: r.task.TaskKey, Run: r.run.ID, Keep: &st, Count: map[string]int64{"fetch.retries": 1},
	}})
}

// endDataset ends the task's dataset in this run.
func (f *Stage) endDataset(r result, status spool.DatasetStatus, detail string) verdict {
	return verdict{
		Outcome: spool.Outcome{Task: r.task.TaskKey, Run: r.run.ID},
		end:     &spool.DatasetRun{Status: status, Detail: detail},
	}
}

// everyListRefused reports whether this run covers all datasets and each of their
// lists was refused last time: then the lists are not at fault.
func (f *Stage) everyListRefused() bool {
	if len(f.run.lists) < len(f.opt.Datasets) {
		return false
	}
	for _, l := range f.run.lists {
		if !l.refused || l.ok || l.failed {
			return false
		}
	}
	return true
}

func (f *Stage) anyListOK() bool {
	for _, l := range f.run.lists {
		if l.ok {
			return true
		}
	}
	return false
}
