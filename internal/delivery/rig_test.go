package delivery

import (
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

// ledger is the caller's side of a batch: numbered messages and a cursor. It
// fails the test when the publisher breaks its contract.
type ledger struct {
	t      *testing.T
	total  int
	window int
	size   func(i int) int // of a message's body; nil: small
	before func(i int)     // runs before message i is handed out, once; may be nil
	commit func(n int) error

	mu     sync.Mutex
	cursor int // committed
	taken  int // handed out and not known to be unpublished
	widest int
	fired  map[int]bool
	calls  int
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

// batch goes on from the cursor. index maps the batch's numbers to ours.
func (l *ledger) batch(top brokertest.Topology, window int) (Batch, []int) {
	l.mu.Lock()
	start := l.cursor
	l.mu.Unlock()
	var index []int
	for i := start; i < l.total; i++ {
		if !l.skip[i] {
			index = append(index, i)
		}
	}
	next := 0
	l.taken = 0
	base := start
	return Batch{
		Exchange: top.Exchange, RoutingKey: top.Key, Window: window,
		Next: func() (Message, error) {
			if next == len(index) {
				return Message{}, io.EOF
			}
			i := index[next]
			next++
			if l.before != nil && !l.fired[i] {
				l.fired[i] = true
				l.before(i)
			}
			l.mu.Lock()
			l.taken = next
			done := 0
			for done < len(index) && index[done] < l.cursor {
				done++
			}
			l.widest = max(l.widest, next-done)
			if next-done > window {
				l.t.Errorf("message %d handed out with %d uncommitted, window %d", i, next-done, window)
			}
			l.mu.Unlock()
			size := 0
			if l.size != nil {
				size = l.size(i)
			}
			return Message{ID: fmt.Sprint("id-", i), Body: body(i, size)}, nil
		},
		Committed: func(ctx context.Context, n int) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.calls++
			if n < 1 || n > l.taken {
				l.t.Errorf("committed %d of %d handed out", n, l.taken)
				return nil
			}
			to := index[n-1] + 1
			if to <= l.cursor && n > 0 && to != base {
				l.t.Errorf("cursor does not advance: %d after %d", to, l.cursor)
			}
			if l.commit != nil {
				if err := l.commit(to); err != nil {
					return err
				}
			}
			l.cursor = to
			return nil
		},
	}, index
}

// told is what the outcomes of an import add up to.
type told struct {
	outcomes          []*Outcome
	repeats, unknowns int
}

func (o told) kinds() string {
	var s []string
	for _, k := range o.outcomes {
		s = append(s, k.Kind.String())
	}
	return strings.Join(s, ", ")
}

// drive sends until everything is committed, as the deliver stage does. cure
// is called with each outcome.
func (l *ledger) drive(p *Publisher, top brokertest.Topology, cure func(*Outcome)) told {
	l.t.Helper()
	var sum told
	window := l.window
	deadline := time.Now().Add(time.Minute)
	for {
		batch, index := l.batch(top, window)
		err := p.Send(l.t.Context(), batch)
		if err == nil {
			if window == l.window || l.cursor >= l.total {
				return sum
			}
			window = l.window
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
		if o.Kind == TooLarge {
			l.skip[index[o.Index]] = true
		}
		cure(o)
	}
}

// arrived checks what is in the queue against what was told: nothing lost,
// first copies in order, repeats within the bounds.
func (l *ledger) arrived(got []int, sum told) {
	l.t.Helper()
	seen := make([]int, l.total)
	last := -1
	for _, i := range got {
		if seen[i] == 0 {
			if i < last {
				l.t.Errorf("first copy of message %d after message %d", i, last)
			}
			last = i
		}
		seen[i]++
	}
	want := 0
	for i, n := range seen {
		if l.skip[i] {
			if n > 0 {
				l.t.Errorf("dead letter %d arrived", i)
			}
			continue
		}
		want++
		if n == 0 {
			l.t.Errorf("message %d is lost", i)
		}
	}
	extra := len(got) - want
	if extra < sum.repeats || extra > sum.repeats+sum.unknowns {
		l.t.Errorf("%d repeats arrived, told %d surely and %d unknown", extra, sum.repeats, sum.unknowns)
	}
	l.t.Logf("%d messages, %d outcomes (%s), %d surely repeated, %d unknown, %d repeats arrived, widest %d, %d commits",
		l.total, len(sum.outcomes), sum.kinds(), sum.repeats, sum.unknowns, extra, l.widest, l.calls)
}

// numbers drains a queue.
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
	p, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(context.WithoutCancel(t.Context())) })
	return p
}
