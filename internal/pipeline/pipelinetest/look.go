package pipelinetest

import (
	"fmt"
	"maps"
	"slices"

	"threatmatch-connector/internal/opencti"
)

// CheckAll checks the promises at the end: every object arrived or is a dead
// letter, and every remaining work is complete once the workers are done.
func (w *World) CheckAll() {
	w.t.Helper()
	w.checkObjects()
	w.CheckWorks()
}

func (w *World) checkObjects() {
	w.t.Helper()
	dead, err := w.Spool.DeadLetters(0, 1000)
	w.Must(err)
	lost := map[string]bool{}
	for _, d := range dead {
		lost[d.STIX] = true
	}
	all := map[string]int{}
	w.Broker.do(func() { maps.Copy(all, w.Broker.All) })
	for i := 1; i <= w.Ids; i++ {
		id := fmt.Sprintf("malware--00000000-0000-4000-8000-%012d", i)
		if (all[id] == 0) != lost[id] {
			w.Fail("object %d: %d times in the queue, dead letter %v", i, all[id], lost[id])
		}
	}
	if dropped := w.Broker.WorkOff(1 << 20); dropped > 0 {
		w.Fail("workers dropped %d messages", dropped)
	}
}

// CheckWorks checks that every existing work is complete and was told exactly as
// many messages as it has.
func (w *World) CheckWorks() {
	w.t.Helper()
	w.OpenCTI.Mu.Lock()
	defer w.OpenCTI.Mu.Unlock()
	names := map[string]bool{}
	for _, k := range w.OpenCTI.works {
		if k.Deleted {
			continue
		}
		if names[k.Name] {
			w.Fail("two works %q", k.Name)
		}
		names[k.Name] = true
		var copies int64
		for _, n := range k.seen {
			copies += int64(n)
		}
		distinct := int64(len(k.seen) + len(k.Reports))
		if len(k.Reports) > 0 && !w.ReportsOK {
			w.Fail("work %q: reports %v", k.Name, k.Reports)
		}
		if !k.Complete || k.Expected < distinct || k.Expected > copies+int64(len(k.Reports)) || k.Processed < k.Expected {
			w.Fail("work %q: complete %v, expected %d, processed %d, distinct %d, copies %d, reports %v\n%s", k.Name, k.Complete, k.Expected, k.Processed,
				len(k.seen), copies, k.Reports, w.Logs.Tail(60))
		}
	}
}

// LastWork returns the newest work on the platform that is not deleted.
func (w *World) LastWork() *Work {
	w.t.Helper()
	w.OpenCTI.Mu.Lock()
	defer w.OpenCTI.Mu.Unlock()
	for i := len(w.OpenCTI.works) - 1; i >= 0; i-- {
		if !w.OpenCTI.works[i].Deleted {
			k := *w.OpenCTI.works[i]
			return &k
		}
	}
	w.t.Fatal("no work on the platform")
	return nil
}

// Works returns copies of all works that ever existed.
func (w *World) Works() []Work {
	var out []Work
	w.OpenCTI.do(func() {
		for _, k := range w.OpenCTI.works {
			out = append(out, *k)
		}
	})
	return out
}

// Order returns the objects in the order in which they were first sent.
func (w *World) Order() []string {
	var out []string
	w.Broker.do(func() { out = slices.Clone(w.Broker.order) })
	return out
}

// Calls returns the requests that OpenCTI received.
func (w *World) Calls() []string {
	var out []string
	w.OpenCTI.do(func() { out = slices.Clone(w.OpenCTI.Calls) })
	return out
}

func (w *World) Info() opencti.ConnectorInfo {
	var out opencti.ConnectorInfo
	w.OpenCTI.do(func() { out = w.OpenCTI.info })
	return out
}

// Refuse makes a call of OpenCTI fail from now on; nil ends that.
func (w *World) Refuse(call string, err error) {
	w.OpenCTI.do(func() { w.OpenCTI.refuse[call] = err })
}

// Echo makes OpenCTI answer with these states instead of its own, once each.
func (w *World) Echo(states ...string) {
	w.OpenCTI.do(func() { w.OpenCTI.echo = states })
}

func (w *World) EchoesLeft() (n int) {
	w.OpenCTI.do(func() { n = len(w.OpenCTI.echo) })
	return n
}

// Batches counts the calls of Send.
func (w *World) Batches() (n int) {
	w.Broker.do(func() { n = w.Broker.sends })
	return n
}

// Happens scripts what the broker does with the next messages.
func (w *World) Happens(events ...SendEvent) {
	w.Broker.do(func() { w.Broker.Events = events })
}

// Forget clears the record of calls, messages and log lines, and returns the number
// of calls to the broker and to OpenCTI, of log lines, and of loop steps.
func (w *World) Forget() (sends, calls, lines, turns int) {
	w.Broker.do(func() { sends, w.Broker.sends, w.Broker.order = w.Broker.sends, 0, nil })
	w.OpenCTI.do(func() { calls, w.OpenCTI.Calls = len(w.OpenCTI.Calls), nil })
	w.Logs.mu.Lock()
	lines, w.Logs.lines = len(w.Logs.lines), nil
	w.Logs.mu.Unlock()
	w.Kill.Mu.Lock()
	turns, w.Kill.turns = w.Kill.turns, 0
	w.Kill.Mu.Unlock()
	return sends, calls, lines, turns
}
