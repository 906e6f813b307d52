package delivery

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"threatmatch-connector/internal/brokertest"
)

func TestSendWholeBatch(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		for _, window := range []int{1, 7, 512} {
			t.Run(kind, func(t *testing.T) {
				v := brokertest.Shared(t).VHost(t)
				top := v.Declare("c", kind)
				p := newPublisher(t, Options{Broker: brokerOf(v)})
				l := newLedger(t, 1500, window)
				sum := l.drive(p, top, func(o *Outcome) { t.Fatal(o) })
				l.arrived(numbers(t, v, top.Queue), sum)
			})
		}
	}
}

// TestProperties checks the message properties that OpenCTI's own connectors use.
func TestProperties(t *testing.T) {
	v := brokertest.Shared(t).VHost(t)
	top := v.Declare("c", "classic")
	p := newPublisher(t, Options{Broker: brokerOf(v)})
	l := newLedger(t, 1, 1)
	l.drive(p, top, func(o *Outcome) { t.Fatal(o) })
	d := v.Drain(top.Queue)[0]
	if d.DeliveryMode != amqp.Persistent || d.ContentEncoding != "utf-8" || d.ContentType != "" || d.Priority != 0 ||
		d.Expiration != "" || len(d.Headers) != 0 || d.MessageId != "id-0" || d.Exchange != top.Exchange || d.RoutingKey != top.Key {
		t.Errorf("properties: %+v", d)
	}
}
