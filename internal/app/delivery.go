package app

import (
	"context"
	"sync/atomic"
	"time"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/opencti"
)

// publisher is the RabbitMQ publisher under our settings, watched.
type publisher struct {
	*delivery.Publisher
	mq      config.MQ
	met     *brokerMetrics
	sending atomic.Bool               // a batch is under way
	now     atomic.Uint32             // the latest delivery.State
	lost    atomic.Pointer[time.Time] // when the connection was lost; nil while there is one, and before the first
	tried   atomic.Bool               // something was to be sent
}

// state names how publishing stands.
func (p *publisher) state() string {
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
	return "not connected" + lost + "; connects with the next message"
}

// onState notes how publishing stands.
func (p *publisher) onState(s delivery.State) {
	was := delivery.State(p.now.Swap(uint32(s)))
	switch at := p.met.clock(); {
	case s != delivery.StateReconnecting:
		p.lost.Store(nil)
	case was != delivery.StateReconnecting:
		p.lost.Store(&at)
	}
	p.met.changed(s)
}

// SetBroker implements pipeline.Publisher. Our own settings go before what
// OpenCTI says about its broker.
func (p *publisher) SetBroker(b opencti.Broker) { p.Publisher.SetBroker(brokerOf(p.mq, b)) }

// Send implements pipeline.Publisher.
func (p *publisher) Send(ctx context.Context, b delivery.Batch) error {
	p.sending.Store(true)
	p.tried.Store(true)
	defer p.sending.Store(false)
	began := p.met.clock()
	err := p.Publisher.Send(ctx, b)
	p.met.sent(p.met.clock().Sub(began), err)
	return err
}
