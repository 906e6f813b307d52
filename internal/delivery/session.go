package delivery

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"threatmatch-connector/internal/fault"
)

// session is one connection with at most one publishing channel.
type session struct {
	broker Broker
	link   *link
	conn   *amqp.Connection
	gone   chan struct{} // closed when the connection has ended

	ch      *amqp.Channel
	returns chan amqp.Return
	closed  chan *amqp.Error // why the channel ended
	window  int              // capacity of returns

	mu      sync.Mutex
	blocked bool
	changed func() // called on every change of blocked, and at the end
}

// dial connects and authenticates. The error is a *dialError.
func dial(ctx context.Context, b Broker, opt Options, name string) (*session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, opt.DialTimeout, errSilent)
	defer cancel()
	addr := net.JoinHostPort(b.Host, strconv.Itoa(b.Port))
	fail := func(err error, l *link) (*session, error) {
		var seen error
		if l != nil {
			if seen = l.err(); isAlert(seen) {
				err = seen
			}
			_ = l.Close()
		}
		return nil, &dialError{addr, dialVerdict(err, seen), err}
	}
	if opt.TLS.Required && !b.UseTLS {
		return nil, &dialError{addr, verdict{kind: BadTLS, class: fault.Systemic, hint: hintClear}, errClear}
	}
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return fail(err, nil)
	}
	l := newLink(raw, opt.DialTimeout) // no heartbeats yet; RabbitMQ refuses credentials after three seconds
	stop := context.AfterFunc(ctx, func() { _ = l.fail(context.Cause(ctx)) })
	defer stop()
	var transport net.Conn = l
	if b.UseTLS {
		conf := opt.tls.Clone()
		if conf.ServerName == "" {
			conf.ServerName = b.Host
		}
		client := tls.Client(l, conf)
		if err := client.HandshakeContext(ctx); err != nil {
			return fail(err, l)
		}
		transport = newTLSLink(client, l)
	}
	conn, err := amqp.Open(transport, config(b, opt, name))
	if err != nil {
		return fail(err, l)
	}
	l.expect(2 * opt.Heartbeat)
	return &session{broker: b, link: l, conn: conn, gone: make(chan struct{})}, nil
}

func config(b Broker, opt Options, name string) amqp.Config {
	props := amqp.NewConnectionProperties()
	props["connection_name"] = name
	props["product"] = "threatmatch-connector"
	return amqp.Config{
		SASL:       []amqp.Authentication{&amqp.PlainAuth{Username: b.User, Password: b.Password}},
		Vhost:      b.VHost,
		Heartbeat:  opt.Heartbeat,
		FrameSize:  128 << 10, // RabbitMQ's own default and upper limit
		Locale:     "en_US",
		Properties: props,
	}
}

// dialError is an error of connecting, with its classification.
type dialError struct {
	addr    string
	verdict verdict
	err     error
}

func (e *dialError) Error() string {
	return fmt.Sprintf("connect to RabbitMQ at %s: %v", e.addr, e.err)
}
func (e *dialError) Unwrap() error { return e.err }

// watch tracks the blocked state until the connection ends. It starts the connection's own goroutine.
func (s *session) watch(report func(State)) {
	blocks := s.conn.NotifyBlocked(make(chan amqp.Blocking, 1))
	closes := s.conn.NotifyClose(make(chan *amqp.Error, 1))
	go func() {
		defer close(s.gone)
		for {
			select {
			case b, ok := <-blocks:
				if !ok {
					blocks = nil
					continue
				}
				s.setBlocked(b.Active)
				if b.Active {
					report(StateBlocked)
				} else {
					report(StateConnected)
				}
			case <-closes:
				report(StateReconnecting)
				s.setBlocked(false)
				return
			}
		}
	}()
}

func (s *session) setBlocked(on bool) {
	s.mu.Lock()
	s.blocked = on
	changed := s.changed
	s.mu.Unlock()
	if changed != nil {
		changed()
	}
}

func (s *session) isBlocked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blocked
}

// onChange sets the function that is called on changes; nil removes it.
func (s *session) onChange(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = f
}

// open makes sure that there is a channel in confirm mode whose returns have room for a whole window: the library
// drops what does not fit, and the message would look confirmed.
func (s *session) open(ctx context.Context, window int) error {
	if s.ch != nil && !s.ch.IsClosed() && s.window >= window {
		return nil
	}
	// Opening waits for the broker for as long as that lives.
	stop := context.AfterFunc(ctx, func() { _ = s.link.fail(context.Cause(ctx)) })
	defer stop()
	if s.ch != nil {
		_ = s.ch.Close()
		s.ch = nil
	}
	ch, err := s.conn.Channel()
	if err != nil {
		return err
	}
	s.closed = ch.NotifyClose(make(chan *amqp.Error, 1))
	s.returns = ch.NotifyReturn(make(chan amqp.Return, window))
	if err := ch.Confirm(false); err != nil {
		return err
	}
	s.ch, s.window = ch, window
	return nil
}

// dead reports whether the connection has ended.
func (s *session) dead() bool { return s.conn.IsClosed() || s.link.err() != nil }

// close closes the connection, giving the broker patience to answer, and waits for the connection's goroutine.
func (s *session) close(patience time.Duration) {
	if s.dead() {
		_ = s.link.Close()
	}
	_ = s.conn.CloseDeadline(time.Now().Add(patience))
	_ = s.link.Close()
	<-s.gone
}
