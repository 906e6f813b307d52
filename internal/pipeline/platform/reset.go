package platform

import (
	"context"
	"errors"
	"fmt"
	"time"

	"threatmatch-connector/internal/logging"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/spool"
)

// resetBy decides whether the response shows that the state was reset on the
// platform, and if so resets the spool. expected means that a healthy platform
// would not return an empty state. The caller holds the lock.
func (p *Platform) resetBy(ctx context.Context, echo opencti.Echo, expected bool) (bool, error) {
	empty := canonicalState(echo.State) == ""
	switch {
	case !echo.Reset.IsZero() && !p.notes.Stamp.IsZero():
		if echo.Reset.After(p.notes.Stamp) {
			return true, p.reset("the state was reset on OpenCTI", echo.Reset)
		}
		// An empty or older echo without a newer stamp comes from a lagging index.
		return false, p.known()
	case p.notes.Unknown && empty:
		return true, p.reset("OpenCTI did not know the connector any more", echo.Reset)
	case !echo.Reset.IsZero():
		p.notes.Stamp = echo.Reset
		p.notes.Unknown = false
		return false, p.saveNotes()
	case !empty || !expected || p.notes.Echoed == "":
		return false, p.known()
	}
	return p.secondLook(ctx)
}

// known clears the doubts of a first look.
func (p *Platform) known() error {
	if !p.notes.Unknown && p.notes.Empty.IsZero() {
		return nil
	}
	p.notes.Unknown, p.notes.Empty = false, time.Time{}
	return p.saveNotes()
}

// secondLook reads an unexpectedly empty state again a little later, for platforms
// that do not report the time of a reset. It reads by registering, because a ping
// would write our state over the reset.
func (p *Platform) secondLook(ctx context.Context) (bool, error) {
	if p.notes.Empty.IsZero() {
		p.notes.Empty = p.Now()
		if err := p.saveNotes(); err != nil {
			return false, err
		}
	}
	if err := p.Status.Sleep(ctx, stageName, secondLook-max(0, p.Now().Sub(p.notes.Empty)), nil); err != nil {
		return false, err
	}
	reg, err := p.Client.Register(ctx)
	if err != nil {
		return false, fmt.Errorf("look again at the state: %w", err)
	}
	if canonicalState(reg.State) != "" {
		return false, p.known()
	}
	return true, p.reset("the state was reset on OpenCTI", reg.Reset)
}

// reset stores what it is about to do, then does it. It stores the works of the old
// epoch first, so that no crash leaves one in progress.
func (p *Platform) reset(reason string, stamp time.Time) error {
	p.opening.Lock()
	defer p.opening.Unlock()
	meta, err := p.Spool.Meta()
	if err != nil {
		return err
	}
	runs, err := p.Spool.OpenRuns()
	if err != nil {
		return err
	}
	for _, r := range runs {
		p.discardWork(r.Work)
	}
	if err := p.discardSent(); err != nil {
		return err
	}
	p.notes.Reset = &pendingReset{Epoch: meta.Epoch, Stamp: stamp, Reason: reason}
	if err := p.saveNotes(); err != nil {
		return err
	}
	return p.resetSpool()
}

// finishReset carries out a reset that was begun before a crash or an error.
func (p *Platform) finishReset() error {
	if p.notes.Reset == nil {
		return nil
	}
	p.opening.Lock()
	defer p.opening.Unlock()
	return p.resetSpool()
}

// resetSpool empties the spool unless that is done already, and starts over.
func (p *Platform) resetSpool() error {
	pending := *p.notes.Reset
	meta, err := p.Spool.Meta()
	if err != nil {
		return err
	}
	if meta.Epoch == pending.Epoch {
		p.resets.Add(1)
		cleared, works, err := p.Spool.Reset(p.Now())
		if err != nil {
			return fmt.Errorf("reset the spool: %w", err)
		}
		for _, w := range works {
			p.discardWork(w)
		}
		p.Metrics.resets.Inc()
		p.Log.Log(context.Background(), logging.LevelNotice, "import starts again from the configured date", "stage", stageName, "reason", pending.Reason, "cleared", cleared)
	}
	p.notes.Reset, p.notes.Unknown, p.notes.Empty = nil, false, time.Time{}
	p.notes.Stamp, p.notes.Echoed = pending.Stamp, ""
	if err := p.saveNotes(); err != nil {
		return err
	}
	p.Wakes.Schedule.Signal()
	p.Wakes.Fetch.Signal()
	p.Wakes.Map.Signal()
	p.Wakes.Deliver.Signal()
	p.Wakes.Platform.Signal()
	return nil
}

// discardWork marks a work of the old epoch for deletion.
func (p *Platform) discardWork(w spool.Work) {
	if w.Name == "" || w.Status == spool.WorkProcessed || w.Status == spool.WorkDeleted {
		return
	}
	p.notes.discard(oldWork{Name: w.Name, ID: w.ID, Until: p.Now().Add(lateWork)})
}

// lateWorks is how many delivered runs may still have messages in OpenCTI's queue.
const lateWorks = 20

// discardSent marks the works of the latest delivered runs for deletion: messages
// that the purge removed from the queue will never be processed. Complete works are
// kept.
func (p *Platform) discardSent() error {
	runs, err := p.Spool.Runs(0, lateWorks)
	for _, r := range runs {
		if r.Work.Status == spool.WorkProcessed {
			p.notes.discard(oldWork{Name: r.Work.Name, ID: r.Work.ID, Sent: true})
		}
	}
	return err
}

// lateWork is how long a request to create a work may still take effect after we
// gave up waiting for the response.
const lateWork = 5 * time.Minute

// Discard has a work deleted that no longer belongs to a run. Without an id it is
// searched for by name.
func (p *Platform) Discard(ctx context.Context, name, id string) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	p.notes.discard(oldWork{Name: name, ID: id, Until: p.Now().Add(lateWork)})
	p.Wakes.Platform.Signal()
	return p.saveNotes()
}

// DeleteOld deletes what is left from before a reset, so that no new work is
// created next to it.
func (p *Platform) DeleteOld(ctx context.Context) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	return p.deleteOld(ctx)
}

// deleteOld deletes the works from before a reset, as far as they can be found.
func (p *Platform) deleteOld(ctx context.Context) error {
	if len(p.notes.Old) == 0 {
		return nil
	}
	keep := []oldWork{}
	var failed error
	for _, w := range p.notes.Old {
		gone, err := p.deleteOne(ctx, w)
		if err != nil {
			failed = err
		}
		if !gone {
			keep = append(keep, w)
		}
	}
	if len(keep) != len(p.notes.Old) {
		p.notes.Old = keep
		if err := p.saveNotes(); err != nil {
			return err
		}
	}
	return failed
}

// deleteOne deletes one work. It returns true when nothing is left to look for.
func (p *Platform) deleteOne(ctx context.Context, w oldWork) (bool, error) {
	if w.Sent {
		info, err := p.Works.Work(ctx, w.ID)
		if errors.Is(err, opencti.ErrWorkGone) || err == nil && (info.Complete || info.Unread) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	ids := []string{w.ID}
	if w.ID == "" {
		found, err := p.Works.WorksByName(ctx, w.Name)
		if err != nil {
			return false, err
		}
		ids = ids[:0]
		for _, f := range found {
			ids = append(ids, f.ID)
		}
	}
	for _, id := range ids {
		if err := p.Works.DeleteWork(ctx, id); err != nil {
			return false, err
		}
		p.Log.Info("work from before the reset deleted", "stage", stageName, "work", id)
	}
	return w.ID != "" || !p.Now().Before(w.Until), nil
}
