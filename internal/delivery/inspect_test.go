package delivery

import (
	"context"
	"errors"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/fault"
)

func TestInspect(t *testing.T) {
	v := brokertest.Shared(t).VHost(t)
	top := v.Declare("c", "quorum")
	p := newPublisher(t, Options{Broker: brokerOf(v)})
	newLedger(t, 25, 8).drive(p, top, func(o *Outcome) { t.Fatal(o) })
	waitFor(t, func() bool {
		n, err := p.QueueDepth(t.Context(), top.Queue)
		if err != nil {
			t.Fatal(err)
		}
		return n == 25
	})
	if _, err := p.QueueDepth(t.Context(), "push_other"); !fault.Is(err, fault.Systemic) || fault.HintOf(err) != hintTopology || !strings.Contains(fault.Words(err), "no queue 'push_other'") {
		t.Errorf("depth of no queue: %v", err)
	}
	if err := p.Check(t.Context(), top.Exchange, top.Queue); err != nil {
		t.Errorf("check: %v", err)
	}
	for _, names := range [][2]string{{"other", ""}, {"", "other"}} {
		if err := p.Check(t.Context(), names[0], names[1]); !fault.Is(err, fault.Systemic) || fault.HintOf(err) == "" {
			t.Errorf("check of %q: %v, hint %q", names, err, fault.HintOf(err))
		}
	}
	// Inspecting declared nothing.
	v.Channel(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive("push_other", true, false, false, false, nil)
		if e, ok := errors.AsType[*amqp.Error](err); !ok || e.Code != amqp.NotFound {
			t.Errorf("a queue was declared: %v", err)
		}
		return nil
	})
	if got := v.Depth(top.Queue); got != 25 {
		t.Errorf("%d messages after looking", got)
	}
	// The least permissions that a platform's administrator may give us.
	v.Permit("^$", `^amqp\.worker\.exchange$`, "^$")
	if err := p.Check(t.Context(), top.Exchange, top.Queue); err != nil {
		t.Errorf("check with least permissions: %v", err)
	}
	newLedger(t, 5, 2).drive(p, top, func(o *Outcome) { t.Fatal(o) })

	v.Permit(".*", ".*", ".*")
	b := brokerOf(v)
	b.Password = "wrong"
	p.SetBroker(b)
	if err := p.Check(t.Context(), top.Exchange, ""); !fault.Is(err, fault.Systemic) || fault.HintOf(err) != hintAccess {
		t.Errorf("check with a wrong password: %v", err)
	}
	b = brokerOf(v)
	b.VHost = "other"
	p.SetBroker(b)
	if err := p.Check(t.Context(), top.Exchange, ""); !fault.Is(err, fault.Systemic) || fault.HintOf(err) != hintAccess {
		t.Errorf("check of a wrong virtual host: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fault.ErrShutdown)
	if _, err := p.QueueDepth(ctx, top.Queue); !fault.Is(err, fault.Shutdown) {
		t.Errorf("stopped: %v", err)
	}
}
