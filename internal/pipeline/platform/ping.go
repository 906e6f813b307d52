package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/logging"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/spool"
)

// register announces the connector and looks at the state in the response, which a
// registration does not change. The caller holds the lock.
func (p *Platform) register(ctx context.Context) error {
	reg, err := p.Client.Register(ctx)
	if err != nil {
		return err
	}
	if err := p.look(ctx, reg.Echo); err != nil {
		return err
	}
	p.mu.Lock()
	first := p.reg == nil
	p.reg = &reg
	if first {
		close(p.registered)
	}
	p.mu.Unlock()
	if first {
		p.Log.Info("registered with OpenCTI", "stage", stageName, "platform_version", reg.Version, "exchange", reg.Exchange, "routing_key", reg.RoutingKey)
	}
	p.mute = false
	p.Wakes.Deliver.Signal()
	return nil
}

// unregister makes the next step register again.
func (p *Platform) unregister() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reg != nil {
		p.reg, p.registered = nil, make(chan struct{})
	}
}

// ping sends the state and looks at the echo. If OpenCTI does not know the
// connector, it registers and pings again, once. The caller holds the lock.
func (p *Platform) ping(ctx context.Context) error {
	err := p.pingOnce(ctx)
	if !errors.Is(err, opencti.ErrUnknownConnector) {
		return err
	}
	p.Log.Warn("OpenCTI does not know the connector, registering again", "stage", stageName, "error", err)
	p.notes.Unknown = true // the response to the registration shows whether the connector was deleted
	if err := p.saveNotes(); err != nil {
		return err
	}
	p.unregister()
	if err := p.register(ctx); err != nil {
		return err
	}
	return p.pingOnce(ctx)
}

func (p *Platform) pingOnce(ctx context.Context) error {
	state, err := currentState(p.Spool, p.opt.Datasets)
	if err != nil {
		return err
	}
	text := state.text()
	if p.notes.remember(canonicalState(text)) { // otherwise, after a crash, it would look like a second writer's
		if err := p.saveNotes(); err != nil && !errors.Is(err, spool.ErrFull) {
			return err
		}
	}
	info, err := p.info(ctx)
	if err != nil {
		return err
	}
	p.Metrics.pings.Inc()
	p.pinged, p.watch.base = false, time.Time{} // unknown until the ping is answered
	echo, err := p.Client.Ping(ctx, text, info)
	if err != nil {
		p.Metrics.pingErrors.Inc()
		return err
	}
	p.pinged = true
	return p.heard(ctx, text, echo)
}

// heard handles the echo of a ping.
func (p *Platform) heard(ctx context.Context, sent string, echo opencti.Echo) error {
	was, got := canonicalState(sent), canonicalState(echo.State)
	reset, err := p.resetBy(ctx, echo, was != "")
	if err != nil || reset {
		return err
	}
	switch {
	case got == was && got != "" && p.notes.Echoed != got:
		p.notes.Echoed = got
		return p.saveNotes()
	case got != "" && got != was:
		p.strange(got)
	}
	return nil
}

// look handles the state in the response to a registration.
func (p *Platform) look(ctx context.Context, echo opencti.Echo) error {
	meta, err := p.Spool.Meta()
	if err != nil {
		return err
	}
	if !meta.StateKnown {
		return p.adopt(meta, echo)
	}
	reset, err := p.resetBy(ctx, echo, true)
	if err != nil || reset {
		return err
	}
	got := canonicalState(echo.State)
	if !p.seen {
		p.seen = true
		if p.rolledBack(got) {
			return nil
		}
	}
	if got != "" {
		p.strange(got)
	}
	return nil
}

// adopt takes over the platform's state into a spool that has none.
func (p *Platform) adopt(meta spool.Meta, echo opencti.Echo) error {
	state := parseState(echo.State)
	at := map[spool.Dataset]time.Time{}
	for _, d := range spool.Datasets() {
		if t := state.at(d); !t.IsZero() {
			at[d] = t
		}
	}
	got := canonicalState(echo.State)
	p.notes = notes{Stamp: echo.Reset, Echoed: got, Old: p.notes.Old}
	p.notes.remember(got)
	if err := p.saveNotes(); err != nil {
		return err
	}
	if _, err := p.Spool.AdoptState(meta.Epoch, at); err != nil {
		return fmt.Errorf("adopt the platform's state: %w", err)
	}
	p.seen = true
	if len(at) > 0 {
		p.Log.Log(context.Background(), logging.LevelNotice, "going on from the state on OpenCTI", "stage", stageName, "state", got)
	}
	p.Wakes.Schedule.Signal()
	return nil
}

