package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"threatmatch-connector/internal/fault"
)

// flight is one batch being sent: the caller's goroutine publishes, one settles the broker's answers in order, one
// commits, one watches the context.
type flight struct {
	p       *Publisher
	s       *session
	b       Batch
	step    int        // the least progress worth a commit
	pending chan entry // published, in order, not yet settled
	abandon chan struct{}
	ended   chan struct{} // closed when everything else has ended

	mu        sync.Mutex
	cond      *sync.Cond // changes that a waiting goroutine may wait for
	published int
	confirmed int // contiguous prefix that the broker confirmed
	committed int // contiguous prefix that the caller has committed
	idle      bool
	settled   bool // no further answer will come
	stopping  bool // the context has ended
	failing   bool // publish no more

	answered atomic.Int64 // messages settled, to notice a silent broker

	// Owned by the settling goroutine, read after it has ended.
	acked            int
	unknown          []entry
	broken           bool // a message was not confirmed
	nacked, returned bool // what happened to the first such message
	returnedIDs      map[string]struct{}

	sourceErr, commitErr error
	abandoned            bool
}

// entry is a published message that awaits its answer.
type entry struct {
	index, size int
	id          string
	answer      *amqp.DeferredConfirmation
}

func newFlight(p *Publisher, s *session, b Batch) *flight {
	f := &flight{
		p: p, s: s, b: b,
		step:        max(1, b.Window/4),
		pending:     make(chan entry, b.Window),
		abandon:     make(chan struct{}),
		ended:       make(chan struct{}),
		returnedIDs: make(map[string]struct{}),
	}
	f.cond = sync.NewCond(&f.mu)
	return f
}

// run sends the batch. It returns nil if all of it was sent, else why not.
func (f *flight) run(ctx context.Context) error {
	commitCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	f.s.onChange(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.cond.Broadcast()
	})
	defer f.s.onChange(nil)
	var answers errgroup.Group
	var watcher sync.WaitGroup
	answers.Go(f.settle)
	answers.Go(func() error { return f.commit(commitCtx) })
	watcher.Go(func() { f.watch(ctx, cancel) })
	err := f.publish()
	close(f.pending)
	f.set(func() { f.idle = true })
	f.commitErr = answers.Wait()
	close(f.ended)
	watcher.Wait()
	switch {
	case f.abandoned:
		return errStopped
	case f.commitErr != nil:
		return f.commitErr
	case f.committed < f.published && err == nil:
		return amqp.ErrClosed
	}
	return err
}

// set changes the shared state and wakes everybody who waits for it.
func (f *flight) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	f.cond.Broadcast()
}

// publish sends messages while there is room. It returns nil at the end of the batch.
func (f *flight) publish() (err error) {
	_ = f.s.link.gather(true) // nothing waits yet
	defer func() { err = cmp.Or(err, f.s.link.gather(false)) }()
	for index := 0; ; index++ {
		if err := f.room(); err != nil {
			return err
		}
		m, err := f.b.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			f.sourceErr = err
			return err
		}
		if m.ID == "" {
			m.ID = strconv.Itoa(index)
		}
		answer, err := f.s.ch.PublishWithDeferredConfirm(f.b.Exchange, f.b.RoutingKey, true, false, amqp.Publishing{
			DeliveryMode:    amqp.Persistent,
			ContentEncoding: "utf-8",
			MessageId:       m.ID,
			Body:            m.Body,
		})
		if err != nil {
			// Not written in full, so the broker cannot have it.
			return err
		}
		f.mu.Lock()
		f.published++
		f.mu.Unlock()
		f.pending <- entry{index, len(m.Body), m.ID, answer}
	}
}

// room waits until one more message may be published.
func (f *flight) room() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.stopping:
			return errStopped
		case f.failing, f.s.ch.IsClosed(), f.s.conn.IsClosed():
			return amqp.ErrClosed
		case f.published-f.committed < f.b.Window && !f.s.isBlocked():
			f.idle = false
			return nil
		}
		if f.idle {
			f.cond.Wait()
			continue
		}
		f.idle = true
		f.cond.Broadcast() // commit what is confirmed now
		f.mu.Unlock()
		err := f.s.link.flush()
		f.mu.Lock()
		if err != nil {
			return err
		}
	}
}

