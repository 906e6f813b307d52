package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
)

// ledger is the caller's side of a batch: numbered messages and a cursor. It fails the test if the publisher breaks
// its contract.
type ledger struct {
	t      *testing.T
	total  int
	window int
	size   func(i int) int   // of a message's body; nil: small
	before func(i int) error // runs before message i is handed out, once; may be nil
	commit func(ctx context.Context, n int) error
	quiet  bool

	mu     sync.Mutex
	cursor int // committed
	widest int // most messages handed out and not committed
	calls  int // of Committed
	fired  map[int]bool
	skip   map[int]bool // dead letters: never handed out again
}

func newLedger(t *testing.T, total, window int) *ledger {
	return &ledger{t: t, total: total, window: window, fired: map[int]bool{}, skip: map[int]bool{}}
}

func body(i, size int) []byte {
	b := fmt.Appendf(nil, "m%d;", i)
	return append(b, strings.Repeat("x", max(0, size-len(b)))...)
}

func number(t *testing.T, b []byte) int {
	t.Helper()
	var i int
	if _, err := fmt.Sscanf(string(b), "m%d;", &i); err != nil {
		t.Fatalf("body %.20q: %v", b, err)
	}
	return i
}

// batch continues from the cursor, with a single message if it only probes. index maps the batch's numbers to the
// ledger's.
func (l *ledger) batch(top brokertest.Topology, probe bool) (Batch, []int) {
	var index []int
	for i := l.cursor; i < l.total; i++ {
		if !l.skip[i] {
			index = append(index, i)
		}
	}
	window := l.window
	if probe {
		index, window = index[:min(1, len(index))], 1
	}
	next, done := 0, 0 // handed out, committed: of this batch
	b := Batch{Exchange: top.Exchange, RoutingKey: top.Key, Window: window}
	b.Next = func() (Message, error) {
		if next == len(index) {
			return Message{}, io.EOF
		}
		i := index[next]
		if l.before != nil && !l.fired[i] {
			l.fired[i] = true
			if err := l.before(i); err != nil {
				return Message{}, err
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		next++
		l.widest = max(l.widest, next-done)
		if next-done > window {
			l.t.Errorf("message %d handed out with %d uncommitted, window %d", i, next-done, window)
		}
		size := 0
		if l.size != nil {
			size = l.size(i)
		}
		return Message{ID: fmt.Sprint("id-", i), Body: body(i, size)}, nil
	}
	b.Committed = func(ctx context.Context, n int) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls++
		if n <= done || n > next {
			l.t.Errorf("committed %d after %d, with %d handed out", n, done, next)
		}
		if l.commit != nil {
			l.mu.Unlock()
			err := l.commit(ctx, index[n-1]+1)
			l.mu.Lock()
			if err != nil {
				return err
			}
		}
		done, l.cursor = n, index[n-1]+1
		return nil
	}
	return b, index
}

// totals adds up the outcomes of an import.
type totals struct {
	outcomes          []*Outcome
	repeats, unknowns int
}

func (o totals) kinds() string {
	var s []string
	for _, k := range o.outcomes {
		s = append(s, k.Kind.String())
	}
	return strings.Join(s, ", ")
}

// drive sends until everything is committed, as the deliver stage does: after a refusal first one message, then a
// full window. It calls repair with each outcome.
func (l *ledger) drive(p *Publisher, top brokertest.Topology, repair func(*Outcome)) totals {
	l.t.Helper()
	var sum totals
	probe := false
	for deadline := time.Now().Add(time.Minute); ; {
		batch, index := l.batch(top, probe)
		err := p.Send(l.t.Context(), batch)
		if err == nil {
			if l.cursor >= l.total || !probe {
				return sum
			}
			probe = false
			continue
		}
		o, ok := errors.AsType[*Outcome](err)
		if !ok {
			l.t.Fatalf("Send: %v, want an *Outcome", err)
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("import does not end: %v after %s", err, sum.kinds())
		}
		sum.outcomes = append(sum.outcomes, o)
		sum.repeats += o.Repeats
		sum.unknowns += o.Unknown
		probe = o.Kind == Nacked || o.Kind == Returned
		if o.Kind == TooLarge {
			l.skip[index[o.Index]] = true
		}
		repair(o)
	}
}

// arrived compares the queue with the outcomes: nothing is lost, repeats are within bounds, and a copy of every
// message comes after the first copies of all messages before it, so that a worker finds what the message refers to.
func (l *ledger) arrived(got []int, sum totals) {
	l.t.Helper()
	seen, first, last := make([]int, l.total), make([]int, l.total), make([]int, l.total)
	for at, i := range got {
		if seen[i] == 0 {
			first[i] = at
		}
		seen[i]++
		last[i] = at
	}
	behind := 0
	for i := range l.total {
		if seen[i] > 0 && last[i] < behind {
			l.t.Errorf("message %d is in the queue only before its predecessors", i)
		}
		behind = max(behind, first[i])
	}
	want, lost := 0, 0
	for i, n := range seen {
		if l.skip[i] {
			if n > 0 {
				l.t.Errorf("dead letter %d arrived", i)
			}
			continue
		}
		want++
		if n == 0 {
			lost++
		}
	}
	if lost > 0 {
		l.t.Errorf("%d messages are lost", lost)
	}
	extra := len(got) - want + lost
	if extra < sum.repeats || extra > sum.repeats+sum.unknowns {
		l.t.Errorf("%d repeats arrived, want %d certain and up to %d unknown ones", extra, sum.repeats, sum.unknowns)
	}
	if l.quiet {
		return
	}
	l.t.Logf("%d messages, %d outcomes (%s), %d surely repeated, %d unknown, %d repeats arrived, widest %d, %d commits",
		l.total, len(sum.outcomes), sum.kinds(), sum.repeats, sum.unknowns, extra, l.widest, l.calls)
}

// numbers drains a queue and returns the messages' numbers.
func numbers(t *testing.T, v *brokertest.VHost, queue string) (got []int) {
	t.Helper()
	for _, d := range v.Drain(queue) {
		got = append(got, number(t, d.Body))
	}
	return got
}

func brokerOf(v *brokertest.VHost) Broker {
	return Broker{Host: v.Node.Host, Port: v.Node.Port, VHost: v.Name, User: v.User, Password: v.Password}
}

func newPublisher(t *testing.T, opt Options) *Publisher {
	t.Helper()
	opt.SettleTimeout = cmp.Or(opt.SettleTimeout, 8*time.Second)
	p, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.WithoutCancel(t.Context())) })
	return p
}
