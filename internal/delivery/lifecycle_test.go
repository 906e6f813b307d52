package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/fault"
)

func doubled(t *testing.T, f func(brokertest.Published, *brokertest.Answers), change ...func(*Options)) *Publisher {
	t.Helper()
	d := brokertest.NewDouble(t, f)
	opt := Options{Broker: Broker{Host: d.Host, Port: d.Port}, Heartbeat: time.Second}
	for _, c := range change {
		c(&opt)
	}
	return newPublisher(t, opt)
}

func acking(p brokertest.Published, a *brokertest.Answers) { a.Ack(p.Tag, false) }

var nowhere = brokertest.Topology{Exchange: "x", Key: "k"}

// TestSourceFails: an error of Next ends the batch, and what was published before it counts.
func TestSourceFails(t *testing.T) {
	p := doubled(t, acking)
	l := newLedger(t, 40, 8)
	boom := fault.Mark(fault.Permanent, errors.New("spool damaged"))
	l.before = func(i int) error {
		if i == 25 {
			return boom
		}
		return nil
	}
	batch, _ := l.batch(nowhere, false)
	err := p.Send(t.Context(), batch)
	o, ok := errors.AsType[*Outcome](err)
	if !ok || o.Kind != SourceFailed || !errors.Is(err, boom) || !fault.Is(err, fault.Permanent) || o.Committed != 25 || l.cursor != 25 || o.Repeats+o.Unknown != 0 {
		t.Errorf("Send: %v, %+v, cursor %d", err, o, l.cursor)
	}
}

// TestCommitFails: once the cursor cannot move, nothing is published beyond the window (G4), and what is confirmed
// counts as repeats.
func TestCommitFails(t *testing.T) {
	published := 0
	p := doubled(t, func(m brokertest.Published, a *brokertest.Answers) { published++; a.Ack(m.Tag, false) })
	l := newLedger(t, 400, 16)
	boom := fault.Mark(fault.Fatal, errors.New("disk full"))
	l.commit = func(_ context.Context, n int) error {
		if n > 100 {
			return boom
		}
		return nil
	}
	batch, _ := l.batch(nowhere, false)
	err := p.Send(t.Context(), batch)
	o, ok := errors.AsType[*Outcome](err)
	if !ok || o.Kind != CommitFailed || !errors.Is(err, boom) || !fault.Is(err, fault.Fatal) || o.Committed != l.cursor || o.Index != l.cursor {
		t.Fatalf("Send: %v, %+v, cursor %d", err, o, l.cursor)
	}
	if published > l.cursor+16 || o.Repeats != published-l.cursor || o.Unknown != 0 {
		t.Errorf("published %d, cursor %d, told %d repeats", published, l.cursor, o.Repeats)
	}
}

// TestSlowCommit: publishing continues during a commit, up to the window.
func TestSlowCommit(t *testing.T) {
	p := doubled(t, acking)
	l := newLedger(t, 200, 20)
	entered := make(chan struct{}, 200)
	l.commit = func(ctx context.Context, n int) error {
		entered <- struct{}{}
		time.Sleep(5 * time.Millisecond)
		return nil
	}
	l.drive(p, nowhere, func(o *Outcome) { t.Fatal(o) })
	if l.widest < 15 || l.calls > 50 {
		t.Errorf("at most %d under way, %d commits", l.widest, l.calls)
	}
}

// TestSlowSource: what is published reaches the broker however long the next message takes.
func TestSlowSource(t *testing.T) {
	var arrived atomic.Int64
	p := doubled(t, func(m brokertest.Published, a *brokertest.Answers) { arrived.Add(1); a.Ack(m.Tag, false) })
	l := newLedger(t, 6, 8)
	l.before = func(i int) error {
		waitFor(t, func() bool { return arrived.Load() == int64(i) })
		return nil
	}
	l.drive(p, nowhere, func(o *Outcome) { t.Error(o) })
}

