package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/sim/data"
	simtm "threatmatch-connector/internal/sim/threatmatch"
	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

// rig is a fetch stage and a schedule on a real spool. A consumer stands for
// map and deliver: it takes records and finishes runs.
type rig struct {
	t        testing.TB
	spool    *spool.Spool
	status   *Status
	wakes    Wakes
	fetch    *Fetch
	schedule *Schedule
	logs     *logBuffer
	metrics  *FetchMetrics

	mu    sync.Mutex
	got   map[string]int // objects by id, of all records
	items map[string]int // records by dataset/source
}

type rigOptions struct {
	fetch    FetchOptions
	schedule ScheduleOptions
	now      func() time.Time
	dir      string
	maxSize  int64
}

func newRig(t testing.TB, src Source, o rigOptions) *rig {
	t.Helper()
	if o.now == nil {
		o.now = time.Now
	}
	if o.dir == "" {
		o.dir = t.TempDir()
	}
	sparseReserve(t, o.dir)
	sp, err := spool.Open(t.Context(), spool.Options{Dir: o.dir, ConnectorID: "c", Now: o.now, MaxSize: o.maxSize})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, spool: sp, wakes: NewWakes(), logs: &logBuffer{}, got: map[string]int{}, items: map[string]int{}}
	r.status = NewStatus(o.now)
	r.metrics = NewFetchMetrics(prometheus.NewRegistry())
	log := slog.New(slog.NewTextHandler(r.logs, nil))
	if o.fetch.Datasets == nil {
		o.fetch.Datasets = spool.Datasets()
	}
	o.schedule.Datasets = o.fetch.Datasets
	if o.schedule.ImportFrom == nil {
		o.schedule.ImportFrom = func(now time.Time) time.Time { return now.AddDate(-10, 0, 0) }
	}
	if o.schedule.Period == 0 {
		o.schedule.Period = 24 * time.Hour
	}
	r.fetch, err = NewFetch(FetchDeps{
		Spool: sp, Source: src, Wakes: r.wakes, Status: r.status, Log: log,
		Metrics: r.metrics, Now: o.now, Rand: rand.Float64,
	}, o.fetch)
	if err != nil {
		t.Fatal(err)
	}
	r.schedule, err = NewSchedule(ScheduleDeps{Spool: sp, Wakes: r.wakes, Status: r.status, Log: log, Now: o.now}, o.schedule)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sp.Close() })
	return r
}

// sparseReserve lets the spool find its reserve file, so that it does not write
// 64 MiB for every test.
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

// know makes the spool know its state, as the platform loop does.
func (r *rig) know() {
	r.t.Helper()
	meta, err := r.spool.Meta()
	if err == nil && !meta.StateKnown {
		_, err = r.spool.AdoptState(meta.Epoch, nil)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// start runs the loops until the returned function is called, which returns their errors.
func (r *rig) start() (stop func() error) {
	ctx, cancel := context.WithCancelCause(r.t.Context())
	errs := make(chan error, 3)
	var wg sync.WaitGroup
	wg.Go(func() { errs <- r.fetch.Run(ctx) })
	wg.Go(func() { errs <- r.schedule.Run(ctx) })
	wg.Go(func() { errs <- r.consume(ctx) })
	return sync.OnceValue(func() error {
		cancel(fault.ErrShutdown)
		wg.Wait()
		return errors.Join(<-errs, <-errs, <-errs)
	})
}

// once lets one run of Once go through to its end.
func (r *rig) once() spool.Run {
	r.t.Helper()
	r.know()
	r.schedule.opt.Once, r.schedule.once = true, 0
	ctx, cancel := context.WithCancelCause(r.t.Context())
	defer cancel(nil)
	var wg sync.WaitGroup
	var ferr error
	wg.Go(func() {
		if ferr = r.fetch.Run(ctx); ferr != nil {
			cancel(ferr)
		}
	})
	wg.Go(func() {
		if err := r.consume(ctx); err != nil {
			r.t.Error(err)
		}
	})
	if err := r.schedule.Run(ctx); err != nil {
		r.t.Error(err)
	}
	cancel(fault.ErrShutdown)
	wg.Wait()
	if ferr != nil {
		r.t.Errorf("fetch: %v", ferr)
	}
	return r.lastRun()
}

func (r *rig) lastRun() spool.Run {
	r.t.Helper()
	runs, err := r.spool.Runs(0, 1)
	if err != nil || len(runs) == 0 {
		r.t.Fatalf("no run: %v", err)
	}
	return runs[0]
}

// consume maps and delivers nothing: it notes what came and lets go of it.
func (r *rig) consume(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := r.consumeAll(); err != nil && !errors.Is(err, spool.ErrEpoch) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-r.wakes.Map:
		case <-time.After(5 * time.Second):
		}
	}
	return r.consumeAll()
}

