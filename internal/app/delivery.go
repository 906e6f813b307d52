package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/pipeline"
)

// publisher lets deliver send through the RabbitMQ publisher.
type publisher struct {
	pub     *delivery.Publisher
	met     *brokerMetrics
	blocked atomic.Pointer[func(bool)] // of the batch under way
	sending atomic.Bool                // a batch is under way
	now     atomic.Uint32              // the latest delivery.State
	lost    atomic.Pointer[time.Time]  // when the connection was lost; nil while there is one, and before the first
	tried   atomic.Bool                // something was to be sent
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

// onState passes the broker's blocking on to the batch under way.
func (p *publisher) onState(s delivery.State) {
	was := delivery.State(p.now.Swap(uint32(s)))
	switch at := p.met.clock(); {
	case s != delivery.StateReconnecting:
		p.lost.Store(nil)
	case was != delivery.StateReconnecting:
		p.lost.Store(&at)
	}
	p.met.changed(s)
	if f := p.blocked.Load(); f != nil && *f != nil {
		(*f)(s == delivery.StateBlocked)
	}
}

// Send implements pipeline.Publisher.
func (p *publisher) Send(ctx context.Context, b pipeline.Batch) error {
	p.pub.SetBroker(broker(b.To))
	p.blocked.Store(&b.Blocked)
	p.sending.Store(true)
	p.tried.Store(true)
	defer func() {
		p.blocked.Store(nil)
		p.sending.Store(false)
	}()
	began := p.met.clock()
	err := p.pub.Send(ctx, delivery.Batch{
		Exchange: b.To.Exchange, RoutingKey: b.To.RoutingKey, Window: b.Window,
		Next: func() (delivery.Message, error) {
			m, err := b.Next()
			return delivery.Message(m), err
		},
		Committed: b.Committed,
	})
	p.met.sent(p.met.clock().Sub(began), err)
	out, ok := errors.AsType[*delivery.Outcome](err)
	if !ok {
		return err
	}
	kind, ok := sendKinds[out.Kind]
	if !ok {
		kind = pipeline.SendAborted
	}
	return &pipeline.SendError{
		Kind: kind, Index: out.Index, Limit: out.Limit,
		Acked: int64(out.Repeats), Unknown: int64(out.Unknown), Err: out.Err,
	}
}

// sendKinds are the outcomes that stand for something about the messages;
// the others are errors of the source, the spool, or the end.
var sendKinds = map[delivery.Kind]pipeline.SendKind{
	delivery.ConnectionLost: pipeline.SendLost,
	delivery.BadTLS:         pipeline.SendLost,
	delivery.Nacked:         pipeline.SendNacked,
	delivery.Returned:       pipeline.SendReturned,
	delivery.NoExchange:     pipeline.SendRefused,
	delivery.AccessRefused:  pipeline.SendRefused,
	delivery.TooLarge:       pipeline.SendTooLarge,
}

// Depth implements pipeline.Publisher.
func (p *publisher) Depth(ctx context.Context, to pipeline.Registration) (int64, error) {
	p.pub.SetBroker(broker(to))
	n, err := p.pub.QueueDepth(ctx, to.Queue)
	return int64(n), err
}

func broker(to pipeline.Registration) delivery.Broker {
	b := to.Broker
	return delivery.Broker{Host: b.Host, Port: b.Port, VHost: b.VHost, UseTLS: b.TLS, User: b.User, Password: b.Password}
}

// newEnvelope returns deliver's function for message bodies. It keeps a buffer,
// so it is for one goroutine.
func newEnvelope() func(dst []byte, e pipeline.Envelope) ([]byte, error) {
	var object []byte
	return func(dst []byte, e pipeline.Envelope) ([]byte, error) {
		body, ok := bytes.CutSuffix(e.Object, []byte("}"))
		if !ok {
			return nil, fmt.Errorf("object %d of %s is no JSON object", e.Sequence, e.BundleID)
		}
		object = append(object[:0], body...)
		object = append(object, `,"nb_deps":`...)
		object = strconv.AppendUint(object, uint64(e.Deps), 10)
		object = append(object, '}')
		return delivery.AppendEnvelope(dst, delivery.Envelope{
			ApplicantID: e.Applicant, WorkID: e.WorkID, Update: e.Update,
			Sequence: e.Sequence, BundleID: e.BundleID, Deps: e.Deps,
		}, object), nil
	}
}

// archive lets deliver write bundles into the directory.
type archive struct{ dir *delivery.Directory }

// Write implements pipeline.Archive.
func (a archive) Write(ctx context.Context, b pipeline.ArchiveBundle) error {
	return a.dir.Write(ctx, delivery.DirectoryBundle{
		ID: b.ID, ApplicantID: b.Applicant, Update: b.Update, CommittedAt: b.Time,
	}, b.Objects)
}
