package delivery

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"threatmatch-connector/internal/fault"
)

// TestConnectionEnd: the message says in a sentence how the connection ended.
func TestConnectionEnd(t *testing.T) {
	const hint = ": check whether the server was restarted, or a firewall closes connections"
	to := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5672}
	for _, tt := range []struct {
		reply *amqp.Error
		link  error
		want  string
	}{
		{&amqp.Error{Code: 320, Reason: "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'", Server: true}, nil,
			"RabbitMQ: it closed the connection, because it is shutting down or an administrator closed it"},
		{&amqp.Error{Code: 541, Reason: "INTERNAL_ERROR", Server: true}, nil, "RabbitMQ: INTERNAL_ERROR (541)"},
		{nil, io.EOF, "RabbitMQ: the server ended the connection" + hint},
		{&amqp.Error{Code: 501, Reason: "EOF"}, fmt.Errorf("read: %w", io.EOF), "RabbitMQ: the server ended the connection" + hint},
		{nil, fmt.Errorf("%w for 15s: %w", errSilent, os.ErrDeadlineExceeded), "RabbitMQ: no sign of life from the server, so the connection was closed" + hint},
		{nil, &net.OpError{Op: "read", Net: "tcp", Addr: to, Err: os.NewSyscallError("read", syscall.ECONNRESET)},
			"RabbitMQ: the connection at 127.0.0.1:5672 was cut by the other side: check whether the server was restarted, or a proxy or firewall closes connections"},
	} {
		v, _, err := closedBy(tt.reply, tt.link)
		out := &Outcome{Kind: v.kind, Err: v.mark(t.Context(), err)}
		if got := fault.Sentence(out); got != tt.want || v.kind != ConnectionLost || !fault.Is(out, fault.Transient) {
			t.Errorf("%v, %v: got %q, want %q", tt.reply, tt.link, got, tt.want)
		}
	}
}
