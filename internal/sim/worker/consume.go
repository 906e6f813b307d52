package worker

import (
	"context"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"threatmatch-connector/internal/sim/opencti"
)

// consume works on one queue until its channels end: the queue was deleted,
// the connection is gone, or ctx ended.
func (w *Worker) consume(ctx context.Context, conn *amqp.Connection, q opencti.Queue) {
	var lanes sync.WaitGroup
	for range w.opt.Parallel {
		lanes.Go(func() { w.lane(ctx, conn, q) })
	}
	lanes.Wait()
}

func (w *Worker) lane(ctx context.Context, conn *amqp.Connection, q opencti.Queue) {
	ch, err := conn.Channel()
	if err != nil {
		return
	}
	defer ch.Close()
	if ch.Qos(w.opt.Prefetch, 0, false) != nil {
		return
	}
	messages, err := ch.ConsumeWithContext(ctx, q.Name, "", false, false, false, false, nil)
	if err != nil {
		return // no such queue yet, or no longer
	}
	w.consuming(1)
	defer w.consuming(-1)
	held := make(chan amqp.Delivery, w.opt.Prefetch) // all that the broker gives before an acknowledgement
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(held)
		for d := range messages {
			w.hold(q.Name, 1)
			held <- d
		}
	})
	defer reader.Wait()
	for d := range held {
		if ctx.Err() == nil { // else not acknowledged: it goes back
			w.settle(ctx, ch, q, d)
		}
		w.hold(q.Name, -1)
	}
}

func (w *Worker) settle(ctx context.Context, ch *amqp.Channel, q opencti.Queue, d amqp.Delivery) {
	ok := w.take(ctx, ch, q, d)
	switch {
	case ctx.Err() != nil:
	case ok:
		_ = d.Ack(false) // fails only with the channel
	default:
		_ = d.Nack(false, false) // lost, as a real worker loses it
	}
}

func (w *Worker) consuming(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lanes += n
}

func (w *Worker) hold(queue string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unseen[queue] += n
}

// take works on one message. False: it is to be nacked without requeue.
func (w *Worker) take(ctx context.Context, ch *amqp.Channel, q opencti.Queue, d amqp.Delivery) bool {
	b, _ := w.behaviour()
	if wait := w.opt.Delay + b.Delay; wait > 0 && !sleep(ctx, wait) {
		return true
	}
	if b.Drop {
		w.mu.Lock()
		w.counts.Dropped++
		w.mu.Unlock()
		return true
	}
	if w.opt.CountOnly {
		w.mu.Lock()
		w.counts.Messages++
		w.counts.Bytes += int64(len(d.Body))
		w.mu.Unlock()
		return true
	}
	return w.message(ctx, q, d, func(body []byte) error {
		return ch.PublishWithContext(ctx, "", q.Name, false, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, ContentEncoding: "utf-8", Body: body})
	})
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
