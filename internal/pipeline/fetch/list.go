package fetch

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/pipeline/fetch/paging"
	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

// listCursor is stored in a list task that has to request from an earlier time.
type listCursor struct {
	Since   time.Time `json:"since"`
	Applied time.Time `json:"applied"` // the date by which the server says it filtered last time
}

// farthest is how far a server's time zone can be from ours in either direction,
// with some margin.
const farthest = 27 * time.Hour

// listSince returns the time from which a list task requests changes.
func (f *Stage) listSince(t spool.Task, run *openRun) time.Time {
	var c listCursor
	if len(t.Cursor) > 0 && json.Unmarshal(t.Cursor, &c) == nil && !c.Since.IsZero() {
		return c.Since
	}
	return run.Datasets[t.Dataset].From
}

// succeed turns a response into a verdict.
func (f *Stage) succeed(r *result) verdict {
	v := verdict{Outcome: spool.Outcome{Task: r.task.TaskKey, Run: r.run.ID}, open: r.task.TaskState, release: r.release}
	switch {
	case isDetails(r.task.TaskKey):
		f.bring(*r, &v, r.item.Pieces())
		v.Count = map[string]int64{"fetch.details": 1}
	case r.task.Kind == spool.TaskItem:
		v.Add = f.detailsTask(r.task)
		f.bring(*r, &v, r.item.Pieces())
		v.Count = map[string]int64{"fetch.items": 1}
	case r.task.Kind == spool.TaskPage:
		f.succeedPage(*r, &v)
	case r.task.Dataset == spool.IOCs:
		f.succeedGroups(*r, &v)
	default:
		f.succeedList(*r, &v)
	}
	return v
}

// bring spools a response in records of bounded size; see addPieces.
func (f *Stage) bring(r result, v *verdict, pieces *threatmatch.Pieces) {
	v.pieces = pieces
	v.record = spool.NewRecord{Dataset: r.task.Dataset, Source: r.task.Source, Fetched: r.ended}
}

// succeedList turns a list into item tasks.
func (f *Stage) succeedList(r result, v *verdict) {
	v.Start = f.serverTime(r, r.list.Date)
	from := r.run.Datasets[r.task.Dataset].From
	if again, ok := f.askFurtherBack(r, from); ok {
		v.Keep = again
		return
	}
	v.items = &r.list.IDs
	v.open.Cursor = []byte("partly")
	f.run.list(r.task.Dataset).ok = true
	v.Status = &spool.DatasetRun{Status: spool.DatasetListed}
	v.Count = map[string]int64{"fetch.lists": 1, "fetch.listed": int64(r.list.Count)}
	if n := r.list.Unusable; n > 0 {
		v.Note = f.note(r, "invalid", fmt.Sprintf("%d list entries have no id", n))
		v.Count["fetch.unusable"] = int64(n)
	}
	if r.list.Applied.After(from) {
		text := fmt.Sprintf("asked for changes since %s, the server returns only those since %s",
			from.Format(time.RFC3339), r.list.Applied.Format(time.RFC3339))
		if v.Note != nil {
			text += "; " + v.Note.Error
		}
		v.Note = f.note(r, "gap", text)
		v.Count["fetch.gaps"] = 1
		f.Metrics.gaps.Inc()
	}
	if v.Note != nil {
		v.Note.Payload = []byte(strings.Join(r.list.UnusableEntries, "\n"))
		f.Log.Warn("list is not complete", "stage", stageName, "run", r.run.ID, "dataset", r.task.Dataset, "reason", v.Note.Error)
	}
}

// askFurtherBack looks at the date by which the server says it filtered. If that
// date is later than the window start, the server reads our date in another time
// zone: request the list again from that much earlier. It gives up if that does not
// help, because a server may limit how far it looks back.
func (f *Stage) askFurtherBack(r result, from time.Time) (*spool.TaskState, bool) {
	applied := r.list.Applied
	if !applied.After(from) {
		return nil, false
	}
	var c listCursor
	if len(r.task.Cursor) > 0 && json.Unmarshal(r.task.Cursor, &c) == nil && !applied.Before(c.Applied) {
		return nil, false
	}
	since := from.Add(-applied.Sub(r.since.Truncate(time.Minute)))
	if from.Sub(since) > farthest {
		return nil, false
	}
	f.Log.Warn("server reads dates in another time zone; asking from further back", "stage", stageName, "run", r.run.ID,
		"dataset", r.task.Dataset, "asked", r.since, "applied", applied, "now_asking", since)
	cursor, err := json.Marshal(listCursor{Since: since, Applied: applied})
	if err != nil {
		return nil, false // cannot happen: times always marshal
	}
	st := r.task.TaskState
	st.Cursor, st.Due, st.FirstTry, st.Refused, st.Waived = cursor, time.Time{}, time.Time{}, 0, 0
	return &st, true
}

