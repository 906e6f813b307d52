package opencti

import (
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Connection is what register tells a connector about the broker.
type Connection struct {
	Host     string
	VHost    string
	UseSSL   bool
	Port     int
	User     string
	Password string
}

// broker declares what the platform declares. One connection, made when needed.
type broker struct {
	queueType string
	change    func(*Connection)

	mu     sync.Mutex // short: the platform's own lock may be held
	prefix string
	url    string
	told   Connection

	line sync.Mutex // held while the broker is spoken to, however long that takes
	conn *amqp.Connection
}

func newBroker(o Options) (*broker, error) {
	b := &broker{queueType: o.QueueType, change: o.Connection}
	if err := b.use(o.AMQPURL); err != nil {
		return nil, err
	}
	b.rename(o.QueuePrefix)
	if b.queueType == "" {
		b.queueType = "classic"
	}
	return b, nil
}

// use takes another address or other credentials from now on.
func (b *broker) use(url string) error {
	u, err := amqp.ParseURI(url)
	if err != nil {
		return fmt.Errorf("read the broker's address: %w", err)
	}
	b.close()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.url = url
	b.told = Connection{Host: u.Host, VHost: u.Vhost, UseSSL: u.Scheme == "amqps", Port: u.Port, User: u.Username, Password: u.Password}
	if b.change != nil {
		b.change(&b.told)
	}
	return nil
}

func (b *broker) connection() Connection {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told
}

// names are the objects of one connector.
type names struct {
	listen, listenRouting, push, pushRouting string
}

func (b *broker) names(id string) names {
	p := b.prefixed()
	return names{p + "listen_" + id, p + "listen_routing_" + id, p + "push_" + id, p + "push_routing_" + id}
}

func (b *broker) connectorExchange() string { return b.prefixed() + "amqp.connector.exchange" }
func (b *broker) workerExchange() string    { return b.prefixed() + "amqp.worker.exchange" }

func (b *broker) prefixed() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.prefix
}

// rename takes another prefix of all names; what was declared stays.
func (b *broker) rename(prefix string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prefix = ""
	if prefix != "" {
		b.prefix = prefix + "_"
	}
}

// with runs f on a channel of its own, on a connection that is made anew when
// the last one is gone.
func (b *broker) with(f func(*amqp.Channel) error) error {
	b.line.Lock()
	defer b.line.Unlock()
	if b.conn == nil || b.conn.IsClosed() {
		conn, err := amqp.DialConfig(b.address(), amqp.Config{Heartbeat: 10 * time.Second, Dial: amqp.DefaultDial(5 * time.Second)})
		if err != nil {
			return err
		}
		b.conn = conn
	}
	ch, err := b.conn.Channel()
	if err != nil {
		_ = b.conn.Close()
		b.conn = nil
		return err
	}
	err = f(ch)
	_ = ch.Close() // closed already when f failed
	return err
}

func (b *broker) address() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.url
}

// declare makes the exchanges, queues and bindings of a connector, as the
// platform does on register and on every ping.
func (b *broker) declare(id, name, kind string, scope []string) error {
	n := b.names(id)
	list := make([]any, len(scope))
	for i, s := range scope {
		list[i] = s
	}
	args := amqp.Table{
		"name": name, "x-queue-type": b.queueType,
		"config": amqp.Table{"id": id, "type": kind, "scope": list},
	}
	connectors, workers := b.connectorExchange(), b.workerExchange()
	return b.with(func(ch *amqp.Channel) error {
		for _, exchange := range []string{connectors, workers} {
			if err := ch.ExchangeDeclare(exchange, amqp.ExchangeDirect, true, false, false, false, nil); err != nil {
				return err
			}
		}
		for _, q := range []struct{ queue, key, exchange string }{
			{n.listen, n.listenRouting, connectors},
			{n.push, n.pushRouting, workers},
		} {
			if _, err := ch.QueueDeclare(q.queue, true, false, false, false, args); err != nil {
				return err
			}
			if err := ch.QueueBind(q.queue, q.key, q.exchange, false, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// queue publishes messages for workers, persistent, and waits until the broker has them.
func (b *broker) queue(id string, bodies [][]byte) error {
	return b.with(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		var sent []*amqp.DeferredConfirmation
		for _, body := range bodies {
			c, err := ch.PublishWithDeferredConfirm(b.workerExchange(), b.names(id).pushRouting, false, false,
				amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body})
			if err != nil {
				return err
			}
			sent = append(sent, c)
		}
		closed := ch.NotifyClose(make(chan *amqp.Error, 1))
		for _, c := range sent {
			select {
			case <-c.Done():
				if !c.Acked() {
					return errors.New("the broker refuses a message: its queue is full")
				}
			case err := <-closed:
				return fmt.Errorf("channel closed: %w", err)
			}
		}
		return nil
	})
}

// depth is how many messages wait in a queue; 0 when it cannot be asked.
func (b *broker) depth(queue string) int {
	n := 0
	_ = b.with(func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		n = q.Messages
		return err
	})
	return n
}

func (b *broker) purge(id string) error {
	n := b.names(id)
	return b.with(func(ch *amqp.Channel) error {
		_, err := ch.QueuePurge(n.push, false)
		if err == nil {
			_, err = ch.QueuePurge(n.listen, false)
		}
		return err
	})
}

func (b *broker) remove(id string) error {
	n := b.names(id)
	return errors.Join(
		b.with(func(ch *amqp.Channel) error { _, err := ch.QueueDelete(n.push, false, false, false); return err }),
		b.with(func(ch *amqp.Channel) error { _, err := ch.QueueDelete(n.listen, false, false, false); return err }),
	)
}

func (b *broker) close() {
	b.line.Lock()
	defer b.line.Unlock()
	if b.conn != nil {
		_ = b.conn.Close() // may be cut already
		b.conn = nil
	}
}
