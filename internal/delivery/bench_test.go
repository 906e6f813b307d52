package delivery

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"threatmatch-connector/internal/brokertest"
)

const benchWindow = 512

// BenchmarkSend compares Send with a bare pipelined publisher on the same queue, in turns, with windows of the same
// size:
//
//	go test ./internal/delivery -run '^$' -bench Send -benchtime 100000x
func BenchmarkSend(b *testing.B) {
	for _, kind := range []string{"classic", "quorum"} {
		v := brokertest.Shared(b).VHost(b)
		top := v.Declare("c", kind)
		payload := body(0, 2000)
		b.Run(kind, func(b *testing.B) {
			p, err := New(Options{Broker: brokerOf(v)})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close(context.Background())
			// Turns of a tenth each, so that changes in the broker's speed affect both.
			turn := max(1, b.N/10)
			var bare, send time.Duration
			n := 0
			for ; n < b.N; n += turn {
				bare += barePublish(b, v, top, payload, turn)
				purge(b, v, top)
				began := time.Now()
				if err := p.Send(b.Context(), repeat(top, payload, turn)); err != nil {
					b.Fatal(err)
				}
				send += time.Since(began)
				purge(b, v, top)
			}
			b.ReportMetric(float64(n)/send.Seconds(), "sent/s")
			b.ReportMetric(float64(n)/bare.Seconds(), "bare/s")
			b.ReportMetric(bare.Seconds()/send.Seconds(), "ratio")
		})
	}
}

func purge(b *testing.B, v *brokertest.VHost, top brokertest.Topology) {
	v.Channel(func(ch *amqp.Channel) error { _, err := ch.QueuePurge(top.Queue, false); return err })
}

func repeat(top brokertest.Topology, payload []byte, total int) Batch {
	next := 0
	return Batch{
		Exchange: top.Exchange, RoutingKey: top.Key, Window: benchWindow,
		Next: func() (Message, error) {
			if next == total {
				return Message{}, io.EOF
			}
			next++
			return Message{ID: fmt.Sprint(next), Body: payload}, nil
		},
		Committed: func(context.Context, int) error { return nil },
	}
}

// barePublish does the least that a publisher with a window of confirms can do. It returns how long that took once it
// was connected.
func barePublish(b *testing.B, v *brokertest.VHost, top brokertest.Topology, payload []byte, total int) (took time.Duration) {
	v.Channel(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		began := time.Now()
		defer func() { took = time.Since(began) }()
		window := make([]*amqp.DeferredConfirmation, benchWindow)
		for i := range total + len(window) {
			at := i % len(window)
			if window[at] != nil && !window[at].Wait() {
				b.Fatal("nacked")
			}
			window[at] = nil
			if i >= total {
				continue
			}
			dc, err := ch.PublishWithDeferredConfirm(top.Exchange, top.Key, true, false,
				amqp.Publishing{DeliveryMode: amqp.Persistent, ContentEncoding: "utf-8", MessageId: fmt.Sprint(i), Body: payload})
			if err != nil {
				return err
			}
			window[at] = dc
		}
		return nil
	})
	return took
}
