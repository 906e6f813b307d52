package cli_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/spool"
)

// cmdServe opens the spool and answers on its socket, so that a script sees
// what a daemon answers while nothing in the spool moves.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serve DIR")
	}
	dir := ts.MkAbs(args[0])
	ctx, cancel := context.WithCancel(context.Background())
	s, err := spool.Open(ctx, spool.Options{
		Dir: dir, Now: func() time.Time { return fixtureTime }, KeepRecords: 1000 * time.Hour, NoCompact: true,
	})
	ts.Check(err)
	srv, err := admin.Listen(filepath.Join(dir, "admin.sock"), admin.FromSpool(s), still{s})
	ts.Check(err)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	served := stateOf(ts).served
	served[dir] = func() error {
		cancel()
		return errors.Join(<-done, s.Close())
	}
	ts.Defer(func() {
		if stop := served[dir]; stop != nil {
			ts.Check(stop())
		}
	})
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
type still struct{ s *spool.Spool }

func (d still) Status(context.Context) (any, error) { return map[string]any{"version": "test"}, nil }

func (d still) Trigger(context.Context) (string, error) { return "run 9 starts", nil }

func (d still) Repull(_ context.Context, from time.Time, names []string) (string, error) {
	return fmt.Sprintf("run 9 imports %v again from %s", names, from.UTC().Format(time.RFC3339)), nil
}

func (d still) Retry(_ context.Context, n admin.Names) (string, error) {
	run, err := d.s.Retry(1, fixtureTime, n.Dead, n.Parked)
	return fmt.Sprintf("run %d tries %d entries again", run.ID, len(n.Dead)+len(n.Parked)), err
}

func (d still) Drop(_ context.Context, n admin.Names) (string, error) {
	count, err := d.s.Drop(n.Dead, n.Parked, n.Held)
	return fmt.Sprintf("%d entries dropped", count), err
}

func (d still) Snapshot(context.Context, string) (int64, error) { return 0, errors.ErrUnsupported }
