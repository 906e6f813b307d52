package deliver

import (
	"context"
	"fmt"
	"time"

	"threatmatch-connector/internal/fault"
)

// roomInQueue pauses delivery while OpenCTI's queue is over the threshold.
func (d *Stage) roomInQueue(ctx context.Context) error {
	if !d.lookDue() {
		return nil
	}
	q, err := d.Platform.QueueSize(ctx)
	d.nextLook = d.Now().Add(queuePoll)
	if err != nil { // it counts as empty: other troubles show elsewhere
		class, _ := fault.Of(err)
		d.Log.Debug("no queue size", "stage", stageName, "class", class.String(), "error", err)
	}
	full := q.MB() >= d.opt.QueueThreshold
	d.Platform.Hold(holdQueue, full)
	if !full {
		return ctx.Err()
	}
	d.nextLook = time.Time{}
	why := fmt.Sprintf("OpenCTI's queue holds %.0f MB, the threshold is %.0f MB", q.MB(), d.opt.QueueThreshold)
	return &pauseError{why: why, after: queuePoll, kind: holdQueue}
}

// lookDue reports whether it is time to check the queue's size.
func (d *Stage) lookDue() bool {
	return d.opt.QueueThreshold > 0 && !d.Now().Before(d.nextLook)
}
