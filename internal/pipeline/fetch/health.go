package fetch

import (
	"fmt"
	"slices"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/threatmatch"
)

// health is what the stage knows about the server as a whole. While the server is
// down or refuses us, no task is worked on and no try counts; the control request
// is the only probe.
type health struct {
	state   serverState
	since   time.Time // since when the state is not up
	cause   error
	probeAt time.Time   // no control request before this time
	fails   int         // control requests that failed in a row
	asking  bool        // a control request is under way
	asked   time.Time   // when it began
	doubted time.Time   // when the oldest doubtful failure happened
	byLists bool        // refused by every list; a list is then the probe
	refused []time.Time // times of the latest refusals since the last success
	success time.Time   // when a request last succeeded
}

type serverState uint8

const (
	serverUp      serverState = iota
	serverDown                // nothing is answered
	serverRefused             // the account or address is refused
)

// probe makes the control request if one is needed and due. It returns the time
// until the next one.
func (f *Stage) probe() time.Duration {
	h := &f.health
	needed := len(f.doubtful) > 0 || h.state == serverDown || h.state == serverRefused && !h.byLists
	if !needed || h.asking {
		return time.Minute
	}
	now := f.Now()
	due := h.probeAt
	if h.state == serverUp && len(f.flying) > len(f.doubtful) {
		// Other requests are under way; if one succeeds, that settles it too.
		due = later(due, h.doubted.Add(f.bounded(controlEvery)))
	}
	if wait := due.Sub(now); wait > 0 && wait <= longestWait {
		return f.bounded(wait)
	}
	h.asking, h.asked = true, now
	ctx := f.jobCtx
	f.jobs.Go(func() { f.control <- f.Source.Control(ctx) })
	return time.Minute
}

// handleControl handles the result of the control request.
func (f *Stage) handleControl(err error) {
	h, now := &f.health, f.Now()
	h.asking = false
	if err == nil {
		h.probeAt = now.Add(f.bounded(controlEvery))
		f.succeeded()
		return
	}
	switch class, after := fault.Of(err); class {
	case fault.Shutdown:
		return
	case fault.Transient, fault.Permanent:
		if h.success.After(h.asked) { // only bad luck: other requests were answered meanwhile
			h.probeAt = now.Add(f.bounded(controlEvery))
			return
		}
		h.fails++
		h.probeAt = now.Add(f.bounded(max(after, pipeline.Jitter(h.fails, controlEvery, downMost, f.Rand()))))
		f.trouble(serverDown, err)
	case fault.Fatal:
		f.fatal = err
	case fault.Systemic:
		f.refused(err, false)
	}
	for _, r := range f.doubtful {
		f.release(r)
	}
	f.doubtful = nil
}

// refused pauses the stage because the account or address is refused.
func (f *Stage) refused(err error, byLists bool) {
	f.health.byLists = byLists
	// Several requests under way are refused for one and the same cause.
	if now := f.Now(); f.health.state != serverRefused || !now.Before(f.health.probeAt) {
		f.health.hold(now, f.bounded)
	}
	f.trouble(serverRefused, err)
}

// hold delays the next try: by a few seconds at first, so that a mistaken refusal
// costs little, but with no more than three tries a minute.
func (h *health) hold(now time.Time, bounded func(time.Duration) time.Duration) {
	h.refused = append(h.refused[max(len(h.refused)-refusedTries+1, 0):], now)
	wait := controlEvery
	if len(h.refused) == refusedTries {
		wait = max(wait, refusedWindow-now.Sub(h.refused[0]))
	}
	h.probeAt = now.Add(bounded(wait))
}

func (f *Stage) trouble(state serverState, err error) {
	h := &f.health
	h.cause = err
	if h.state != state {
		h.state, h.since = state, f.Now()
		f.Status.Set(stageName, "paused", f.detail(), h.notReady())
		about := []any{"stage", stageName, "reason", h.reason(), "error", err, "hint", fault.HintOf(err)}
		if state == serverRefused {
			f.Log.Error("fetch is paused", about...)
			f.Status.Told(stageName)
		} else {
			f.Log.Warn("ThreatMatch does not answer, trying again", about...)
		}
	}
	f.Status.Error(stageName, err)
	f.Metrics.up.Set(0)
}

// succeeded records that the server answers. Doubtful failures now count.
func (f *Stage) succeeded() {
	h := &f.health
	h.success = f.Now()
	f.Metrics.up.Set(1)
	if h.state != serverUp {
		f.Log.Warn("fetch goes on", "stage", stageName, "after", h.success.Sub(h.since).Round(time.Second).String())
		h.state, h.cause = serverUp, nil
	}
	h.fails, h.byLists, h.refused = 0, false, nil
	doubtful := f.doubtful
	f.doubtful = nil
	for _, r := range doubtful {
		f.fail(r)
	}
}

// counts reports whether a failed try says something about its task: whether
// another request has succeeded since the task's previous try in this run, or, for
// a first try, since that try began.
func (f *Stage) counts(r result) bool {
	since := r.task.LastTry
	if since.Before(r.run.Created) {
		since = r.began
	}
	return f.health.success.After(since)
}

// gaveUp returns an error if the account or address has been refused for too long.
func (f *Stage) gaveUp() error {
	h := &f.health
	if f.opt.GiveUp <= 0 || h.state != serverRefused || f.Now().Sub(h.since) < f.opt.GiveUp {
		return nil
	}
	err := fmt.Errorf("refused for %v: %w", f.opt.GiveUp, h.cause)
	return fault.Hint(fault.Mark(fault.Systemic, err), fault.HintOf(h.cause))
}

// notReady returns why the stage cannot work, empty if it can.
func (h *health) notReady() string {
	if h.state == serverUp {
		return ""
	}
	return h.reason() + ": " + fault.Sentence(h.cause)
}

// reason describes the state and names who refuses.
func (h *health) reason() string {
	if h.state == serverRefused && threatmatch.ByProxy(h.cause) {
		return "the proxy refuses the way to ThreatMatch"
	}
	return h.state.String()
}

func (s serverState) String() string {
	switch s {
	case serverDown:
		return "ThreatMatch does not answer"
	case serverRefused:
		return "ThreatMatch refuses the account or the address"
	}
	return "up"
}

// bounded limits a wait to one period.
func (f *Stage) bounded(d time.Duration) time.Duration {
	if f.opt.MaxWait > 0 {
		return min(d, f.opt.MaxWait)
	}
	return d
}

func later(a, b time.Time) time.Time { return slices.MaxFunc([]time.Time{a, b}, time.Time.Compare) }
