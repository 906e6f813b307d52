package brokertest

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// VHost is a virtual host with a user of its own, removed with its test.
type VHost struct {
	Node     *Node
	Name     string
	User     string
	Password string

	tb testing.TB
}

// Topology names what the OpenCTI platform declares for a connector and
// answers at register.
type Topology struct {
	Exchange, Key, Queue string
}

// VHost makes a virtual host for one test.
func (n *Node) VHost(tb testing.TB) *VHost {
	tb.Helper()
	name := "t" + strconv.FormatUint(rand.Uint64(), 36)
	v := &VHost{Node: n, Name: name, User: name, Password: "p?w/" + name, tb: tb}
	v.api(http.MethodPut, "/vhosts/"+name, nil, nil)
	v.SetPassword(v.Password)
	v.Permit(".*", ".*", ".*")
	tb.Cleanup(func() {
		// The node may be down by now, on purpose.
		_ = n.admin.call(context.Background(), http.MethodDelete, "/vhosts/"+name, nil, nil)
		_ = n.admin.call(context.Background(), http.MethodDelete, "/users/"+name, nil, nil)
	})
	return v
}

// URL is the address of this virtual host, with its credentials.
func (v *VHost) URL() string {
	return amqp.URI{Scheme: "amqp", Host: v.Node.Host, Port: v.Node.Port, Username: v.User, Password: v.Password, Vhost: v.Name}.String()
}

// SetPassword changes the user's password on the broker; open connections stay.
func (v *VHost) SetPassword(password string) {
	v.tb.Helper()
	v.Password = password
	v.api(http.MethodPut, "/users/"+v.User, map[string]string{"password": password, "tags": ""}, nil)
}

// Permit sets the user's configure, write and read patterns.
func (v *VHost) Permit(configure, write, read string) {
	v.tb.Helper()
	v.api(http.MethodPut, "/permissions/"+v.Name+"/"+v.User,
		map[string]string{"configure": configure, "write": write, "read": read}, nil)
}

// Policy sets a policy on the queues whose names match pattern, such as
// {"max-length": 10, "overflow": "reject-publish"}; ClearPolicy removes it.
func (v *VHost) Policy(pattern string, definition map[string]any) {
	v.tb.Helper()
	v.api(http.MethodPut, "/policies/"+v.Name+"/test",
		map[string]any{"pattern": pattern, "definition": definition, "apply-to": "queues"}, nil)
}

// ClearPolicy removes what Policy set.
func (v *VHost) ClearPolicy() {
	v.tb.Helper()
	v.api(http.MethodDelete, "/policies/"+v.Name+"/test", nil, nil)
}

// CloseConnections closes every connection to this virtual host from the
// broker's side, as an operator does.
func (v *VHost) CloseConnections() {
	v.tb.Helper()
	if v.Node.scripts != "" {
		v.Node.Ctl(v.tb, "close_all_connections", "--vhost", v.Name, "closed by the test")
		return
	}
	// A broker that is not ours lists its connections some seconds late.
	var found []struct{ Name string }
	for deadline := time.Now().Add(30 * time.Second); len(found) == 0; time.Sleep(50 * time.Millisecond) {
		if v.api(http.MethodGet, "/vhosts/"+v.Name+"/connections", nil, &found); time.Now().After(deadline) {
			v.tb.Fatal("no connection to close")
		}
	}
	for _, c := range found {
		v.api(http.MethodDelete, "/connections/"+url.PathEscape(c.Name), nil, nil)
	}
}

// Dial opens a connection of the test's own, closed with it.
func (v *VHost) Dial() *amqp.Connection {
	v.tb.Helper()
	c, err := amqp.Dial(v.URL())
	if err != nil {
		v.tb.Fatalf("dial RabbitMQ: %v", err)
	}
	v.tb.Cleanup(func() { _ = c.CloseDeadline(time.Now().Add(2 * time.Second)) })
	return c
}

// Channel runs f on a channel and connection of its own.
func (v *VHost) Channel(f func(*amqp.Channel) error) {
	v.tb.Helper()
	c, err := amqp.Dial(v.URL())
	if err != nil {
		v.tb.Fatalf("dial RabbitMQ: %v", err)
	}
	defer c.Close()
	ch, err := c.Channel()
	if err == nil {
		err = f(ch)
	}
	if err != nil {
		v.tb.Fatal(err)
	}
}

// Declare makes what the OpenCTI platform declares for a connector: a direct
// exchange and a durable queue of the type ("classic" or "quorum").
func (v *VHost) Declare(connectorID, queueType string) Topology {
	v.tb.Helper()
	t := Topology{Exchange: "amqp.worker.exchange", Key: "push_routing_" + connectorID, Queue: "push_" + connectorID}
	v.Channel(func(ch *amqp.Channel) error {
		if err := ch.ExchangeDeclare(t.Exchange, "direct", true, false, false, false, nil); err != nil {
			return err
		}
		args := amqp.Table{"x-queue-type": queueType, "name": connectorID}
		if _, err := ch.QueueDeclare(t.Queue, true, false, false, false, args); err != nil {
			return err
		}
		return ch.QueueBind(t.Queue, t.Key, t.Exchange, false, nil)
	})
	return t
}

// DeleteQueue deletes a queue with what is in it.
func (v *VHost) DeleteQueue(queue string) {
	v.tb.Helper()
	v.Channel(func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(queue, false, false, false)
		return err
	})
}

// Depth returns the number of messages ready in a queue.
func (v *VHost) Depth(queue string) (depth int) {
	v.tb.Helper()
	v.Channel(func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		depth = q.Messages
		return err
	})
	return depth
}

// Drain takes every message out of a queue, in order.
func (v *VHost) Drain(queue string) (all []amqp.Delivery) {
	v.tb.Helper()
	v.Channel(func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		if err != nil || q.Messages == 0 {
			return err
		}
		in, err := ch.Consume(queue, "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		quiet := time.NewTimer(10 * time.Second)
		defer quiet.Stop()
		for len(all) < q.Messages {
			select {
			case d, ok := <-in:
				if !ok {
					return amqp.ErrClosed
				}
				all = append(all, d)
			case <-quiet.C:
				v.tb.Errorf("drain %s: %d of %d messages came", queue, len(all), q.Messages)
				return nil
			}
			// A quorum queue hands out no more than 2,000 before an ack.
			if len(all)%500 == 0 || len(all) == q.Messages {
				if err := ch.Ack(all[len(all)-1].DeliveryTag, true); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return all
}

func (v *VHost) api(method, path string, in, out any) {
	v.tb.Helper()
	if err := v.Node.admin.call(context.Background(), method, path, in, out); err != nil {
		v.tb.Fatal(err)
	}
}
