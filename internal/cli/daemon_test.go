package cli_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/app"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// cmdServe opens the spool and answers on its socket, so that a script sees a
// daemon's answers while nothing in the spool moves.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serve DIR")
	}
	dir := ts.MkAbs(args[0])
	stop, err := serve(dir)
	ts.Check(err)
	served := stateOf(ts).served
	served[dir] = stop
	ts.Defer(func() {
		if stop := served[dir]; stop != nil {
			ts.Check(stop())
		}
	})
}

// serve answers on dir's socket until stop is called.
func serve(dir string) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := spool.Open(ctx, spool.Options{
		Dir: dir, Now: func() time.Time { return fixtureTime }, KeepRecords: 1000 * time.Hour, NoCompact: true,
	})
	if err != nil {
		cancel()
		return nil, err
	}
	changes, err := app.Stopped(s, nil, func() time.Time { return fixtureTime }, slog.New(slog.DiscardHandler))
	if err != nil {
		cancel()
		return nil, errors.Join(err, s.Close())
	}
	srv, err := admin.Listen(filepath.Join(dir, "admin.sock"), inspect.FromSpool(s), still{changes, s})
	if err != nil {
		cancel()
		return nil, errors.Join(err, s.Close())
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	return func() error {
		cancel()
		return errors.Join(<-done, s.Close())
	}, nil
}

func cmdUnserve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: unserve DIR")
	}
	dir := ts.MkAbs(args[0])
	served := stateOf(ts).served
	ts.Check(served[dir]())
	delete(served, dir)
}

// still is a daemon whose stages do nothing.
type still struct {
	admin.Changes
	s *spool.Spool
}

func (d still) NotAlive() map[string]string { return nil }

func (d still) NotReady() map[string]string {
	return map[string]string{"fetch": "ThreatMatch does not answer"}
}

func (d still) Status() (inspect.Status, error) {
	s := inspect.Status{
		Running: true, Now: fixtureTime.Add(time.Minute), Alive: true, NotReady: d.NotReady(),
		Process: inspect.Process{PID: 42, Started: fixtureTime, Version: "test"},
		Stages:  []inspect.Stage{{Name: "fetch", State: "waiting", Detail: "run 3", Since: fixtureTime, LastError: "no answer", ErrorAt: fixtureTime}},
	}
	return s, s.Fill(inspect.FromSpool(d.s))
}

func (d still) History() (inspect.History, error) {
	return inspect.History{Began: fixtureTime}, nil
}

func (d still) Setup() (inspect.Setup, error) { return inspect.Setup{Connector: "test"}, nil }

func (d still) Trigger(ctx context.Context) (admin.Answer, error) {
	return admin.Answer{Run: 9, Message: "run 9 starts"}, nil
}

func (d still) Repull(_ context.Context, q admin.RepullRequest) (admin.Answer, error) {
	return admin.Answer{Run: 9, Message: fmt.Sprintf("run 9 imports %v again from %s", q.Datasets, q.From.Format(time.RFC3339))}, nil
}

func (d still) Retry(ctx context.Context, n admin.Names) (admin.Answer, error) {
	run, err := d.s.Retry(1, fixtureTime, n.Dead, n.Parked)
	return admin.Answer{Run: run.ID, Count: n.Len(), Message: fmt.Sprintf("run %d tries %d entries again, for %s", run.ID, n.Len(), who(ctx))}, err
}

func (d still) Drop(ctx context.Context, n admin.Names) (admin.Answer, error) {
	count, err := d.s.Drop(n.Dead, n.Parked, n.Held)
	return admin.Answer{Count: count, Message: fmt.Sprintf("%d entries dropped, for %s", count, who(ctx))}, err
}

func (d still) Message(_ context.Context, run, bundle uint64, index int) ([]byte, error) {
	return fmt.Appendf(nil, `{"message":"%d/%d/%d"}`, run, bundle, index), nil
}

// who is the requester without its process id, which differs each time.
func who(ctx context.Context) string {
	p := admin.PeerOf(ctx)
	return fmt.Sprintf("uid %d, pid known %v", p.UID, p.PID > 0)
}
