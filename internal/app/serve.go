package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

// serve opens the admin socket and, when asked to, the HTTP port. The returned
// function ends both.
func (a *app) serve(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	path := a.cfg.Admin.Socket
	if srv, err := admin.Listen(path, admin.FromSpool(a.spool), control{a}); err != nil {
		a.Log.Warn("no admin socket; inspect the spool after stopping the connector", "socket", path, "error", err)
	} else {
		wg.Go(func() {
			if err := srv.Serve(ctx); err != nil {
				a.Log.Warn("the admin socket ended", "error", err)
			}
		})
	}
	if a.cfg.Connector.ExposeMetrics {
		ln, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(a.cfg.Connector.MetricsPort)))
		if err != nil {
			cancel()
			wg.Wait()
			return nil, fmt.Errorf("open the metrics port: %w", err)
		}
		wg.Go(func() {
			if err := admin.ServeHTTP(ctx, ln, a.registry, health{a}); err != nil {
				a.Log.Warn("the metrics port ended", "error", err)
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}, nil
}

// health answers the probes from the stages' own words.
type health struct{ a *app }

// Alive implements admin.Health: whoever answers, ticks.
func (health) Alive() bool { return true }

// NotReady implements admin.Health.
func (h health) NotReady() map[string]string {
	reasons := map[string]string{}
	for name, s := range h.a.board.Snapshot() {
		if s.NotReady != "" {
			reasons[name] = s.NotReady
		}
	}
	return reasons
}

// control is what the admin socket can do to the running connector.
type control struct{ a *app }

// Status is what `status` prints.
type Status struct {
	Version    string                          `json:"version"`
	PID        int                             `json:"pid"`
	Started    time.Time                       `json:"started"`
	Ready      bool                            `json:"ready"`
	NotReady   map[string]string               `json:"not_ready,omitempty"`
	Stages     map[string]pipeline.StageStatus `json:"stages"`
	Next       time.Time                       `json:"next_run,omitzero"`
	Runs       []admin.Run                     `json:"open_runs"`
	Last       *admin.Run                      `json:"last_run,omitempty"`
	Spool      admin.Stats                     `json:"spool"`
	DeadLetter int64                           `json:"dead_letters"`
}

// Status implements admin.Control.
func (c control) Status(context.Context) (any, error) {
	ins := admin.FromSpool(c.a.spool)
	stats, err := ins.Stats()
	if err != nil {
		return nil, err
	}
	open, err := c.a.spool.OpenRuns()
	if err != nil {
		return nil, err
	}
	s := Status{
		Version: c.a.Version, PID: os.Getpid(), Started: c.a.began, Stages: c.a.board.Snapshot(),
		NotReady: health(c).NotReady(), Spool: stats, DeadLetter: stats.Dead, Next: c.a.schedule.Next(), Runs: []admin.Run{},
	}
	s.Ready = len(s.NotReady) == 0
	for _, r := range open {
		s.Runs = append(s.Runs, admin.RunOf(r))
	}
	runs, err := ins.Runs(0, 20)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(runs, func(r admin.Run) bool { return !r.Done.IsZero() }); i >= 0 {
		s.Last = &runs[i]
	}
	return s, nil
}

// Trigger implements admin.Control.
func (c control) Trigger(context.Context) (string, error) {
	run, merged, err := c.a.schedule.Trigger()
	switch {
	case err != nil:
		return "", err
	case merged:
		return fmt.Sprintf("run %d is being fetched already; the wish is merged with it", run.ID), nil
	}
	return fmt.Sprintf("run %d starts", run.ID), nil
}

// Repull implements admin.Control.
func (c control) Repull(_ context.Context, from time.Time, names []string) (string, error) {
	var sets []spool.Dataset
	for _, n := range names {
		sets = append(sets, spool.Dataset(n))
	}
	run, err := c.a.schedule.Repull(from, sets...)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("run %d imports again from %s", run.ID, from.UTC().Format(time.RFC3339)), nil
}

// Retry implements admin.Control.
func (c control) Retry(_ context.Context, n admin.Names) (string, error) {
	run, err := c.a.schedule.Retry(n.Dead, n.Parked)
	if err != nil {
		return "", err
	}
	c.a.Log.Info("retry asked over the admin socket", "run", run.ID, "dead", n.Dead, "parked", len(n.Parked))
	return fmt.Sprintf("run %d tries %d entries again", run.ID, len(n.Dead)+len(n.Parked)), nil
}

// Drop implements admin.Control.
func (c control) Drop(_ context.Context, n admin.Names) (string, error) {
	count, err := c.a.spool.Drop(n.Dead, n.Parked, n.Held)
	if err != nil {
		return "", err
	}
	c.a.Log.Warn("entries dropped over the admin socket", "dead", n.Dead, "parked", len(n.Parked), "held", n.Held)
	return fmt.Sprintf("%d entries dropped", count), nil
}

// Snapshot implements admin.Control. The file must not exist yet.
func (c control) Snapshot(_ context.Context, path string) (int64, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := c.a.spool.Snapshot(f)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return n, errors.Join(err, os.Remove(path))
	}
	return n, nil
}
