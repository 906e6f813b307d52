// Package delivery publishes messages to RabbitMQ without losing any, and writes the archive directory.
//
// A batch is published with confirms pipelined in a window; progress is the contiguous prefix that the broker
// confirmed and the caller committed. A failure is returned as an Outcome that says from where to continue. Waiting,
// pinging, dead letters and counting are left to the caller.
package delivery

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"threatmatch-connector/internal/fault"
)

// Defaults of Options.
const (
	defaultHeartbeat      = 10 * time.Second
	defaultDialTimeout    = 30 * time.Second
	defaultConfirmTimeout = time.Minute
	closePatience         = 2 * time.Second
)

// State is the state of publishing, for status and metrics.
type State uint8

const (
	// StateReconnecting: there is no connection; the next Send makes one. The zero value.
	StateReconnecting State = iota
	// StateConnected: the broker takes messages.
	StateConnected
	// StateBlocked: the broker reads nothing until its memory or disk alarm ends.
	StateBlocked
	// StateNacked: the broker's last answer was a refusal.
	StateNacked
)

// String returns the name for logs and metrics.
func (s State) String() string {
	return [...]string{"reconnecting", "connected", "blocked", "nacked"}[min(s, StateNacked)]
}

// Broker says where RabbitMQ is and as whom we log in.
type Broker struct {
	Host   string
	Port   int
	VHost  string
	UseTLS bool
	User   string
	// Password never reaches a log.
	Password string
}

// LogValue leaves the password out.
func (b Broker) LogValue() slog.Value {
	return slog.GroupValue(slog.String("host", b.Host), slog.Int("port", b.Port), slog.String("vhost", b.VHost),
		slog.Bool("tls", b.UseTLS), slog.String("user", b.User))
}

// Options is what New needs. Every field may be zero.
type Options struct {
	// Broker may be set later, by SetBroker.
	Broker Broker
	// TLS is used if Broker.UseTLS is set.
	TLS TLS
	// Name is what the broker shows for the connection.
	Name string
	// Heartbeat interval in whole seconds; a peer that is silent for two is dead. Zero: 10s.
	Heartbeat time.Duration
	// DialTimeout covers TCP, TLS and AMQP together. Zero: 30s.
	DialTimeout time.Duration
	// SettleTimeout is how long Send waits at most, once its context has ended, for the broker to answer what was
	// published; less if the context's cause is a fault.ShutdownBy that leaves less.
	SettleTimeout time.Duration
	// ConfirmTimeout is how long a broker that is alive and not blocked may leave messages unanswered; then the
	// connection is cut and their fate is unknown. Zero: 1m.
	ConfirmTimeout time.Duration
	// OnState is called with every change. It must return soon and must not call the publisher. It may be called from
	// any goroutine, one call at a time.
	OnState func(State)

	tls *tls.Config
}

// Publisher holds one long-lived connection, made when it is first needed and again after it was lost. It is safe for
// concurrent use; batches are sent one after the other. Close it.
type Publisher struct {
	opt     Options
	sending chan struct{} // holds a token while a batch is sent

	mu      sync.Mutex
	broker  Broker
	session *session
	closed  bool

	stateMu sync.Mutex    // one callback at a time
	state   atomic.Uint32 // a State
	blocked func(bool)    // callback of the batch being sent; under stateMu
}

// New checks the options and loads the TLS files. It does not connect.
func New(opt Options) (*Publisher, error) {
	conf, err := opt.TLS.config()
	if err != nil {
		return nil, fault.Mark(fault.Fatal, err)
	}
	opt.tls = conf
	opt.Heartbeat = max(time.Second, cmp.Or(opt.Heartbeat, defaultHeartbeat))
	opt.DialTimeout = cmp.Or(opt.DialTimeout, defaultDialTimeout)
	opt.ConfirmTimeout = cmp.Or(opt.ConfirmTimeout, defaultConfirmTimeout)
	return &Publisher{opt: opt, sending: make(chan struct{}, 1), broker: opt.Broker}, nil
}