// TestSteps: progress is committed in steps of a quarter of the window.
func TestSteps(t *testing.T) {
	p := doubled(t, acking)
	l := newLedger(t, 2000, 40)
	l.drive(p, nowhere, func(o *Outcome) { t.Fatal(o) })
	if l.calls > 2000/10+1 {
		t.Errorf("%d commits", l.calls)
	}
}

// TestStop: the end of the context ends the batch after what was published has been answered and committed.
func TestStop(t *testing.T) {
	var held []uint64
	release := make(chan struct{})
	p := doubled(t, func(m brokertest.Published, a *brokertest.Answers) {
		held = append(held, m.Tag)
		if m.Tag == 8 {
			go func() { <-release; a.Ack(8, true) }()
		}
	})
	l := newLedger(t, 100, 8)
	ctx, cancel := context.WithCancelCause(t.Context())
	batch, _ := l.batch(nowhere, false)
	done := make(chan error)
	go func() { done <- p.Send(ctx, batch) }()
	waitFor(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.widest == 8 })
	cancel(fault.ErrShutdown)
	select {
	case err := <-done:
		t.Fatalf("Send did not wait for its answers: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	err := <-done
	o, ok := errors.AsType[*Outcome](err)
	if !ok || o.Kind != Stopped || !fault.Is(err, fault.Shutdown) || o.Committed != 8 || l.cursor != 8 || o.Unknown+o.Repeats != 0 {
		t.Errorf("Send: %v, %+v", err, o)
	}
}

// TestStopWithoutAnswer: the settle timeout ends the wait, also that for a commit.
func TestStopWithoutAnswer(t *testing.T) {
	p := doubled(t, func(m brokertest.Published, a *brokertest.Answers) {
		if m.Tag <= 4 {
			a.Ack(m.Tag, false)
		}
	}, func(o *Options) { o.SettleTimeout = 50 * time.Millisecond })
	l := newLedger(t, 100, 8)
	ctx, cancel := context.WithCancelCause(t.Context())
	batch, _ := l.batch(nowhere, false)
	stuck := func(ctx context.Context, n int) error { <-ctx.Done(); return ctx.Err() }
	for _, commit := range []func(context.Context, int) error{nil, stuck} {
		l.commit = commit
		done := make(chan error)
		go func() { done <- p.Send(ctx, batch) }()
		waitFor(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.widest == 8 })
		cancel(fault.ErrShutdown)
		err := <-done
		o, ok := errors.AsType[*Outcome](err)
		if !ok || o.Unknown+o.Repeats+o.Committed < 8 || (commit == nil) != (o.Kind == Stopped) {
			t.Errorf("Send: %v, %+v", err, o)
		}
		l = newLedger(t, 100, 8)
		ctx, cancel = context.WithCancelCause(t.Context())
		batch, _ = l.batch(nowhere, false)
	}
	cancel(nil)
	if err := p.Send(ctx, batch); !fault.Is(err, fault.Shutdown) {
		t.Errorf("Send after the end: %v", err)
	}
}

// TestStopByATime: the deadline of an orderly stop bounds the wait, whatever the settle timeout is.
func TestStopByATime(t *testing.T) {
	var arrived atomic.Int64 // only then it is certain that all eight were published
	p := doubled(t, func(brokertest.Published, *brokertest.Answers) { arrived.Add(1) }, func(o *Options) { o.SettleTimeout = time.Hour })
	for _, left := range []time.Duration{50 * time.Millisecond, -time.Second} {
		arrived.Store(0)
		l := newLedger(t, 100, 8)
		ctx, cancel := context.WithCancelCause(t.Context())
		batch, _ := l.batch(nowhere, false)
		done := make(chan error)
		go func() { done <- p.Send(ctx, batch) }()
		waitFor(t, func() bool { return arrived.Load() == 8 })
		cancel(fault.ShutdownBy(time.Now().Add(left)))
		err := <-done // for ever, if the deadline did not count
		o, ok := errors.AsType[*Outcome](err)
		if !ok || o.Kind != Stopped || !fault.Is(err, fault.Shutdown) || o.Unknown != 8 {
			t.Errorf("Send: %v, %+v", err, o)
		}
	}
}

