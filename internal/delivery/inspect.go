package delivery

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// QueueDepth returns the number of messages that are ready in a queue, as the broker itself reports it.
//
// It uses a connection of its own, since a broker under an alarm answers nothing on one that has published.
func (p *Publisher) QueueDepth(ctx context.Context, queue string) (int, error) {
	depth := 0
	err := p.inspect(ctx, func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		depth = q.Messages
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read depth of queue %s: %w", queue, err)
	}
	return depth, nil
}

// Check connects and checks that exchange and queue exist, without publishing or declaring anything. Either may be
// "".
func (p *Publisher) Check(ctx context.Context, exchange, queue string) error {
	return p.inspect(ctx, func(ch *amqp.Channel) error {
		if exchange != "" {
			if err := ch.ExchangeDeclarePassive(exchange, amqp.ExchangeDirect, true, false, false, false, nil); err != nil {
				return fmt.Errorf("look for exchange %s: %w", exchange, err)
			}
		}
		if queue != "" {
			if _, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil); err != nil {
				return fmt.Errorf("look for queue %s: %w", queue, err)
			}
		}
		return nil
	})
}

// inspect runs f on a channel of a connection of its own.
func (p *Publisher) inspect(ctx context.Context, f func(*amqp.Channel) error) error {
	p.mu.Lock()
	broker, closed := p.broker, p.closed
	p.mu.Unlock()
	if closed {
		return errClosed
	}
	s, err := dial(ctx, broker, p.opt, p.opt.Name+" (inspection)")
	if err != nil {
		return unsent(ctx, err).Err
	}
	s.watch(func(State) {})
	defer s.close(closePatience)
	stop := context.AfterFunc(ctx, func() { _ = s.link.fail(context.Cause(ctx)) })
	defer stop()
	ch, err := s.conn.Channel()
	if err == nil {
		err = f(ch)
	}
	if err == nil {
		return nil
	}
	reply, _ := errors.AsType[*amqp.Error](err)
	v, _, _ := closedBy(reply, s.link.err())
	return v.mark(ctx, err)
}
