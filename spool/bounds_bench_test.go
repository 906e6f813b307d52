package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"
)

// many is how much of everything the operations are measured with.
const many = 100_000

// BenchmarkBounds shows that no operation grows with the contents of the spool: the most heap that it needs, in MiB
// above what was in use, and how long its longest transaction took, in wall and in processor time.
//
//	go test -run '^$' -bench Bounds -benchtime 1x ./spool
func BenchmarkBounds(b *testing.B) {
	for _, op := range []struct {
		name string
		fill func(g *laden)
		do   func(g *laden) error
	}{
		{"add a list of 100k, as fetch does", nil, func(g *laden) error { return g.items() }},
		{"drop a dataset with 100k open", func(g *laden) { g.must(g.items()) }, func(g *laden) error {
			_, err := g.s.DropDataset(1, Alerts)
			return err
		}},
		{"drop a dataset with 100k parked and taken in", func(g *laden) { g.parked(); g.start() }, func(g *laden) error {
			_, err := g.s.DropDataset(1, Alerts)
			return err
		}},
		{"start a run that takes in 100k parked", (*laden).parked, func(g *laden) error { return g.start() }},
		{"mark 100k open, waiting and held as resumed", func(g *laden) { g.must(g.items()); g.objects() }, func(g *laden) error { return g.s.MarkResumed() }},
		{"open with 100k parked, waiting and held", func(g *laden) { g.parked(); g.objects() }, (*laden).reopen},
		{"retry 100k letters", func(g *laden) { g.letters(many, 300) }, (*laden).retry},
		{"retry 200 letters of 1 MiB", func(g *laden) { g.letters(200, 1<<20) }, (*laden).retry},
		{"heal 200 letters of 512 KiB of one item", func(g *laden) { g.letters(200, 512<<10) }, (*laden).heal},
		{"enqueue 100k items", nil, func(g *laden) error { return g.s.Enqueue(1, ReasonRepull, nil, g.tasks()) }},
		{"drop 100k letters", func(g *laden) { g.letters(many, 300) }, func(g *laden) error {
			_, err := g.s.Drop(g.keys(), nil, nil)
			return err
		}},
		{"drop 100k parked", (*laden).parked, func(g *laden) error {
			var keys []TaskKey
			for i := range many {
				keys = append(keys, item(Alerts, i))
			}
			_, err := g.s.Drop(nil, keys, nil)
			return err
		}},
		{"drop 100k held", (*laden).objects, func(g *laden) error {
			var ids []string
			for i := range many {
				ids = append(ids, stixOf(many+i))
			}
			_, err := g.s.Drop(nil, nil, ids)
			return err
		}},
		{"reset with 100k of everything", func(g *laden) { g.parked(); g.objects(); g.letters(many, 300); g.must(g.retry()) }, func(g *laden) error {
			_, _, err := g.s.Reset(t0)
			return err
		}},
		{"prune what it left", func(g *laden) {
			g.parked()
			g.objects()
			_, _, err := g.s.Reset(t0)
			g.must(err)
		}, func(g *laden) error { _, err := g.s.Prune(t0, t0); return err }},
		{"map 5,000 objects of 16 MiB", nil, (*laden).mapBundle},
	} {
		b.Run(strings.ReplaceAll(op.name, " ", "_"), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				g := newLaden(b)
				if op.fill != nil {
					op.fill(g)
				}
				heap := g.measure(func() error { return op.do(g) })
				b.ReportMetric(float64(heap)/(1<<20), "MiB")
				b.ReportMetric(float64(g.longest.Microseconds())/1000, "ms/txn")
				b.ReportMetric(float64(g.cpu.Microseconds())/1000, "cpu-ms/txn")
				g.must(g.s.Close())
				b.StartTimer()
			}
		})
	}
}

// laden is a spool that holds much, and what its transactions took.
type laden struct {
	testing.TB
	o            Options
	s            *Spool
	run          Run
	since        time.Time
	used         time.Duration
	longest, cpu time.Duration
}

func newLaden(b testing.TB) *laden {
	g := &laden{TB: b}
	g.o = Options{Dir: fastDir(b), ConnectorID: "c", noReserve: true, NoCompact: true, Now: func() time.Time { return t0 }, hook: g.hook}
	s, err := Open(b.Context(), g.o)
	g.must(err)
	g.s = s
	g.run, err = s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0}, Tasks: []NewTask{{TaskKey: list(Alerts)}}})
	g.must(err)
	return g
}

func (g *laden) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

func (g *laden) hook(p string) {
	switch {
	case strings.HasSuffix(p, ":before"):
		g.since, g.used = time.Now(), cpuTime()
	case strings.HasSuffix(p, ":after"):
		g.longest = max(g.longest, time.Since(g.since))
		g.cpu = max(g.cpu, cpuTime()-g.used)
	}
}