// note is a dead letter to be stored along with a response.
func (f *Stage) note(r result, class, text string) *spool.DeadLetter {
	return &spool.DeadLetter{
		Stage: spool.StageFetch, Class: class, Error: text, Attempts: 1,
		First: r.ended, Last: r.ended, Run: r.run.ID, Dataset: r.task.Dataset,
	}
}

// How far apart the clocks may be. clockFar is the default overlap of two runs'
// windows; beyond clockLost a clock is useless.
const (
	clockFar  = 10 * time.Minute
	clockLost = 24 * time.Hour
)

// serverTime compares the clocks, warns once, and returns the server's time for the
// run's start, or zero if it must not be used.
func (f *Stage) serverTime(r result, date time.Time) time.Time {
	if date.IsZero() {
		return date
	}
	off := r.ended.Sub(date)
	f.Status.ClockIs(off)
	if off.Abs() <= time.Minute {
		f.skewed = false
	} else if !f.skewed {
		f.skewed = true
		about := []any{"stage", stageName, "local_minus_server", off.Round(time.Second).String()}
		switch {
		case off.Abs() > clockLost:
			f.Log.Error("the clocks of this machine and of ThreatMatch are more than a day apart: the Date of its responses is ignored", about...)
		case off.Abs() >= clockFar:
			f.Log.Error("the clocks of this machine and of ThreatMatch are far apart: set the clock", about...)
		default:
			f.Log.Warn("the clocks of this machine and of ThreatMatch differ", about...)
		}
	}
	if off.Abs() > clockLost {
		return time.Time{}
	}
	return date
}

// succeedPage spools what is new on a page and moves its cursor.
func (f *Stage) succeedPage(r result, v *verdict) {
	v.Start = f.serverTime(r, r.page.Date)
	step := r.cursor.Take(r.page, later(r.ended, v.Start))
	v.Count = map[string]int64{"fetch.pages": 1, pipeline.PagesOfType + r.cursor.Type: 1, "fetch.objects": int64(step.Fresh.Count)}
	if pieces := step.Fresh.Pieces(r.page); pieces != nil {
		f.bring(r, v, pieces)
		v.record.Source = r.cursor.Group + "/" + r.cursor.Type
	}
	if n := step.Unread.Count; n > 0 {
		f.Log.Warn("times cannot be read", "stage", stageName, "run", r.run.ID, "item", r.task.Source, "count", n, "first", step.Unread.First)
	}
	if step.Many > 0 {
		f.Log.Error("ThreatMatch has returned very many pages and says that there are more", "stage", stageName, "run", r.run.ID,
			"item", r.task.Source, "pages", step.Many, "at", r.cursor.Last)
	}
	if step.OutOfOrder {
		f.Log.Debug("page is out of order", "stage", stageName, "run", r.run.ID, "item", r.task.Source)
	}
	if step.Gap != nil {
		f.gap(r, v, *step.Gap)
	}
	if step.Done {
		if step.Stalled {
			f.Log.Warn("server says that there are more objects, but returns none", "stage", stageName, "run", r.run.ID, "item", r.task.Source)
		}
		return
	}
	cursor, err := json.Marshal(r.cursor)
	if err != nil {
		f.fatal = err
		return
	}
	st := r.task.TaskState
	st.Cursor, st.Due, st.Tries, st.Refused, st.Waived, st.FirstTry = cursor, time.Time{}, 0, 0, 0, time.Time{}
	v.Keep = &st
	if step.Failed != "" {
		v.end = &spool.DatasetRun{Status: spool.DatasetFailed, Detail: step.Failed}
	}
}

// gap records that the API may hold more than it returned.
func (f *Stage) gap(r result, v *verdict, g paging.Gap) {
	text := fmt.Sprintf("group/type %s: objects modified from %s to %s may be missing: more share a timestamp than a page holds",
		r.task.Source, g.From.Format(time.RFC3339Nano), g.To.Format(time.RFC3339Nano))
	v.Note = f.note(r, "gap", text)
	// A separate source id: otherwise the next page would count as the missing one
	// and heal this letter.
	v.Note.Source = fmt.Sprintf("%s from %s", r.task.Source, g.From.Format(time.RFC3339Nano))
	v.Count["fetch.gaps"] = 1
	f.Metrics.gaps.Inc()
	f.Log.Error("the API cannot return everything", "stage", stageName, "run", r.run.ID, "dataset", r.task.Dataset, "reason", text)
}