// TestClose ends a batch that is being sent, and no goroutine is left.
func TestClose(t *testing.T) {
	var arrived atomic.Int64 // only then it is certain that all eight were published
	p := doubled(t, func(m brokertest.Published, a *brokertest.Answers) { arrived.Add(1) })
	l := newLedger(t, 100, 8)
	batch, _ := l.batch(nowhere, false)
	done := make(chan error)
	go func() { done <- p.Send(t.Context(), batch) }()
	waitFor(t, func() bool { return arrived.Load() == 8 })
	p.Close(t.Context())
	o, ok := errors.AsType[*Outcome](<-done)
	if !ok || o.Kind != ConnectionLost || o.Unknown != 8 {
		t.Errorf("Send: %v", o)
	}
	for _, err := range []error{p.Send(t.Context(), batch), p.Check(t.Context(), "", "")} {
		if !errors.Is(err, errClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	p.Close(t.Context()) // again
	goleak.VerifyNone(t, goleak.IgnoreAnyFunction("threatmatch-connector/internal/brokertest.(*Double).serve"),
		goleak.IgnoreAnyFunction("threatmatch-connector/internal/brokertest.(*Double).accept"),
		goleak.IgnoreAnyFunction("threatmatch-connector/internal/brokertest.(*Answers).beat"),
		goleak.IgnoreAnyFunction("threatmatch-connector/internal/brokertest.(*Node).boot.func1"))
}

// TestNoGoroutineStays compares the goroutines before and after batches of every outcome.
func TestNoGoroutineStays(t *testing.T) {
	p := doubled(t, func(m brokertest.Published, a *brokertest.Answers) {
		if m.Seq%17 == 16 {
			a.Nack(m.Tag, false)
			return
		}
		a.Ack(m.Tag, false)
	})
	run := func() {
		l := newLedger(t, 100, 8)
		l.drive(p, nowhere, func(*Outcome) {})
	}
	run()
	before := runtime.NumGoroutine()
	for range 20 {
		run()
	}
	waitFor(t, func() bool { return runtime.NumGoroutine() <= before })
}

// TestSetBroker: the next batch goes to the new address.
func TestSetBroker(t *testing.T) {
	var first, second int
	p := doubled(t, func(m brokertest.Published, a *brokertest.Answers) { first++; a.Ack(m.Tag, false) })
	other := brokertest.NewDouble(t, func(m brokertest.Published, a *brokertest.Answers) { second++; a.Ack(m.Tag, false) })
	for range 2 {
		newLedger(t, 5, 2).drive(p, nowhere, func(o *Outcome) { t.Fatal(o) })
	}
	p.SetBroker(Broker{Host: other.Host, Port: other.Port})
	newLedger(t, 5, 2).drive(p, nowhere, func(o *Outcome) { t.Fatal(o) })
	if first != 10 || second != 5 {
		t.Errorf("%d and %d messages", first, second)
	}
}

// TestBlocked: being blocked is reported, and is not an outcome.
func TestBlocked(t *testing.T) {
	states := make(chan State, 10)
	unblock := make(chan struct{})
	p := doubled(t, func(m brokertest.Published, a *brokertest.Answers) {
		if m.Seq == at {
			a.Block()
			go func() { <-unblock; a.Unblock(); a.Ack(m.Tag, false) }()
			return
		}
		a.Ack(m.Tag, false)
	}, func(o *Options) {
		o.ConfirmTimeout = 40 * time.Millisecond // being blocked is not silence
		o.OnState = func(s State) { states <- s }
	})
	l := newLedger(t, 60, 1)
	done := make(chan totals)
	go func() { done <- l.drive(p, nowhere, func(o *Outcome) { t.Error(o) }) }()
	for _, want := range []State{StateConnected, StateBlocked} {
		if got := <-states; got != want {
			t.Errorf("state %v, want %v", got, want)
		}
	}
	select {
	case <-done:
		t.Error("the batch ended while blocked")
	case <-time.After(200 * time.Millisecond):
		close(unblock)
		<-done
	}
	if got := <-states; got != StateConnected {
		t.Errorf("state %v at the end", got)
	}
}

// TestUnreachable has everything that can be wrong before a message is published.
func TestUnreachable(t *testing.T) {
	d := brokertest.NewDouble(t, acking)
	proxy := brokertest.NewProxy(t, d.Host, d.Port)
	tests := []struct {
		name  string
		b     Broker
		setUp func()
		hint  string
	}{
		{name: "nobody there", b: Broker{Host: "127.0.0.1", Port: 1}},
		{name: "no such host", b: Broker{Host: "broker.invalid", Port: 5672}, hint: "MQ_HOST"},
		{name: "hangs up", b: Broker{Host: proxy.Host, Port: proxy.Port}, setUp: proxy.Refuse},
		{name: "silent", b: Broker{Host: proxy.Host, Port: proxy.Port}, setUp: func() { proxy.Heal(); proxy.Stall() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.setUp != nil {
				tt.setUp()
			}
			p := newPublisher(t, Options{Broker: tt.b, DialTimeout: 300 * time.Millisecond})
			batch, _ := newLedger(t, 3, 2).batch(nowhere, false)
			err := p.Send(t.Context(), batch)
			o, ok := errors.AsType[*Outcome](err)
			if !ok || o.Kind != ConnectionLost || !fault.Is(err, fault.Transient) || o.Unknown+o.Committed+o.Repeats != 0 || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("Send: %v, hint %q", err, fault.HintOf(err))
			}
			if strings.Contains(err.Error(), "password") && strings.Contains(err.Error(), "refused") {
				t.Errorf("blames the credentials: %v", err)
			}
		})
	}
}

// TestRandom: whatever a broker does in whatever order, nothing is lost and the outcomes account for every repeat.
func TestRandom(t *testing.T) {
	for range 40 {
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 1))
		window := 1 + random.IntN(12)
		s := &scripted{t: t}
		play := anything(s, random, window)
		p := doubled(t, play, func(o *Options) { o.ConfirmTimeout = 20 * time.Millisecond })
		l := newLedger(t, 60, window)
		l.quiet = true
		sum := l.drive(p, nowhere, func(*Outcome) {})
		l.arrived(s.queue, sum)
		if t.Failed() {
			t.Fatalf("seed %d, window %d", seed, window)
		}
	}
}

