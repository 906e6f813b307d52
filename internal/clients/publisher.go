package clients

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/opencti"
)

// Watcher observes publishing, for metrics. Its methods must not block.
type Watcher interface {
	// Changed is called with each new state of the connection.
	Changed(delivery.State)
	// Sent is called at the end of each batch with the time that it took.
	Sent(took time.Duration, err error)
}

// Publisher is the RabbitMQ publisher that the settings describe, observed by a Watcher.
type Publisher struct {
	*delivery.Publisher
	cfg     *config.Config
	log     *slog.Logger
	watcher Watcher
	clock   func() time.Time
	sending atomic.Bool               // a batch is being sent
	now     atomic.Uint32             // the latest delivery.State
	lost    atomic.Pointer[time.Time] // when the connection was lost; nil while connected, and before the first connection
	tried   atomic.Bool               // Send was called
	failed  atomic.Bool               // the last batch was not sent as a whole
	warned  atomic.Bool               // the warning about a password in clear was logged
}

// NewPublisher returns the publisher that the settings describe. It does not connect yet. The caller closes it.
func NewPublisher(c *config.Config, log *slog.Logger, clock func() time.Time, w Watcher) (*Publisher, error) {
	p := &Publisher{cfg: c, log: log, watcher: w, clock: clock}
	pub, err := delivery.New(delivery.Options{
		Name: c.Connector.Name + " " + c.Connector.ID, OnState: p.onState, TLS: BrokerTLS(c.MQ),
		SettleTimeout: c.Connector.DrainTimeout,
	})
	p.Publisher = pub
	return p, err
}

// State describes the connection for people.
func (p *Publisher) State() string {
	if !p.tried.Load() {
		return "not connected, as nothing was to be sent yet"
	}
	state := delivery.State(p.now.Load())
	if state != delivery.StateReconnecting || p.sending.Load() {
		return state.String()
	}
	lost := ""
	if at := p.lost.Load(); at != nil {
		lost = " (lost at " + at.UTC().Format("2006-01-02 15:04:05Z") + ")"
	}
	if p.failed.Load() {
		return "not connected" + lost + "; trying again"
	}
	return "not connected" + lost + "; connects with the next message"
}

// onState records the state of the connection, and when it was lost.
func (p *Publisher) onState(s delivery.State) {
	was := delivery.State(p.now.Swap(uint32(s)))
	switch at := p.clock(); {
	case s != delivery.StateReconnecting:
		p.lost.Store(nil)
	case was != delivery.StateReconnecting:
		p.lost.Store(&at)
	}
	p.watcher.Changed(s)
}

// SetBroker sets the broker that OpenCTI names. Our own MQ_* settings win. It warns once if the password would go
// over the network unencrypted.
func (p *Publisher) SetBroker(b opencti.Broker) {
	to := Broker(p.cfg.MQ, b)
	if InClear(p.cfg, to) && !p.warned.Swap(true) {
		p.log.Warn("the broker's password goes over the network in clear", "broker", to,
			"hint", "OpenCTI is reached by https, its broker without TLS: set MQ_USE_SSL, if the broker supports TLS")
	}
	p.Publisher.SetBroker(to)
}

// Send publishes a batch; see delivery.Publisher.Send.
func (p *Publisher) Send(ctx context.Context, b delivery.Batch) error {
	p.sending.Store(true)
	p.tried.Store(true)
	defer p.sending.Store(false)
	began := p.clock()
	err := p.Publisher.Send(ctx, b)
	p.failed.Store(err != nil)
	p.watcher.Sent(p.clock().Sub(began), err)
	return err
}