// settle takes the broker's answers in the order of publishing.
func (f *flight) settle() error {
	for e := range f.pending {
		select {
		case <-e.answer.Done():
			// The broker sends a return before the ack of the same message.
			f.drainReturns()
			f.settleOne(e)
			f.answered.Add(1)
		case <-f.abandon:
			f.unknown = append(f.unknown, e)
			f.set(func() { f.failing = true })
		}
	}
	f.set(func() { f.settled = true })
	return nil
}

// settleOne settles one message.
func (f *flight) settleOne(e entry) {
	_, returned := f.returnedIDs[e.id]
	first := !f.broken
	switch {
	case e.answer.Acked() && !returned:
		f.acked++
		f.p.acked()
		f.advance(e.index)
		return
	case returned && e.answer.Acked():
		f.returned = f.returned || first
	case f.s.ch.IsClosed():
		// A channel that has ended settles every confirmation as not acked.
		f.unknown = append(f.unknown, e)
	default:
		f.nacked = f.nacked || first
	}
	f.broken = true
	f.set(func() { f.failing = true })
}

// advance extends the confirmed prefix, unless an earlier message was not confirmed.
func (f *flight) advance(index int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if index != f.confirmed {
		return
	}
	f.confirmed++
	if f.due() {
		f.cond.Broadcast()
	}
}

func (f *flight) drainReturns() {
	for {
		select {
		case r, ok := <-f.s.returns:
			if !ok {
				return
			}
			f.returnedIDs[r.MessageId] = struct{}{}
		default:
			return
		}
	}
}

// due reports whether a commit is worth while: a step is confirmed, or nothing more will be. The caller holds mu.
func (f *flight) due() bool {
	n := f.confirmed - f.committed
	return n >= f.step || (n > 0 && (f.settled || (f.idle && f.confirmed == f.published)))
}

// commit reports progress to the caller until everything is settled, or until the caller fails.
func (f *flight) commit(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		for !f.due() && !f.settled {
			f.cond.Wait()
		}
		n := f.confirmed
		if n == f.committed {
			return nil // settled, nothing left
		}
		f.mu.Unlock()
		err := f.report(ctx, n)
		f.mu.Lock()
		if err != nil {
			f.failing = true
			f.cond.Broadcast()
			return err
		}
		f.committed = n
		f.cond.Broadcast()
	}
}

func (f *flight) report(ctx context.Context, n int) error {
	if f.b.Committed == nil {
		return nil
	}
	if err := f.b.Committed(ctx, n); err != nil {
		return fmt.Errorf("commit %d confirmed messages: %w", n, err)
	}
	return nil
}

// watch ends the batch when the context ends: it lets no more messages be published, and no answers be waited for
// after the settle timeout, or after the time by which the stop has to be over.
func (f *flight) watch(ctx context.Context, cancelCommit func()) {
	if f.awaitEnd(ctx) {
		return
	}
	f.set(func() { f.stopping = true })
	patience := f.p.opt.SettleTimeout
	if by, ok := fault.StopBy(ctx); ok {
		patience = min(patience, time.Until(by))
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-f.ended:
	case <-timer.C:
		f.abandoned = true
		close(f.abandon)
		cancelCommit()
		_ = f.s.link.fail(errors.New("given up at the end of the settle timeout")) // ends a write that waits
	}
}

// stallChecks is how many times in a row a stall must be seen.
const stallChecks = 4

// awaitEnd waits for the end of the batch, true, or of the context, false. It cuts the connection if the broker is
// alive but confirms nothing: RabbitMQ 3.10 loses the confirms of messages that reach a quorum queue while its leader
// starts.
func (f *flight) awaitEnd(ctx context.Context) bool {
	tick := time.NewTicker(f.p.opt.ConfirmTimeout / stallChecks)
	defer tick.Stop()
	last, stalled := int64(-1), 0
	for {
		select {
		case <-f.ended:
			return true
		case <-ctx.Done():
			return false
		case <-tick.C:
			now := f.answered.Load()
			if now != last || !f.waiting(now) {
				last, stalled = now, 0
				continue
			}
			if stalled++; stalled >= stallChecks {
				_ = f.s.link.fail(fmt.Errorf("%w for %v", errUnanswered, f.p.opt.ConfirmTimeout))
			}
		}
	}
}

// waiting reports whether the broker owes an answer that nothing delays.
func (f *flight) waiting(answered int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return int64(f.published) > answered && !f.s.isBlocked()
}

// closeReason returns why the channel ended. The library reports it while it closes, before it settles the
// confirmations.
func (f *flight) closeReason() *amqp.Error {
	if !f.s.ch.IsClosed() {
		return nil
	}
	return <-f.s.closed
}
