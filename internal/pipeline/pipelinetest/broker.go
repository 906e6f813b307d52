package pipelinetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/opencti"
)

// SendEvent is what happens to a published message; the zero value is an ack.
type SendEvent struct {
	Kind    delivery.Kind
	Trouble bool
	Behind  int   // nack, return: messages after it that the broker accepts nevertheless
	Open    int   // lost, too large: messages before it whose confirms are lost with it
	Err     error // cause
	Blocked bool  // the broker reads nothing before it happens
}

// Broker is a scripted broker. It confirms in small steps; messages of unknown fate
// are accepted or lost at random.
type Broker struct {
	Mu       sync.Mutex
	cti      *OpenCTI
	Events   []SendEvent // one for each of the next publishes; acks when used up
	Limit    int         // bytes of a body; 0: none
	Queue    []delivery.Envelope
	All      map[string]int // by object: how often it was enqueued
	order    []string       // object ids in the order of their first arrival
	sends    int
	Rand     *rand.Rand
	step     func() error
	NoDepth  bool // the user may not look at the queue
	ReadyNow int
	Hang     bool          // the broker does not answer until the context ends
	Slow     time.Duration // delay for each message
	TooLarge int           // messages over the limit
	// Refuses says why OpenCTI refuses an object, "" if it accepts it; nil: it
	// accepts everything.
	Refuses func(object json.RawMessage) string
	// Worked is called for each message that a worker took from the queue:
	// imported, refused for a reason, or dropped with its work.
	Worked  func(object json.RawMessage, refusal string, dropped bool)
	Workers int // workers that take messages at the same time; 0: one
}

func newBroker(cti *OpenCTI, seed uint64) *Broker {
	b := &Broker{cti: cti, All: map[string]int{}, Rand: rand.New(rand.NewPCG(seed, 1)), step: func() error { return nil }}
	cti.onPush = b.pushed
	cti.onPurge = func() {
		b.Mu.Lock()
		defer b.Mu.Unlock()
		b.Queue = nil
	}
	return b
}

// do lets a test read or change the broker while others use it.
func (b *Broker) do(look func()) {
	b.Mu.Lock()
	defer b.Mu.Unlock()
	look()
}

// opened decodes a message's body as a worker does.
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

func (b *Broker) enqueue(m delivery.Message) {
	e, err := opened(m.Body)
	if err != nil {
		b.cti.wrong("message of %s: %v", m.ID, err)
		return
	}
	b.cti.arrived(e)
	b.Queue = append(b.Queue, e)
	if b.All[m.ID]++; b.All[m.ID] == 1 {
		b.order = append(b.order, m.ID)
	}
}

func (b *Broker) event(m delivery.Message) SendEvent {
	if b.Limit > 0 && len(m.Body) > b.Limit {
		b.TooLarge++
		return SendEvent{Kind: delivery.TooLarge, Trouble: true, Open: b.Rand.IntN(4), Err: errors.New("406")}
	}
	if len(b.Events) == 0 {
		return SendEvent{}
	}
	e := b.Events[0]
	b.Events = b.Events[1:]
	return e
}

// Send implements Publisher: a window of up to eight messages.
func (b *Broker) Send(ctx context.Context, batch delivery.Batch) error {
	if err := b.step(); err != nil {
		return &delivery.Outcome{Kind: delivery.ConnectionLost, Index: -1, Err: err}
	}
	b.Mu.Lock()
	b.sends++
	spins := b.sends > 5000
	b.Mu.Unlock()
	if spins {
		b.cti.wrong("deliver called Send %d times", b.sends)
		<-ctx.Done()
	}
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
		if b.Hang {
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
		b.Mu.Lock()
		e := b.event(m)
		if !e.Trouble {
			b.enqueue(m)
			published++
			b.Mu.Unlock()
			b.cti.wait()
			time.Sleep(b.Slow)
			if err := b.step(); err != nil {
				return aborted(err, published-committed)
			}
			continue
		}
		b.Mu.Unlock()
		return b.trouble(ctx, batch, e, m, published, committed, commit)
	}
}

