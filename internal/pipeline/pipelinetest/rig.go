// Package pipelinetest is shared by the tests of several stages: a scripted
// ThreatMatch, OpenCTI and broker, and a real spool with the loops that a test
// adds.
package pipelinetest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

// Rig is a real spool with a fetch stage and a schedule, which the test's package
// sets. A consumer stands in for map and deliver: it takes records and finishes
// runs.
type Rig struct {
	T        testing.TB
	Spool    *spool.Spool
	Status   *pipeline.Status
	Wakes    pipeline.Wakes
	Logs     *Logs
	Log      *slog.Logger
	Fetch    pipeline.Part
	Schedule pipeline.Part

	mu    sync.Mutex
	Got   map[string]int // objects by id, from all records
	Items map[string]int // records by dataset/source
}

// NewRig opens the spool; with dir "" it uses its own directory.
func NewRig(t testing.TB, dir string, maxSize int64, now func() time.Time) *Rig {
	t.Helper()
	if dir == "" {
		dir = memoryDir(t)
	}
	sparseReserve(t, dir)
	sp, err := spool.Open(t.Context(), spool.Options{Dir: dir, ConnectorID: "c", Now: now, MaxSize: maxSize})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sp.Close() })
	r := &Rig{T: t, Spool: sp, Wakes: pipeline.NewWakes(), Logs: &Logs{}, Got: map[string]int{}, Items: map[string]int{}}
	r.Status = pipeline.NewStatus(now)
	r.Log = slog.New(slog.NewTextHandler(r.Logs, nil))
	return r
}

// sparseReserve makes the spool find its reserve file, so that it does not write 64
// MiB in every test.
func sparseReserve(t testing.TB, dir string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "spool.reserve"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = errors.Join(f.Truncate(64<<20), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Know makes the spool's state known, as the platform loop does.
func (r *Rig) Know() {
	r.T.Helper()
	meta, err := r.Spool.Meta()
	if err == nil && !meta.StateKnown {
		_, err = r.Spool.AdoptState(meta.Epoch, nil)
	}
	if err != nil {
		r.T.Fatal(err)
	}
}

// resume does what the program does before its loops turn.
func (r *Rig) resume() {
	r.T.Helper()
	if err := r.Spool.MarkResumed(); err != nil {
		r.T.Fatal(err)
	}
}

// Start runs the loops until the returned function is called, which returns their errors.
func (r *Rig) Start() (stop func() error) {
	r.resume()
	ctx, cancel := context.WithCancelCause(r.T.Context())
	errs := make(chan error, 3)
	var wg sync.WaitGroup
	wg.Go(func() { errs <- r.Fetch.Run(ctx) })
	wg.Go(func() { errs <- r.Schedule.Run(ctx) })
	wg.Go(func() { errs <- r.consume(ctx) })
	return sync.OnceValue(func() error {
		cancel(fault.ErrShutdown)
		wg.Wait()
		return errors.Join(<-errs, <-errs, <-errs)
	})
}

// RunOnce runs the two loops until the schedule, made for a single run, is done.
func (r *Rig) RunOnce() spool.Run {
	r.T.Helper()
	r.Know()
	r.resume()
	ctx, cancel := context.WithCancelCause(r.T.Context())
	defer cancel(nil)
	var wg sync.WaitGroup
	var ferr error
	wg.Go(func() {
		if ferr = r.Fetch.Run(ctx); ferr != nil {
			cancel(ferr)
		}
	})
	wg.Go(func() {
		if err := r.consume(ctx); err != nil {
			r.T.Error(err)
		}
	})
	if err := r.Schedule.Run(ctx); err != nil {
		r.T.Error(err)
	}
	cancel(fault.ErrShutdown)
	wg.Wait()
	if ferr != nil {
		r.T.Errorf("fetch: %v", ferr)
	}
	return r.LastRun()
}

func (r *Rig) LastRun() spool.Run {
	r.T.Helper()
	runs, err := r.Spool.Runs(0, 1)
	if err != nil || len(runs) == 0 {
		r.T.Fatalf("no run: %v", err)
	}
	return runs[0]
}

// consume neither maps nor delivers: it records what arrived and drops it.
func (r *Rig) consume(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := r.ConsumeAll(); err != nil && !errors.Is(err, spool.ErrEpoch) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-r.Wakes.Map:
		case <-time.After(5 * time.Second):
		}
	}
	return r.ConsumeAll()
}

func (r *Rig) ConsumeAll() error {
	open, err := r.Spool.OpenRuns()
	if err != nil {
		return err
	}
	meta, err := r.Spool.Meta()
	if err != nil {
		return err
	}
	for _, run := range open {
		for {
			recs, err := r.Spool.Records(run.ID, 0, 1000, 64<<20)
			if err != nil {
				return err
			}
			if len(recs) == 0 {
				break
			}
			c := spool.MapCommit{Run: run.ID}
			for _, rec := range recs {
				c.Records = append(c.Records, rec.Seq)
				r.note(rec)
			}
			if err := r.Spool.CommitMap(meta.Epoch, time.Now(), c); err != nil {
				return err
			}
		}
		if run.FetchedAt.IsZero() {
			continue
		}
		if err := errors.Join(r.Spool.FinishMap(meta.Epoch, run.ID, time.Now()), r.Spool.FinishRun(meta.Epoch, run.ID, time.Now())); err != nil {
			return err
		}
		r.Wakes.Schedule.Signal()
	}
	return nil
}

func (r *Rig) note(rec spool.Record) {
	var body struct{ Objects []struct{ ID string } }
	if err := json.Unmarshal(rec.Body, &body); err != nil {
		r.T.Errorf("record %s/%s: %v", rec.Dataset, rec.Source, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Items[string(rec.Dataset)+"/"+rec.Source]++
	for _, o := range body.Objects {
		r.Got[o.ID]++
	}
}

// Missing returns the wanted ids that did not arrive.
func (r *Rig) Missing(want map[string]struct{}) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for id := range maps.Keys(want) {
		if r.Got[id] == 0 {
			out = append(out, id)
		}
	}
	return out
}

func (r *Rig) Stats() spool.Stats {
	r.T.Helper()
	s, err := r.Spool.Stats()
	if err != nil {
		r.T.Fatal(err)
	}
	return s
}

func (r *Rig) Marks() map[spool.Dataset]spool.Watermark {
	r.T.Helper()
	m, err := r.Spool.Watermarks()
	if err != nil {
		r.T.Fatal(err)
	}
	return m
}

// CheckSpool fails the test if the spool breaks one of its own rules.
func (r *Rig) CheckSpool() {
	r.T.Helper()
	broken, err := r.Spool.Verify(context.Background())
	if err != nil || len(broken) > 0 {
		r.T.Errorf("spool: %v %v", broken, err)
	}
}

// Logs keeps log lines. Safe for concurrent use.
type Logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *Logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *Logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var _ io.Writer = (*Logs)(nil)

// Arrived returns how many different objects arrived.
func (r *Rig) Arrived() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.Got)
}

// Records returns how many records of a source arrived, such as "alerts/7".
func (r *Rig) Records(source string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Items[source]
}

// Sources returns from how many sources records arrived.
func (r *Rig) Sources() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.Items)
}
