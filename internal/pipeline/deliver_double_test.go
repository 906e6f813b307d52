package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/opencti"
)

// sendEvent is what happens to one published message; the zero value is an ack.
type sendEvent struct {
	kind    delivery.Kind
	trouble bool
	behind  int   // nack, return: messages behind it that the broker takes nevertheless
	open    int   // lost, too large: messages before it whose answer is lost with it
	err     error // cause
}

// fakeBroker is a scripted broker. It confirms in small steps, and takes or
// loses what is of unknown fate by chance.
type fakeBroker struct {
	mu       sync.Mutex
	cti      *fakeOpenCTI
	events   []sendEvent // for the next publishes, one each; acks when used up
	limit    int         // bytes of a body; 0: none
	queue    []delivery.Envelope
	all      map[string]int // object → times enqueued
	order    []string       // object ids as they came first
	sends    int
	rand     *rand.Rand
	step     func() error
	depth    int
	hang     bool          // the broker answers nothing until the context ends
	slow     time.Duration // for each message
	blind    bool          // does not say which message was too large
	tooLarge int           // messages over the limit
}

func newFakeBroker(cti *fakeOpenCTI, seed uint64) *fakeBroker {
	b := &fakeBroker{cti: cti, all: map[string]int{}, rand: rand.New(rand.NewPCG(seed, 1)), step: func() error { return nil }}
	cti.onPurge = func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.queue = nil
	}
	return b
}

// do lets a test look at the broker, or change it, while others use it.
func (b *fakeBroker) do(look func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	look()
}

// opened is what a worker reads in a message's body.
func opened(body []byte) (delivery.Envelope, error) {
	var outer struct {
		WorkID   string `json:"work_id"`
		Sequence int    `json:"action_sequence"`
		Content  []byte
	}
	var bundle struct {
		ID      string
		Objects []json.RawMessage
	}
	err := json.Unmarshal(body, &outer)
	if err == nil {
		err = json.Unmarshal(outer.Content, &bundle)
	}
	if err == nil && len(bundle.Objects) != 1 {
		err = fmt.Errorf("%d objects in a message", len(bundle.Objects))
	}
	if err != nil {
		return delivery.Envelope{}, err
	}
	return delivery.Envelope{WorkID: outer.WorkID, Sequence: outer.Sequence, BundleID: bundle.ID, Object: bundle.Objects[0]}, nil
}

func (b *fakeBroker) enqueue(m delivery.Message) {
	e, err := opened(m.Body)
	if err != nil {
		b.cti.wrong("message of %s: %v", m.ID, err)
		return
	}
	b.cti.arrived(e)
	b.queue = append(b.queue, e)
	if b.all[m.ID]++; b.all[m.ID] == 1 {
		b.order = append(b.order, m.ID)
	}
}

func (b *fakeBroker) event(m delivery.Message) sendEvent {
	if b.limit > 0 && len(m.Body) > b.limit {
		b.tooLarge++
		return sendEvent{kind: delivery.TooLarge, trouble: true, open: b.rand.IntN(4), err: errors.New("406")}
	}
	if len(b.events) == 0 {
		return sendEvent{}
	}
	e := b.events[0]
	b.events = b.events[1:]
	return e
}

// Send implements Publisher: a window of up to eight messages.
func (b *fakeBroker) Send(ctx context.Context, batch delivery.Batch) error {
	if err := b.step(); err != nil {
		return &delivery.Outcome{Kind: delivery.ConnectionLost, Index: -1, Err: err}
	}
	b.mu.Lock()
	b.sends++
	b.mu.Unlock()
	window := min(8, batch.Window)
	committed, published := 0, 0
	commit := func(n int) error {
		if n <= committed {
			return nil
		}
		err := batch.Committed(ctx, n)
		if err == nil {
			committed = n
		}
		return err
	}
	aborted := func(err error, acked int) error {
		return &delivery.Outcome{Kind: delivery.Stopped, Index: committed, Repeats: acked, Err: err}
	}
	for {
		if b.hang {
			<-ctx.Done()
			return &delivery.Outcome{Kind: delivery.Stopped, Index: committed, Unknown: published - committed, Err: context.Cause(ctx)}
		}
		if published-committed >= window {
			if err := commit(published - b.some(window)); err != nil {
				return aborted(err, published-committed)
			}
			continue
		}
		m, err := batch.Next()
		if err == io.EOF {
			if err := commit(published); err != nil {
				return aborted(err, published-committed)
			}
			return nil
		}
		if err != nil {
			return errors.Join(commit(published), aborted(err, 0))
		}
		b.mu.Lock()
		e := b.event(m)
		if !e.trouble {
			b.enqueue(m)
			published++
			b.mu.Unlock()
			b.cti.wait()
			time.Sleep(b.slow)
			if err := b.step(); err != nil {
				return aborted(err, published-committed)
			}
			continue
		}
		b.mu.Unlock()
		return b.trouble(ctx, batch, e, m, published, committed, commit)
	}
}

// trouble ends a batch at the message m, the one after published others.
func (b *fakeBroker) trouble(ctx context.Context, batch delivery.Batch, e sendEvent, m delivery.Message, published, committed int, commit func(int) error) error {
	out := &delivery.Outcome{Kind: e.kind, Index: published, Err: e.err}
	if out.Err == nil {
		out.Err = errors.New(e.kind.String())
	}
	switch e.kind {
	case delivery.Nacked, delivery.Returned:
		for range e.behind {
			next, err := batch.Next()
			if err != nil {
				break
			}
			b.mu.Lock()
			b.enqueue(next)
			b.mu.Unlock()
			out.Repeats++
		}
		if err := commit(published); err != nil {
			out.Kind, out.Err = delivery.Stopped, err
		}
	case delivery.TooLarge:
		out.Limit = int64(b.limit)
		if b.blind {
			out.Index, out.Limit = -1, 0
		}
		out.Unknown = b.lose(published, committed, e.open, commit)
	case delivery.ConnectionLost, delivery.AccessRefused:
		unknown := b.lose(published, committed, e.open, commit)
		if e.kind == delivery.ConnectionLost {
			b.mu.Lock()
			if b.rand.IntN(2) == 0 { // the one that it happened to may be there as well
				b.enqueue(m)
			}
			b.mu.Unlock()
			unknown++
		}
		out.Unknown = unknown
	}
	return out
}

// lose commits all but the last open messages and returns how many are left.
func (b *fakeBroker) lose(published, committed, open int, commit func(int) error) int {
	n := max(committed, published-open)
	if commit(n) != nil {
		return published - committed
	}
	return published - n
}

func (b *fakeBroker) SetBroker(opencti.Broker) {}

func (b *fakeBroker) QueueDepth(ctx context.Context, _ string) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(b.depth, len(b.queue)), ctx.Err()
}

// some returns a number below n by chance.
func (b *fakeBroker) some(n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rand.IntN(n)
}

// workOff lets workers process up to n messages; it returns how many of them
// they dropped.
func (b *fakeBroker) workOff(n int) int {
	b.mu.Lock()
	n = min(n, len(b.queue))
	queue := b.queue[:n]
	b.queue = b.queue[n:]
	b.mu.Unlock()
	dropped := 0
	for _, e := range queue {
		if !b.cti.work(e) {
			dropped++
		}
	}
	return dropped
}
