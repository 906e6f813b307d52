// Package worker is a double of OpenCTI's worker: it consumes the queues of the
// connectors that a platform stand-in knows, checks every message as strictly
// as the platform or more so, keeps the ids that the platform would hold, and
// reports expectations.
//
// It tells two things apart: what the platform would refuse (counted and
// reported to the work as an error, the object not stored), and what breaks a
// rule of this project without being refused. Both are violations.
package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"threatmatch-connector/internal/sim/opencti"
)

// Options say how the worker behaves. AMQPURL and Platform are required.
type Options struct {
	AMQPURL  string
	Platform *opencti.Server
	// Parallel is how many messages of a queue are worked on at a time, as by so
	// many worker processes; zero means 1.
	Parallel int
	// Prefetch of each consumer; zero means 100. A real worker's is 1.
	Prefetch int
	// Look is how often new queues are looked for; a real worker's is a minute. Zero means 200 ms.
	Look time.Duration
	// MissingRetries and RetryDelay say how often and after what time an object is
	// tried again whose references are unknown; zero means 4 and 5 ms, a real
	// worker waits 1 to 3 s.
	MissingRetries int
	RetryDelay     time.Duration
	// Delay is how long the import of a message takes.
	Delay time.Duration
	// Known are objects that the platform has already: ids with their kinds,
	// which for most are the STIX types.
	Known map[string]string
	// NoWorks accepts messages without a work.
	NoWorks bool
	// Policy also holds the rules of this project that no platform enforces: an
	// author and a marking on all that can have one, no older copy after a newer.
	Policy bool
	// CountOnly acknowledges and counts without reading, for measurements.
	CountOnly bool
	// MaxObject is the greatest size of an object's JSON; zero means 12 MB.
	MaxObject int
	// OnObject is told of each stored object. It must not block.
	OnObject func(Object)
	// Log is told of connections; nil is none.
	Log *slog.Logger
}

// Object is one object as it was taken from the queue.
type Object struct {
	ID, Work string
	JSON     []byte
}

// Worker is one double. Make it with New.
type Worker struct {
	opt   Options
	facts *platformFacts

	mu     sync.Mutex // guards what follows
	store  store
	counts Counts
	found  []Violation
	works  map[string]*workCount
	unseen map[string]int // messages held of a queue
	denied map[string]int // refused on purpose, by type
	lanes  int
	behave Behaviour
	wake   chan struct{} // closed when behave changes

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Behaviour can be changed while the worker runs.
type Behaviour struct {
	// Paused: nothing is consumed.
	Paused bool `json:"paused"`
	// Drop: messages are taken and never reported, as by a worker that dies on each.
	Drop bool `json:"drop"`
	// Delay is added to Options.Delay.
	Delay time.Duration `json:"delay"`
	// Refuse says by STIX type, or by "relationship " and a type of those, what the
	// platform answers instead of importing an object, up to RefuseMost of a type;
	// zero means all. These are no violations.
	Refuse     map[string]string `json:"refuse,omitempty"`
	RefuseMost int               `json:"refuse_most,omitempty"`
}

// New prepares a worker and tells the platform what it holds.
func New(o Options) *Worker {
	if o.Parallel == 0 {
		o.Parallel = 1
	}
	if o.Prefetch == 0 {
		o.Prefetch = 100
	}
	if o.Look == 0 {
		o.Look = 200 * time.Millisecond
	}
	if o.MissingRetries == 0 {
		o.MissingRetries = 4
	}
	if o.RetryDelay == 0 {
		o.RetryDelay = 5 * time.Millisecond
	}
	if o.MaxObject == 0 {
		o.MaxObject = 12_000_000
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	known, err := readFacts(o.Platform.Profile().Version)
	if err != nil {
		panic(err) // the files are part of the program
	}
	w := &Worker{opt: o, facts: known, unseen: map[string]int{}, wake: make(chan struct{})}
	w.Forget()
	o.Platform.SetKnowledge(w.kindOf)
	o.Platform.SetUnacked(func(queue string) int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.unseen[queue]
	})
	return w
}

// Forget empties the store and all counts, as a new platform.
func (w *Worker) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.store, w.counts, w.found, w.works = newStore(), newCounts(), nil, map[string]*workCount{}
	for _, id := range platformMarkings {
		w.store.add(id, "marking-definition")
	}
	for id, kind := range w.opt.Known {
		w.store.add(id, kind)
	}
}

// Start consumes until Close.
func (w *Worker) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.done.Go(func() { w.run(ctx) })
}

// Close stops consuming; messages not yet acknowledged go back to the queue.
func (w *Worker) Close() {
	if w.cancel != nil {
		w.cancel()
		w.done.Wait()
	}
}

// Behave changes the worker's behaviour.
func (w *Worker) Behave(b Behaviour) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.behave, w.denied = b, map[string]int{}
	close(w.wake)
	w.wake = make(chan struct{})
}

// Consuming is how many consumers there are now: 0 some time after a pause.
func (w *Worker) Consuming() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lanes
}

// SetBroker makes the worker use another address or other credentials from its
// next connection on.
func (w *Worker) SetBroker(url string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opt.AMQPURL = url
}

func (w *Worker) broker() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opt.AMQPURL
}

func (w *Worker) behaviour() (Behaviour, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.behave, w.wake
}

// run keeps a connection and consumes whatever queues there are.
func (w *Worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		b, changed := w.behaviour()
		if !b.Paused {
			if err := w.session(ctx); err != nil {
				w.opt.Log.Warn("worker lost the broker", "error", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(w.opt.Look):
		}
	}
}

// session is one connection's life: it ends when the connection does, when the
// worker is paused, or with ctx.
func (w *Worker) session(ctx context.Context) error {
	conn, err := amqp.DialConfig(w.broker(), amqp.Config{Heartbeat: 10 * time.Second, Dial: amqp.DefaultDial(5 * time.Second)})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var consumers sync.WaitGroup
	defer func() {
		cancel()
		_ = conn.Close() // may be gone already
		consumers.Wait()
	}()
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	running := newQueues()
	for {
		b, changed := w.behaviour()
		if b.Paused {
			return nil
		}
		for _, q := range w.opt.Platform.Queues() {
			if !running.claim(q.Name) {
				continue
			}
			consumers.Go(func() {
				defer running.release(q.Name)
				w.consume(ctx, conn, q)
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-closed:
			if err != nil {
				return err
			}
			return nil
		case <-changed:
		case <-time.After(w.opt.Look):
		}
	}
}

// queues are those that are being consumed.
type queues struct {
	mu  sync.Mutex
	set map[string]bool
}

func newQueues() *queues { return &queues{set: map[string]bool{}} }

func (q *queues) claim(name string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.set[name] {
		return false
	}
	q.set[name] = true
	return true
}

func (q *queues) release(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.set, name)
}