// SetBroker changes the address or the credentials. A batch being sent keeps its connection; the next one connects
// anew if anything differs.
func (p *Publisher) SetBroker(b Broker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broker = b
}

// Close ends the connection, and with it a batch that is still being sent. When it returns, no goroutine of the
// publisher is left. It waits for the broker's part of closing until ctx's deadline, two seconds at most.
func (p *Publisher) Close(ctx context.Context) {
	p.mu.Lock()
	s := p.session
	p.session, p.closed = nil, true
	p.mu.Unlock()
	if s == nil {
		return
	}
	patience := closePatience
	if at, ok := ctx.Deadline(); ok {
		patience = max(0, min(patience, time.Until(at)))
	}
	s.close(patience)
}

// connected returns a live session with an open channel.
func (p *Publisher) connected(ctx context.Context, window int) (*session, error) {
	s, err := p.connection(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx, window); err != nil {
		p.drop(s)
		return nil, fmt.Errorf("open channel: %w", err)
	}
	return s, nil
}

// connection returns the session for the current broker. Only the goroutine that sends calls it.
func (p *Publisher) connection(ctx context.Context) (*session, error) {
	p.mu.Lock()
	s, broker, closed := p.session, p.broker, p.closed
	p.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if s != nil {
		if !s.dead() && s.broker == broker {
			return s, nil
		}
		p.drop(s)
	}
	p.setState(StateReconnecting)
	s, err := dial(ctx, broker, p.opt, p.opt.Name)
	if err != nil {
		return nil, err
	}
	p.setState(StateConnected)
	s.watch(p.setState)
	p.mu.Lock()
	closed = p.closed
	if !closed {
		p.session = s
	}
	p.mu.Unlock()
	if closed {
		s.close(closePatience)
		return nil, errClosed
	}
	return s, nil
}

// drop ends a session that is not usable any more.
func (p *Publisher) drop(s *session) {
	p.mu.Lock()
	mine := p.session == s
	if mine {
		p.session = nil
	}
	p.mu.Unlock()
	if mine { // else Close has it
		s.close(closePatience)
	}
}

func (p *Publisher) setState(state State) {
	p.stateMu.Lock()
	defer p.stateMu.Unlock()
	was := State(p.state.Swap(uint32(state)))
	if was == state {
		return
	}
	if p.opt.OnState != nil {
		p.opt.OnState(state)
	}
	if p.blocked != nil && (was == StateBlocked || state == StateBlocked) {
		p.blocked(state == StateBlocked)
	}
}

// watchBlocked sets the function that is called about the broker's alarms, at once if one is on; nil removes it.
func (p *Publisher) watchBlocked(f func(bool)) {
	p.stateMu.Lock()
	defer p.stateMu.Unlock()
	if p.blocked = f; f != nil && State(p.state.Load()) == StateBlocked {
		f(true)
	}
}

// acked ends StateNacked.
func (p *Publisher) acked() {
	if State(p.state.Load()) == StateNacked {
		p.setState(StateConnected)
	}
}

// lock waits until no other batch is being sent.
func (p *Publisher) lock(ctx context.Context) error {
	select {
	case p.sending <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *Publisher) unlock() { <-p.sending }

// unsent returns the outcome of a batch of which nothing was published.
func unsent(ctx context.Context, err error) *Outcome {
	if ctx.Err() != nil {
		return &Outcome{Kind: Stopped, Err: context.Cause(ctx)}
	}
	if errors.Is(err, errClosed) {
		return &Outcome{Kind: Stopped, Err: fault.Mark(fault.Fatal, err)}
	}
	v := verdict{kind: ConnectionLost, class: fault.Transient}
	if d, ok := errors.AsType[*dialError](err); ok {
		v = d.verdict
	}
	return &Outcome{Kind: v.kind, Err: v.mark(ctx, err)}
}
