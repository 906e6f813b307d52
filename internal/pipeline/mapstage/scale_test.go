package mapstage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"threatmatch-connector/spool"
)

// scaled is how many objects a scale test uses: n, a tenth with the race detector,
// or the value from the environment.
func scaled(n int) int {
	if env, err := strconv.Atoi(os.Getenv("MAP_SCALE")); err == nil {
		return env
	}
	if raceDetector {
		return n / 10
	}
	return n
}

// rssAnon reads this process's anonymous memory in bytes; 0 without /proc.
func rssAnon() int64 {
	b, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := bytes.Cut(b, []byte("RssAnon:"))
	line, _, _ := bytes.Cut(rest, []byte("kB"))
	n, _ := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	return n << 10
}

// memoryMost is how much a million waiting objects may take at their peak in
// addition to the test itself: a commit's pages, not the objects.
const memoryMost = 256 << 20

// checkMemory checks the peak against memoryMost. The race detector needs several
// times as much.
func checkMemory(t *testing.T, before, peak int64) {
	t.Helper()
	if !raceDetector && peak-before > memoryMost {
		t.Errorf("%d MiB of anonymous memory, %d MiB before", peak>>20, before>>20)
	}
}

// spoolMany spools n objects, a few hundred in a record, in random order.
func (w *world) spoolMany(run uint64, n int, object func(i int) string) {
	w.t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	order := rng.Perm(n)
	var outcomes []spool.Outcome
	for len(order) > 0 {
		k := min(500, len(order))
		body := []byte(`{"objects":[`)
		for i, o := range order[:k] {
			if i > 0 {
				body = append(body, ',')
			}
			body = append(body, object(o)...)
		}
		order = order[k:]
		w.source++
		key := spool.TaskKey{Dataset: spool.Profiles, Kind: spool.TaskItem, Source: fmt.Sprint("m", w.source)}
		outcomes = append(outcomes,
			spool.Outcome{Task: w.lists[run], Run: run, Keep: &spool.TaskState{}, Add: []spool.NewTask{{TaskKey: key}}},
			spool.Outcome{Task: key, Run: run, Record: &spool.NewRecord{
				Dataset: spool.Profiles, Source: key.Source, Fetched: w.now(), Body: append(body, "]}"...),
			}})
		if len(outcomes) >= 20 || len(order) == 0 {
			w.check(w.sp.SettleTasks(w.epoch(), w.now(), outcomes))
			outcomes = nil
		}
	}
}

// drive maps and delivers until everything is sent, without keeping it; it counts
// messages and records the peak of anonymous memory.
func (w *world) drive() (messages, commits int, peak int64) {
	w.t.Helper()
	for {
		did := w.once()
		if commits++; commits%5 == 0 {
			peak = max(peak, rssAnon())
		}
		for {
			b, err := w.sp.NextBundle()
			if err != nil {
				break
			}
			messages += b.Objects
			w.check(w.sp.SaveCursor(w.epoch(), b.Run, b.Seq, b.Objects))
			w.check(w.sp.EndBundle(w.epoch(), b.Run, b.Seq, spool.Work{}, nil))
		}
		if !did {
			return messages, commits, peak
		}
	}
}

// scale runs n objects through one run and checks that all are sent, a number of
// them again.
func scale(t *testing.T, n, again int, object func(i int) string) {
	t.Helper()
	w := newTestWorld(t, Options{})
	run := w.startRun(spool.ReasonSchedule)
	w.spoolMany(run, n, object)
	w.endFetch(run)
	debug.FreeOSMemory()
	start, before := time.Now(), rssAnon()
	messages, commits, peak := w.drive()
	sum := w.counters()
	t.Logf("%d objects, %d waited, %d steps, %v; anonymous memory %d MiB before, at most %d MiB", n, sum["waited"],
		commits, time.Since(start).Round(time.Millisecond), before>>20, peak>>20)
	checkMemory(t, before, peak)
	if w.run(run).MappedAt.IsZero() {
		t.Fatal("the run is not mapped")
	}
	if messages != n+again+2 || sum["published"] != int64(n+again) {
		t.Errorf("%d messages, %d published, want %d", messages, sum["published"], n+again)
	}
	w.auditCounters()
	if len(w.dead())+len(w.held()) > 0 {
		t.Error("something is held or dead")
	}
}

func TestLongChain(t *testing.T) {
	n := scaled(40_000)
	scale(t, n, 0, func(i int) string {
		if i == n-1 {
			return sobj(note(i))
		}
		return sobj(note(i), srefs("object_refs", note(i+1)))
	})
}

func TestLongCycle(t *testing.T) {
	n := scaled(10_000)
	scale(t, n, 1, func(i int) string { return sobj(note(i), srefs("object_refs", note((i+1)%n))) })
}

func TestManyCycles(t *testing.T) {
	n := scaled(10_000)
	scale(t, n, n/2, func(i int) string { return sobj(note(i), srefs("object_refs", note(i^1))) })
}

// Every object waits for one author that comes last.
func TestManyWaiting(t *testing.T) {
	n := scaled(40_000)
	w := newTestWorld(t, Options{})
	run := w.startRun(spool.ReasonSchedule)
	w.spoolMany(run, n, func(i int) string {
		return sobj(note(i+1), sref("created_by_ref", ident(0)), `"content":"`+fmt.Sprint(i*7919, i*104729, i*1299709)+`"`)
	})
	debug.FreeOSMemory()
	start, before := time.Now(), rssAnon()
	messages, _, peak := w.drive()
	st, err := w.sp.Stats()
	w.check(err)
	if messages != 0 || st.Waiting < int64(n)-5000 {
		t.Fatalf("%d went out, %d wait", messages, st.Waiting)
	}
	mapped := time.Since(start)
	w.record(run, sobj(ident(0)))
	w.endFetch(run)
	messages, commits, peak2 := w.drive()
	t.Logf("%d waited: %v to map, %v and %d steps to release; anonymous memory %d MiB before, at most %d MiB", n,
		mapped.Round(time.Millisecond), (time.Since(start) - mapped).Round(time.Millisecond), commits, before>>20, max(peak, peak2)>>20)
	checkMemory(t, before, max(peak, peak2))
	if messages != n+3 {
		t.Errorf("%d messages", messages)
	}
}
