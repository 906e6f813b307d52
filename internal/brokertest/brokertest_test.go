package brokertest

import (
	"os"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func publish(t *testing.T, v *VHost, top Topology, bodies ...string) {
	t.Helper()
	v.Channel(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		returned := ch.NotifyReturn(make(chan amqp.Return, len(bodies)))
		for _, b := range bodies {
			dc, err := ch.PublishWithDeferredConfirm(top.Exchange, top.Key, true, false,
				amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(b)})
			if err != nil {
				return err
			}
			if !dc.Wait() {
				t.Errorf("%q was not confirmed", b)
			}
			if len(returned) > 0 {
				t.Errorf("%q reached no queue", b)
			}
		}
		return nil
	})
}

// TestVHost shows that what a test needs of the shared node works: messages
// come out in order, and a virtual host is closed off from others.
func TestVHost(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			v := Shared(t).VHost(t)
			top := v.Declare("c-1", kind)
			publish(t, v, top, "a", "b", "c")
			var got string
			for _, d := range v.Drain(top.Queue) {
				got += string(d.Body)
			}
			if got != "abc" || v.Depth(top.Queue) != 0 {
				t.Errorf("drained %q, %d left", got, v.Depth(top.Queue))
			}
			other := Shared(t).VHost(t).Dial()
			mine := v.Dial()
			closed := mine.NotifyClose(make(chan *amqp.Error, 1))
			v.CloseConnections()
			if err := <-closed; err == nil || err.Code != amqp.ConnectionForced {
				t.Errorf("closed with %v", err)
			}
			if other.IsClosed() {
				t.Error("a connection of another virtual host was closed")
			}
		})
	}
}