func (r *rig) consumeAll() error {
	open, err := r.spool.OpenRuns()
	if err != nil {
		return err
	}
	meta, err := r.spool.Meta()
	if err != nil {
		return err
	}
	for _, run := range open {
		for {
			recs, err := r.spool.Records(run.ID, 0, 1000, 64<<20)
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
			if err := r.spool.CommitMap(meta.Epoch, time.Now(), c); err != nil {
				return err
			}
		}
		if run.FetchedAt.IsZero() {
			continue
		}
		if err := errors.Join(r.spool.FinishMap(meta.Epoch, run.ID, time.Now()), r.spool.FinishRun(meta.Epoch, run.ID, time.Now())); err != nil {
			return err
		}
		r.wakes.Schedule.Signal()
	}
	return nil
}

func (r *rig) note(rec spool.Record) {
	var body struct{ Objects []struct{ ID string } }
	if err := json.Unmarshal(rec.Body, &body); err != nil {
		r.t.Errorf("record %s/%s: %v", rec.Dataset, rec.Source, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.items[string(rec.Dataset)+"/"+rec.Source]++
	for _, o := range body.Objects {
		r.got[o.ID]++
	}
}

// missing returns the wanted ids that did not come.
func (r *rig) missing(want map[string]struct{}) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for id := range maps.Keys(want) {
		if r.got[id] == 0 {
			out = append(out, id)
		}
	}
	return out
}

func (r *rig) stats() spool.Stats {
	r.t.Helper()
	s, err := r.spool.Stats()
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) marks() map[spool.Dataset]spool.Watermark {
	r.t.Helper()
	m, err := r.spool.Watermarks()
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

// wholesome fails the test when the spool breaks one of its own rules.
func (r *rig) wholesome() {
	r.t.Helper()
	broken, err := r.spool.Verify(context.Background())
	if err != nil || len(broken) > 0 {
		r.t.Errorf("spool: %v %v", broken, err)
	}
}

// logBuffer keeps log lines. Safe for concurrent use.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var _ io.Writer = (*logBuffer)(nil)

// simulate starts a stand-in and a client of it.
func simulate(t testing.TB, o simtm.Options, change func(*threatmatch.Options)) (*simtm.Server, *threatmatch.Client) {
	t.Helper()
	s := simtm.New(o)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	id, secret := s.Credentials()
	opt := threatmatch.Options{
		BaseURL: s.URL(), ClientID: id, ClientSecret: secret, RequestsPerSecond: 2000,
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
		Now:   time.Now, Rand: rand.Float64,
	}
	if change != nil {
		change(&opt)
	}
	c, err := threatmatch.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return s, c
}

func generate(profiles, alerts, reports, iocs int) data.Options {
	return data.Options{Seed: 7, Profiles: profiles, Alerts: alerts, Reports: reports, IOCs: iocs}
}

// arrived is how many different objects came.
func (r *rig) arrived() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

// records is how many records of a source came, such as "alerts/7".
func (r *rig) records(source string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.items[source]
}

// sources is from how many sources records came.
func (r *rig) sources() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.items)
}