// trouble ends a batch at the message m, after the given number of published ones.
func (b *Broker) trouble(ctx context.Context, batch delivery.Batch, e SendEvent, m delivery.Message, published, committed int, commit func(int) error) error {
	out := &delivery.Outcome{Kind: e.Kind, Index: published, Err: e.Err}
	if out.Err == nil {
		out.Err = errors.New(e.Kind.String())
	}
	if e.Blocked {
		batch.Blocked(true)
	}
	switch e.Kind {
	case delivery.Nacked, delivery.Returned:
		for range e.Behind {
			next, err := batch.Next()
			if err != nil {
				break
			}
			b.Mu.Lock()
			b.enqueue(next)
			b.Mu.Unlock()
			out.Repeats++
		}
		if err := commit(published); err != nil {
			out.Kind, out.Err = delivery.Stopped, err
		}
	case delivery.TooLarge:
		out.Limit = int64(b.Limit)
		out.Unknown = b.lose(published, committed, e.Open, commit)
	case delivery.ConnectionLost, delivery.AccessRefused:
		unknown := b.lose(published, committed, e.Open, commit)
		if e.Kind == delivery.ConnectionLost {
			b.Mu.Lock()
			if b.Rand.IntN(2) == 0 { // the message that failed may have arrived as well
				b.enqueue(m)
			}
			b.Mu.Unlock()
			unknown++
		}
		out.Unknown = unknown
	}
	return out
}

// lose commits all but the last open messages and returns how many are left.
func (b *Broker) lose(published, committed, open int, commit func(int) error) int {
	n := max(committed, published-open)
	if commit(n) != nil {
		return published - committed
	}
	return published - n
}

func (b *Broker) SetBroker(opencti.Broker) {}

func (b *Broker) QueueDepth(ctx context.Context, _ string) (int, error) {
	b.Mu.Lock()
	defer b.Mu.Unlock()
	if b.NoDepth {
		return 0, fault.Mark(fault.Systemic, errors.New("403 access refused"))
	}
	return max(b.ReadyNow, len(b.Queue)), ctx.Err()
}

// some returns a random number below n.
func (b *Broker) some(n int) int {
	b.Mu.Lock()
	defer b.Mu.Unlock()
	return b.Rand.IntN(n)
}

// WorkOff lets workers process up to n messages and returns how many they dropped.
func (b *Broker) WorkOff(n int) int {
	dropped := 0
	for ; n > 0; n-- {
		e, ok := b.next()
		if !ok {
			break
		}
		if b.split(e) {
			continue
		}
		refusal := ""
		if b.Refuses != nil {
			refusal = b.Refuses(e.Object)
		}
		imported := b.cti.Consume(e, refusal)
		if !imported {
			dropped++
		}
		if b.Worked != nil {
			b.Worked(e.Object, refusal, !imported)
		}
	}
	return dropped
}

// next takes a message from the queue: the first or, with several workers, one of
// those that they hold.
func (b *Broker) next() (delivery.Envelope, bool) {
	b.Mu.Lock()
	defer b.Mu.Unlock()
	if len(b.Queue) == 0 {
		return delivery.Envelope{}, false
	}
	at := 0
	if held := min(b.Workers, len(b.Queue)); held > 1 {
		at = b.Rand.IntN(held)
	}
	e := b.Queue[at]
	b.Queue = slices.Delete(slices.Clone(b.Queue), at, at+1)
	return e, true
}

// Nacks are n publishes that the broker refuses.
func Nacks(n int) []SendEvent {
	out := make([]SendEvent, n)
	for i := range out {
		out[i] = SendEvent{Kind: delivery.Nacked, Trouble: true}
	}
	return out
}

// Purge empties the queue.
func (b *Broker) Purge() {
	b.Mu.Lock()
	defer b.Mu.Unlock()
	b.Queue = nil
}
