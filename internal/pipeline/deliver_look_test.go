package pipeline

import (
	"fmt"
	"maps"
	"slices"

	"threatmatch-connector/internal/opencti"
)

// checkAll holds the promises at the end: every object arrived or is a dead
// letter, and every work that is left is complete once workers are done.
func (w *world) checkAll() {
	w.t.Helper()
	dead, err := w.sp.DeadLetters(0, 1000)
	w.must(err)
	lost := map[string]bool{}
	for _, d := range dead {
		lost[d.STIX] = true
	}
	all := map[string]int{}
	w.mq.do(func() { maps.Copy(all, w.mq.all) })
	for i := 1; i <= w.ids; i++ {
		id := fmt.Sprintf("malware--00000000-0000-4000-8000-%012d", i)
		if (all[id] == 0) != lost[id] {
			w.fail("object %d: %d times in the queue, dead letter %v", i, all[id], lost[id])
		}
	}
	if dropped := w.mq.workOff(1 << 20); dropped > 0 {
		w.fail("workers dropped %d messages", dropped)
	}
	w.checkWorks()
}

// checkWorks: every work that exists is complete, told as many messages as it has.
func (w *world) checkWorks() {
	w.t.Helper()
	w.cti.mu.Lock()
	defer w.cti.mu.Unlock()
	names := map[string]bool{}
	for _, k := range w.cti.works {
		if k.deleted {
			continue
		}
		if names[k.Name] {
			w.fail("two works %q", k.Name)
		}
		names[k.Name] = true
		var copies int64
		for _, n := range k.seen {
			copies += int64(n)
		}
		distinct := int64(len(k.seen) + len(k.reports))
		if len(k.reports) > 0 && !w.reportsOK {
			w.fail("work %q: reports %v", k.Name, k.reports)
		}
		if !k.Complete || k.Expected < distinct || k.Expected > copies+int64(len(k.reports)) || k.Processed < k.Expected {
			w.fail("work %q: complete %v, expected %d, processed %d, distinct %d, copies %d, reports %v\n%s", k.Name, k.Complete, k.Expected, k.Processed,
				len(k.seen), copies, k.reports, w.logs.tail(60))
		}
	}
}

// lastWork returns the newest work on the platform that is not deleted.
func (w *world) lastWork() *fakeWork {
	w.t.Helper()
	w.cti.mu.Lock()
	defer w.cti.mu.Unlock()
	for i := len(w.cti.works) - 1; i >= 0; i-- {
		if !w.cti.works[i].deleted {
			k := *w.cti.works[i]
			return &k
		}
	}
	w.t.Fatal("no work on the platform")
	return nil
}

// works returns copies of all works that ever were.
func (w *world) works() []fakeWork {
	var out []fakeWork
	w.cti.do(func() {
		for _, k := range w.cti.works {
			out = append(out, *k)
		}
	})
	return out
}

// order returns the objects in the order in which they first went out.
func (w *world) order() []string {
	var out []string
	w.mq.do(func() { out = slices.Clone(w.mq.order) })
	return out
}

// calls are the requests that OpenCTI got.
func (w *world) calls() []string {
	var out []string
	w.cti.do(func() { out = slices.Clone(w.cti.calls) })
	return out
}

func (w *world) info() opencti.ConnectorInfo {
	var out opencti.ConnectorInfo
	w.cti.do(func() { out = w.cti.info })
	return out
}

// refuse lets a call of OpenCTI fail from now on; nil lets it be.
func (w *world) refuse(call string, err error) {
	w.cti.do(func() { w.cti.refuse[call] = err })
}

// echo lets OpenCTI answer with other states, once each.
func (w *world) echo(states ...string) {
	w.cti.do(func() { w.cti.echo = states })
}

func (w *world) echoesLeft() (n int) {
	w.cti.do(func() { n = len(w.cti.echo) })
	return n
}

// batches counts the calls of Send.
func (w *world) batches() (n int) {
	w.mq.do(func() { n = w.mq.sends })
	return n
}

// happens sets what the broker does with the next messages.
func (w *world) happens(events ...sendEvent) {
	w.mq.do(func() { w.mq.events = events })
}