// rolledBack warns if the platform holds an older state than it once confirmed.
func (p *Platform) rolledBack(got string) bool {
	had := parseState(p.notes.Echoed)
	has := parseState(got)
	if !has.LastRun.Before(had.LastRun) {
		return false
	}
	from := "DATE"
	if !has.LastRun.IsZero() {
		from = has.LastRun.UTC().Format(time.RFC3339)
	}
	p.Log.Error("OpenCTI holds an older state than it confirmed: it seems to have been rolled back; the spool goes on from where it is",
		"stage", stageName, "confirmed", p.notes.Echoed, "found", got,
		"hint", "threatmatch-connector repull --from "+from)
	p.Status.Error(stageName, fmt.Errorf("platform rolled back to last_run %s: run threatmatch-connector repull --from %s", from, from))
	return true
}

// strange handles a state other than the one just sent. An older one of ours is a
// stale echo; any other was written by someone else.
func (p *Platform) strange(got string) {
	if slices.Contains(p.notes.Sent, got) {
		p.Log.Debug("stale state echoed", "stage", stageName, "state", got)
		return
	}
	if !p.foreign {
		p.foreign = true
		p.Log.Error("the state on OpenCTI was written by somebody else: is a second connector running under this id?",
			"stage", stageName, "state", got)
	}
	p.Status.Error(stageName, fmt.Errorf("a second writer of this connector's state: %s", got))
}

// info collects what OpenCTI shows about the connector.
func (p *Platform) info(ctx context.Context) (opencti.ConnectorInfo, error) {
	p.freshQueue(ctx)
	runs, err := p.Spool.OpenRuns()
	if err != nil {
		return opencti.ConnectorInfo{}, err
	}
	p.Metrics.setState("idle")
	if len(runs) > 0 {
		p.Metrics.setState("running")
	}
	p.mu.Lock()
	info := opencti.ConnectorInfo{
		RunAndTerminate: p.opt.RunAndTerminate, Buffering: len(p.held) > 0,
		QueueThreshold: p.opt.QueueThreshold, QueueSize: p.queue.MB(),
	}
	p.mu.Unlock()
	if p.NextRun != nil {
		info.NextRun = p.NextRun()
	}
	info.LastRun, err = p.lastRun()
	return info, err
}

// lastRun returns when the latest run was delivered.
func (p *Platform) lastRun() (time.Time, error) {
	const few = 5 // an older run cannot have ended much later
	runs, err := p.Spool.Runs(0, few)
	var last time.Time
	for _, r := range runs {
		if r.DoneAt.After(last) && !r.Dropped {
			last = r.DoneAt
		}
	}
	return last, err
}

// freshQueue asks for the queue's size unless deliver just did. If the platform
// refuses to tell, it is not asked again until the next registration.
func (p *Platform) freshQueue(ctx context.Context) {
	p.mu.Lock()
	fresh := !p.queueAt.IsZero() && p.Now().Sub(p.queueAt) < pingPeriod/2
	p.mu.Unlock()
	if fresh || p.mute || p.opt.QueueThreshold <= 0 {
		return
	}
	if _, err := p.QueueSize(ctx); err != nil {
		class, _ := fault.Of(err)
		p.mute = class == fault.Systemic || class == fault.Permanent
		p.Log.Debug("no queue size", "stage", stageName, "error", err)
	}
}

// saveNotes stores the notes. The caller holds the lock.
func (p *Platform) saveNotes() error {
	meta, err := p.Spool.Meta()
	if err != nil {
		return err
	}
	text, err := json.Marshal(p.notes)
	if err != nil {
		return fmt.Errorf("save platform notes: %w", err)
	}
	if err := p.Spool.SavePlatform(meta.Epoch, text); err != nil {
		return fmt.Errorf("save platform notes: %w", err)
	}
	return nil
}
