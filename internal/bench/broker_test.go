package bench

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"threatmatch-connector/internal/brokertest"
)

// inFlight is how many confirms the bare publisher waits for.
const inFlight = 1000

// bare publishes n messages with as little as a publisher can do that wants to
// know that each was taken: mandatory, persistent, confirms in a window. It
// returns how long that took once it was connected.
func bare(b *testing.B, node *brokertest.Node, bodies [][]byte, n int) (took time.Duration) {
	v := node.VHost(b)
	to := v.Declare("bare", "classic")
	defer v.DeleteQueue(to.Queue)
	v.Channel(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		began := time.Now()
		window := make([]*amqp.DeferredConfirmation, inFlight)
		for i := range n + inFlight {
			at := i % inFlight
			if window[at] != nil && !window[at].Wait() {
				b.Fatal("not confirmed")
			}
			window[at] = nil
			if i >= n {
				continue
			}
			var err error
			window[at], err = ch.PublishWithDeferredConfirm(to.Exchange, to.Key, true, false,
				amqp.Publishing{DeliveryMode: amqp.Persistent, ContentEncoding: "utf-8", Body: bodies[i%len(bodies)]})
			if err != nil {
				return err
			}
		}
		took = time.Since(began)
		return nil
	})
	return took
}

// bodies takes messages out of the connector's queue, a sample of what it sent.
func (w *world) bodies(n int) (out [][]byte) {
	w.vhost.Channel(func(ch *amqp.Channel) error {
		for range n {
			d, ok, err := ch.Get(queue, true)
			if err != nil || !ok {
				return err
			}
			out = append(out, d.Body)
		}
		return nil
	})
	if len(out) == 0 {
		w.b.Fatal("the queue is empty")
	}
	return out
}

// depth follows the queue until it holds n messages and returns when. It asks
// on one channel, seldom enough not to be felt.
func (w *world) depth(n int, every time.Duration) (at time.Time) {
	w.b.Helper()
	conn, err := amqp.Dial(w.vhost.URL())
	must(w.b, err)
	defer conn.Close()
	var ch *amqp.Channel
	wait(w.b, "the queue fills", every, func() bool {
		if ch == nil || ch.IsClosed() { // there is no queue before the connector is registered
			ch, err = conn.Channel()
			must(w.b, err)
		}
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		at = time.Now()
		return err == nil && q.Messages >= n
	})
	return at
}
