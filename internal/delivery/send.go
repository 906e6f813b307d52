package delivery

import (
	"context"
	"errors"

	"threatmatch-connector/internal/fault"
)

// Message is one message to publish.
type Message struct {
	// ID is the AMQP message id, unique within the batch. "" means the index.
	ID string
	// Body must not change until the next call of Batch.Next.
	Body []byte
}

// Batch is a sequence of messages with the caller's cursor.
type Batch struct {
	Exchange, RoutingKey string
	// Window is how many messages may be published and not yet covered by a
	// Committed that has returned. 1 sends one at a time, and so does less.
	Window int
	// Next returns the next message, or io.EOF. It is called from the goroutine that called Send.
	Next func() (Message, error)
	// Committed makes durable that the first n messages of the batch are confirmed. n grows with each call. It is
	// called from one goroutine, in steps, while publishing continues. Its context outlives Send's by the settle
	// timeout. May be nil.
	Committed func(ctx context.Context, n int) error
	// Blocked is called, from any goroutine, when the broker stops reading (a memory or disk alarm) and when it
	// continues. May be nil.
	Blocked func(blocked bool)
}

// Send publishes a batch: mandatory, persistent, confirmed. It returns nil when every message was confirmed and
// committed, else an *Outcome, after the broker has answered what was published or the connection has ended.
//
// While the broker blocks publishers (memory or disk alarm), Send waits and reports StateBlocked. When ctx ends it
// stops publishing and waits for answers no longer than the settle timeout. When it returns, only the connection's
// own goroutine is left.
func (p *Publisher) Send(ctx context.Context, b Batch) error {
	b.Window = max(1, b.Window)
	if err := p.lock(ctx); err != nil {
		return &Outcome{Kind: Stopped, Err: err}
	}
	defer p.unlock()
	p.watchBlocked(b.Blocked)
	defer p.watchBlocked(nil)
	s, err := p.connected(ctx, b.Window)
	if err != nil {
		return unsent(ctx, err)
	}
	f := newFlight(p, s, b)
	if err := f.run(ctx); err != nil {
		return f.outcome(ctx, err)
	}
	return nil
}

// outcome says what became of a batch that was not sent as a whole.
func (f *flight) outcome(ctx context.Context, cause error) *Outcome {
	o := &Outcome{
		Index: f.confirmed, Committed: f.committed,
		Repeats: f.acked - f.committed, Unknown: len(f.unknown), Err: cause,
	}
	switch {
	case f.commitErr != nil:
		o.Kind, o.Index = CommitFailed, f.committed
	case f.nacked:
		o.Kind = Nacked
		o.Err = fault.Hint(fault.Mark(fault.Transient, errNacked), hintFull)
	case f.returned:
		o.Kind = Returned
		o.Err = fault.Hint(fault.Mark(fault.Transient, errReturned), hintTopology)
	case f.abandoned || errors.Is(cause, errStopped):
		o.Kind = Stopped
		o.Err = context.Cause(ctx)
	case f.sourceErr != nil:
		o.Kind = SourceFailed
	default:
		f.lost(ctx, o)
	}
	if o.Kind == Nacked {
		f.p.setState(StateNacked)
	}
	return o
}

// lost fills in the outcome of an ended channel or connection.
func (f *flight) lost(ctx context.Context, o *Outcome) {
	v, limit, err := closedBy(f.closeReason(), f.s.link.err())
	if v.kind == TooLarge {
		if i, ok := f.oversize(limit); ok {
			// The broker reads in order: nothing after the message was taken.
			o.Index, o.Limit = i, limit
			o.Unknown = 0
			for _, e := range f.unknown {
				if e.index < i {
					o.Unknown++
				}
			}
		} else {
			v.kind, v.class = ConnectionLost, fault.Transient
		}
	}
	o.Kind, o.Err = v.kind, v.mark(context.WithoutCancel(ctx), err)
}

// oversize finds the message that is over the limit: the first one that is, or the largest if the broker named no
// limit.
func (f *flight) oversize(limit int64) (index int, found bool) {
	var largest int64 = -1
	for _, e := range f.unknown {
		if limit > 0 && int64(e.size) > limit {
			return e.index, true
		}
		if limit == 0 && int64(e.size) > largest {
			index, largest = e.index, int64(e.size)
		}
	}
	return index, largest >= 0
}