// anything answers at random for 100 messages, and correctly after that, so that an import ends.
func anything(s *scripted, random *rand.Rand, window int) func(brokertest.Published, *brokertest.Answers) {
	var open []brokertest.Published // taken and not answered
	return func(p brokertest.Published, a *brokertest.Answers) {
		if p.Tag == 1 {
			open = nil
		}
		n := random.IntN(100)
		if p.Seq >= 100 {
			n = 100
		}
		switch {
		case n < 4:
			a.Nack(p.Tag, false)
			return
		case n < 8:
			a.Return(p)
			a.Ack(p.Tag, false)
			return
		case n < 10:
			a.CloseChannel(404, "NOT_FOUND - no exchange")
			return
		case n < 12:
			a.CloseConnection(320, "CONNECTION_FORCED")
			return
		case n < 14:
			a.Cut()
			return
		}
		s.take(p)
		open = append(open, p)
		if n < 60 && len(open) < window {
			return
		}
		random.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
		for _, m := range open {
			a.Ack(m.Tag, false)
		}
		open = nil
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

// TestBlockedIsToldWhileABatchIsSent: the sender learns of an alarm that was already on, and of none after the batch
// has ended.
func TestBlockedIsToldWhileABatchIsSent(t *testing.T) {
	p := doubled(t, acking)
	var got []bool
	p.setState(StateBlocked)
	batch, _ := newLedger(t, 3, 1).batch(nowhere, false)
	batch.Blocked = func(on bool) { got = append(got, on) }
	if err := p.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	p.setState(StateBlocked)
	if want := []bool{true, false}; !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}