// measure returns the most by which the heap grew.
func (g *laden) measure(do func() error) int64 {
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	read := func() int64 {
		m := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(m)
		return int64(m[0].Value.Uint64())
	}
	runtime.GC()
	base, most := read(), int64(0)
	ctx, stop := context.WithCancel(g.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for tick := time.NewTicker(time.Millisecond); ctx.Err() == nil; <-tick.C {
			most = max(most, read()-base)
		}
	})
	g.longest, g.cpu = 0, 0
	err := do()
	stop()
	wg.Wait()
	g.must(err)
	return most
}

func (g *laden) tasks() []NewTask {
	out := make([]NewTask, many)
	for i := range out {
		out[i].TaskKey = item(Alerts, (i*7919)%many)
	}
	return out
}

// items makes many open items, in the steps of fetch.
func (g *laden) items() error {
	all := g.tasks()
	for i := 0; i < many; i += 1000 {
		if err := g.s.SettleTasks(1, t0, []Outcome{{Task: list(Alerts), Run: g.run.ID, Add: all[i : i+1000], Keep: &TaskState{}}}); err != nil {
			return err
		}
	}
	return nil
}

func (g *laden) parked() {
	g.must(g.items())
	for i := 0; i < many; i += 1000 {
		var out []Outcome
		for n := range 1000 {
			out = append(out, Outcome{Task: item(Alerts, i+n), Run: g.run.ID, Keep: &TaskState{Runs: 1, LastError: "no"}, Park: true})
		}
		g.must(g.s.SettleTasks(1, t0, out))
	}
}

func (g *laden) start() error {
	_, err := g.s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0}, Parked: true, Tasks: []NewTask{{TaskKey: list(Alerts)}}})
	return err
}

// objects makes many waiting and many held objects.
func (g *laden) objects() {
	for i := 0; i < many; i += 1000 {
		c := MapCommit{Run: g.run.ID}
		for n := i; n < i+1000; n++ {
			c.Wait = append(c.Wait, Object{STIX: stixOf(n), Watch: stixOf(n + 1), JSON: []byte(`{"a":1}`)})
			c.Hold = append(c.Hold, Object{STIX: stixOf(many + n), Watch: stixOf(n + 1), JSON: []byte(`{"a":1}`)})
		}
		g.must(g.s.CommitMap(1, t0, c))
	}
}

// letters makes dead letters of map, all of the same item.
func (g *laden) letters(n, size int) {
	r := rand.New(rand.NewPCG(1, 1))
	body := make([]byte, size)
	step := min(1000, max(1, 8<<20/size))
	for i := 0; i < n; i += step {
		c := MapCommit{Run: g.run.ID}
		for k := i; k < min(i+step, n); k++ {
			for j := range body {
				body[j] = "0123456789abcdef"[r.IntN(16)]
			}
			text := fmt.Appendf(nil, `{"x":"%s"}`, body)
			c.Dead = append(c.Dead, DeadLetter{Class: "invalid", Dataset: Alerts, Source: "1", Payload: text})
		}
		g.must(g.s.CommitMap(1, t0, c))
	}
}

func (g *laden) keys() []uint64 {
	var keys []uint64
	for after := uint64(0); ; {
		page, err := g.s.DeadLetters(after, 1000)
		g.must(err)
		if len(page) == 0 {
			return keys
		}
		for _, d := range page {
			keys = append(keys, d.Key)
		}
		after = keys[len(keys)-1]
	}
}

// retry retries all dead letters and starts all their slices.
func (g *laden) retry() error {
	var keys []uint64
	st, err := g.s.Stats()
	for k := range uint64(st.Dead) {
		keys = append(keys, k+1)
	}
	if err == nil {
		_, err = g.s.Retry(1, t0, keys, nil)
	}
	for found := err == nil; found && err == nil; {
		_, found, err = g.s.StartQueued(1, t0, false, 500)
	}
	return err
}

// heal brings the item of all the dead letters.
func (g *laden) heal() error {
	key := item(Alerts, 1)
	return errors.Join(
		g.s.SettleTasks(1, t0, []Outcome{{Task: list(Alerts), Run: g.run.ID, Add: []NewTask{{TaskKey: key}}, Keep: &TaskState{}}}),
		g.s.SettleTasks(1, t0, []Outcome{{Task: key, Run: g.run.ID, Record: &NewRecord{Dataset: Alerts, Source: "1", Body: []byte(`{}`)}}}))
}

func (g *laden) reopen() error {
	err := g.s.Close()
	if err == nil {
		g.s, err = Open(g.Context(), g.o)
	}
	return err
}

func (g *laden) mapBundle() error {
	c := MapCommit{Run: g.run.ID, Bundles: []NewBundle{{}}}
	body := append([]byte(`{"x":"`), bytes.Repeat([]byte("seen with several customers; "), 3300/29)...)
	for i := range 5000 {
		c.Bundles[0].Objects = append(c.Bundles[0].Objects, BundleObject{STIX: stixOf(i), JSON: body})
		c.IDs = append(c.IDs, IDPut{STIX: stixOf(i), ID: ID{Kind: "indicator", Run: g.run.ID, At: t0}})
	}
	return g.s.CommitMap(1, t0, c)
}
