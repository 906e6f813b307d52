package deliver

import (
	"cmp"
	"errors"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/opencti"
)

// Why messages are kept back although nothing is wrong.
const (
	holdQueue   = "OpenCTI's queue is over the threshold"
	holdNacked  = "the broker, or OpenCTI, refuses messages because a queue is full"
	holdBlocked = "the broker has stopped reading"
)

// pauseError means that nothing is wrong, but sending must wait.
type pauseError struct {
	why   string
	after time.Duration
	kind  string // the same for pauses that are logged as one; "": why
}

func (e *pauseError) Error() string { return e.why }

// trouble reports what made a step fail and returns how long to wait.
func (d *Stage) trouble(err error) time.Duration {
	if d.moved {
		d.back.Reset()
		d.moved = false
	}
	if pause, ok := errors.AsType[*pauseError](err); ok {
		d.unready = ""
		d.Status.Set(stageName, "paused", pause.why, "")
		d.say(cmp.Or(pause.kind, pause.why), func() { d.Log.Info("delivery pauses", "stage", stageName, "reason", pause.why) })
		return pause.after
	}
	if errors.Is(err, opencti.ErrUnknownConnector) {
		d.Wakes.Platform.Signal()
	}
	class, after := fault.Of(err)
	if out, ok := errors.AsType[*delivery.Outcome](err); ok && out.Kind == delivery.Nacked {
		d.unready = ""
		d.Status.Set(stageName, "paused", "the queue takes no messages now", "")
		d.say("nacked", func() {
			d.Log.Warn("the broker refuses messages since its queue is full, waiting", "stage", stageName)
		})
		return d.back.Next()
	}
	if class == fault.Systemic || d.back.Tries > 0 { // a single failure does not count
		d.unready = fault.Sentence(err)
	}
	d.Status.Error(stageName, err)
	d.Status.Set(stageName, "retrying", fault.Words(err), d.unready)
	d.say(fault.Words(err), func() { // not err's own text, which names another port each time
		d.Metrics.errors.Inc()
		about := []any{"stage", stageName, "class", class.String(), "error", err, "hint", fault.HintOf(err)}
		if class == fault.Systemic {
			d.Log.Error("delivery is refused, trying again", about...)
			d.Status.Told(stageName)
		} else {
			d.Log.Warn("delivery is held up, trying again", about...)
		}
	})
	return max(d.back.Next(), min(after, 15*time.Minute))
}

// say logs a trouble once, until there is another one or a success.
func (d *Stage) say(what string, log func()) {
	if d.said != what {
		d.said = what
		log()
	}
}

// fine records a success.
func (d *Stage) fine() {
	if d.said != "" {
		d.Log.Info("delivery goes on", "stage", stageName)
	}
	d.said, d.unready, d.moved = "", "", false
	d.back.Reset()
	d.Platform.Hold(holdNacked, false)
}
