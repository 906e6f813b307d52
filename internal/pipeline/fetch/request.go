package fetch

import (
	"context"
	"strings"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline/fetch/paging"
	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

// result is the result of one request.
type result struct {
	task  spool.Task
	run   *openRun
	began time.Time
	ended time.Time
	err   error

	list   threatmatch.List
	since  time.Time // the time from which the list was requested
	item   threatmatch.Body
	groups []threatmatch.Group
	page   threatmatch.Page
	cursor paging.Cursor
}

// release frees the resources of the response.
func (r *result) release() {
	r.list.Release()
	r.item.Release()
	r.page.Release()
}

// start makes the task's request in its own goroutine.
func (f *Stage) start(run *openRun, task spool.Task) {
	f.flying[task.TaskKey] = true
	ctx := f.jobCtx
	f.jobs.Go(func() {
		r := result{task: task, run: run, began: f.Now()}
		r.err = f.ask(ctx, &r)
		r.ended = f.Now()
		f.results <- r // never blocks: it has room for all requests under way
	})
}

// ask makes the task's request.
func (f *Stage) ask(ctx context.Context, r *result) (err error) {
	t := r.task
	switch {
	case isDetails(t.TaskKey):
		id, _ := spool.CutDetails(t.Source)
		r.item, err = f.Source.Details(ctx, string(t.Dataset), id)
	case t.Kind == spool.TaskItem:
		r.item, err = f.Source.Item(ctx, string(t.Dataset), t.Source)
	case t.Kind == spool.TaskPage:
		r.cursor = cursorOf(t, r.run)
		r.page, err = f.Source.Page(ctx, r.cursor.Group, r.cursor.Type, r.cursor.Query())
	case t.Dataset == spool.IOCs:
		r.groups, err = f.Source.Groups(ctx)
	default:
		r.since = f.listSince(t, r.run)
		r.list, err = f.Source.List(ctx, string(t.Dataset), r.since)
	}
	return err
}

// cursorOf returns the position of a page task.
func cursorOf(t spool.Task, run *openRun) paging.Cursor {
	i := max(strings.LastIndexByte(t.Source, '/'), 0)
	return paging.Resume(t.Cursor, t.Source[:i], strings.TrimPrefix(t.Source[i:], "/"), run.Datasets[t.Dataset].From)
}

// handleResult handles the result of a request.
func (f *Stage) handleResult(r result) {
	if r.run != f.run || !f.flying[r.task.TaskKey] {
		r.release()
		return // from before a reset
	}
	class, _ := fault.Of(r.err)
	f.Metrics.tried(r, class)
	if r.err == nil {
		f.succeeded()
		f.ready = append(f.ready, f.succeed(&r))
		return
	}
	f.Log.Debug("request failed", "stage", stageName, "dataset", r.task.Dataset, "kind", r.task.Kind,
		"item", r.task.Source, "tries", r.task.Tries, "class", class.String(), "error", r.err)
	switch class {
	case fault.Shutdown:
		f.release(r)
	case fault.Fatal:
		f.fatal = r.err
	case fault.Systemic:
		f.release(r)
		f.refused(r.err, false)
	default:
		f.handleFailure(r, class)
	}
}

// handleFailure decides whether a failure counts, or first needs the control request.
func (f *Stage) handleFailure(r result, class fault.Class) {
	h := &f.health
	switch {
	case h.byLists && class == fault.Permanent && r.task.Kind == spool.TaskList:
		f.fail(r)
	case h.byLists:
		h.hold(f.Now(), f.bounded)
		f.release(r)
	case h.state == serverUp && f.counts(r):
		f.fail(r)
	case h.state == serverUp:
		if len(f.doubtful) == 0 {
			h.doubted = f.Now()
		}
		f.doubtful = append(f.doubtful, r)
	default:
		f.release(r)
	}
}

// release forgets a request as if it had not been made.
func (f *Stage) release(r result) { delete(f.flying, r.task.TaskKey) }
