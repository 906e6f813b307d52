package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"syscall"

	amqp "github.com/rabbitmq/amqp091-go"

	"threatmatch-connector/internal/fault"
)

var (
	errClosed     = errors.New("publisher closed")
	errNacked     = errors.New("the broker did not take the message")
	errReturned   = errors.New("no queue is bound for the routing key")
	errSilent     = errors.New("no sign of life from the broker")
	errUnanswered = errors.New("the broker does not answer to messages")
	errClear      = errors.New("the settings ask for TLS, and this broker would get the password in clear")
	errStopped    = errors.New("stopped") // before everything was published
)

const (
	hintFull     = "the queue is full: OpenCTI's workers must catch up; sending continues by itself"
	hintTopology = "the platform declares exchange and queue at the next register or ping; sending continues by itself"
	hintAccess   = "check the broker's user, its permissions on the virtual host and MQ_USER, MQ_PASS, MQ_VHOST"
	hintSize     = "raise max_message_size on RabbitMQ and retry the dead letter"
	hintClear    = "OpenCTI names a broker without TLS: set MQ_USE_SSL=true and the TLS port in MQ_PORT, or unset MQ_USE_SSL_CA, MQ_USE_SSL_CERT and MQ_USE_SSL_KEY"
	hintTLSPort  = "is the port a TLS port? check MQ_USE_SSL and MQ_PORT"
	hintClient   = "the broker wants another client certificate: check MQ_USE_SSL_CERT and MQ_USE_SSL_KEY"
)

// settings are what hints about the connection mention.
var settings = fault.Settings{Address: "MQ_HOST and MQ_PORT", Authority: "MQ_USE_SSL_CA", TLS: "MQ_USE_SSL and MQ_PORT"}

type verdict struct {
	kind  Kind
	class fault.Class
	hint  string
	words string // "": those of the error
}

// byReply says what an AMQP reply code means that closed a channel or connection. Other codes mean a lost connection.
var byReply = map[int]verdict{
	amqp.AccessRefused:      {kind: AccessRefused, class: fault.Systemic, hint: hintAccess},
	amqp.NotAllowed:         {kind: AccessRefused, class: fault.Systemic, hint: hintAccess},
	amqp.NotFound:           {kind: NoExchange, class: fault.Systemic, hint: hintTopology},
	amqp.ContentTooLarge:    {kind: TooLarge, class: fault.Permanent, hint: hintSize},
	amqp.ConnectionForced:   {kind: ConnectionLost, class: fault.Transient, words: "it closed the connection, because it is shutting down or an administrator closed it"},
	amqp.PreconditionFailed: {kind: ConnectionLost, class: fault.Systemic}, // unless a message is too large: see closedBy
}

// tooLarge matches RabbitMQ's text for a message over max_message_size; before 3.13 it lacks "configured".
var tooLarge = regexp.MustCompile(`message size \d+ is larger than (?:configured )?max size (\d+)`)

// closedBy classifies the reason that ended a channel. limit is the size in bytes of the broker's largest message, 0
// if the reason does not name it.
func closedBy(e *amqp.Error, link error) (v verdict, limit int64, err error) {
	if e == nil || !e.Server {
		err = cmp.Or(link, error(cmp.Or(e, amqp.ErrClosed)))
		return lostLink(err), 0, err
	}
	if m := tooLarge.FindStringSubmatch(e.Reason); m != nil {
		limit, _ = strconv.ParseInt(m[1], 10, 64)
		return verdict{kind: TooLarge, class: fault.Permanent, hint: hintSize}, limit, e
	}
	v, ok := byReply[e.Code]
	if !ok {
		v = verdict{kind: ConnectionLost, class: fault.Transient}
	}
	return v, 0, e
}

// lostLink classifies the end of a connection for which the broker gave no reason.
func lostLink(err error) verdict {
	v := verdict{kind: ConnectionLost, class: fault.Transient}
	const hint = "check whether the server was restarted, or a firewall closes connections"
	switch {
	case errors.Is(err, errSilent):
		v.words, v.hint = "no sign of life from the server, so the connection was closed", hint
	case errors.Is(err, io.EOF):
		v.words, v.hint = "the server ended the connection", hint
	default:
		v.words, v.hint = fault.Network(err, settings)
	}
	return v
}

// dialVerdict classifies an error of connecting. link is what the transport saw: RabbitMQ refuses credentials by
// hanging up, but the library takes any end of the conversation at that point, even a timeout, for a refusal.
func dialVerdict(err, link error) verdict {
	if v, ok := tlsVerdict(err); ok {
		return v
	}
	if e, ok := errors.AsType[*amqp.Error](err); ok {
		hungUp := errors.Is(link, io.EOF) || errors.Is(link, syscall.ECONNRESET)
		if v, ok := byReply[e.Code]; ok && (e.Server || hungUp) {
			return v
		}
	}
	if errors.Is(err, amqp.ErrSASL) {
		return verdict{kind: AccessRefused, class: fault.Systemic, hint: "the broker offers no PLAIN authentication"}
	}
	v := verdict{kind: ConnectionLost, class: fault.Transient}
	if v.words, v.hint = fault.Network(err, settings); v.words != "" {
		return v
	}
	if e, ok := errors.AsType[*amqp.Error](err); ok && !e.Server {
		v.hint = hintTLSPort // whatever listens there, it does not speak AMQP in clear
	}
	return v
}

// tlsVerdict classifies an error of TLS; false if err is none.
func tlsVerdict(err error) (verdict, bool) {
	v := verdict{kind: BadTLS, class: fault.Systemic, hint: hintClient}
	if isAlert(err) {
		return v, true
	}
	v.words, v.hint = fault.Network(err, settings)
	return v, fault.BadTLS(err)
}

// isAlert reports whether the broker refused our side of TLS, mostly our certificate.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

// mark gives err the verdict's class and hint. If the caller gave up, it returns the cause of that: the broker did
// not fail.
func (v verdict) mark(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	words := v.words
	if e, ok := errors.AsType[*amqp.Error](err); ok && words == "" {
		words = fmt.Sprintf("%s (%d)", e.Reason, e.Code)
	}
	err = fault.Hint(fault.Mark(v.class, err), v.hint)
	if words != "" {
		err = fault.Say(err, "RabbitMQ: "+words)
	}
	return err
}
