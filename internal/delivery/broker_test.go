package delivery

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/fault"
)

const (
	manyMessages = 3000
	failAt       = 1200 // in mid-window, well after the first commits
)

// scene is one fault of a real broker: fail causes it when message failAt is handed out, repair ends it after an
// outcome.
type scene struct {
	t     *testing.T
	v     *brokertest.VHost
	top   brokertest.Topology
	proxy *brokertest.Proxy
	p     *Publisher

	drained []int // what a worker took out meanwhile

	mu     sync.Mutex
	states []State
}

var scenes = []struct {
	name string
	// policy is set on the queue before the first message.
	policy map[string]any
	fail   func(s *scene)
	repair func(s *scene, o *Outcome)
	want   []Kind // allowed first outcomes
}{
	{
		name: "binding removed",
		fail: func(s *scene) {
			s.v.Channel(func(ch *amqp.Channel) error { return ch.QueueUnbind(s.top.Queue, s.top.Key, s.top.Exchange, nil) })
		},
		repair: func(s *scene, o *Outcome) { s.v.Declare("c", queueType(s.t)) },
		want:   []Kind{Returned},
	}, {
		name: "exchange deleted",
		fail: func(s *scene) {
			s.v.Channel(func(ch *amqp.Channel) error { return ch.ExchangeDelete(s.top.Exchange, false, false) })
		},
		repair: func(s *scene, o *Outcome) { s.v.Declare("c", queueType(s.t)) },
		want:   []Kind{NoExchange, Returned},
	}, {
		name:   "queue full",
		policy: map[string]any{"max-length": failAt, "overflow": "reject-publish"},
		fail:   func(s *scene) {},
		repair: func(s *scene, o *Outcome) {
			s.drained = append(s.drained, numbers(s.t, s.v, s.top.Queue)...)
		},
		want: []Kind{Nacked},
	}, {
		name: "connection closed by the broker",
		fail: func(s *scene) { s.v.CloseConnections() },
		want: []Kind{ConnectionLost},
	}, {
		name: "line cut",
		fail: func(s *scene) { s.proxy.Cut() },
		want: []Kind{ConnectionLost},
	}, {
		name: "line cut in the middle of a message",
		fail: func(s *scene) { s.proxy.CutAfter(12345) },
		want: []Kind{ConnectionLost},
	}, {
		name: "answers lost",
		fail: func(s *scene) {
			s.proxy.Swallow()
		},
		repair: func(s *scene, o *Outcome) { s.proxy.Heal() },
		want:   []Kind{ConnectionLost},
	}, {
		name:   "dead peer",
		fail:   func(s *scene) { s.proxy.Stall() },
		repair: func(s *scene, o *Outcome) { s.proxy.Heal() },
		want:   []Kind{ConnectionLost},
	}, {
		name: "credentials changed",
		fail: func(s *scene) { s.v.SetPassword("other"); s.v.CloseConnections() },
		repair: func(s *scene, o *Outcome) {
			if o.Kind == AccessRefused {
				b := brokerOf(s.v)
				b.Host, b.Port = s.proxy.Host, s.proxy.Port
				s.p.SetBroker(b)
			}
		},
		want: []Kind{ConnectionLost},
	}, {
		name: "write permission taken",
		fail: func(s *scene) { s.v.Permit(".*", "^$", ".*"); s.v.CloseConnections() },
		repair: func(s *scene, o *Outcome) {
			if o.Kind == AccessRefused {
				s.v.Permit(".*", ".*", ".*")
			}
		},
		want: []Kind{ConnectionLost, AccessRefused},
	},
}

var queueTypes = sync.Map{}

func queueType(t *testing.T) string { v, _ := queueTypes.Load(t.Name()); return v.(string) }

func TestScenes(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		for _, tt := range scenes {
			t.Run(kind+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				queueTypes.Store(t.Name(), kind)
				v := brokertest.Shared(t).VHost(t)
				s := &scene{t: t, v: v, top: v.Declare("c", kind), proxy: brokertest.NewProxy(t, v.Node.Host, v.Node.Port)}
				b := brokerOf(v)
				b.Host, b.Port = s.proxy.Host, s.proxy.Port
				if tt.policy != nil {
					v.Policy(".*", tt.policy)
				}
				s.p = newPublisher(t, Options{Broker: b, Heartbeat: time.Second, OnState: func(st State) {
					s.mu.Lock()
					defer s.mu.Unlock()
					s.states = append(s.states, st)
				}})
				l := newLedger(t, manyMessages, 512)
				l.size = func(int) int { return 300 }
				l.before = func(i int) error {
					if i == failAt {
						tt.fail(s)
					}
					return nil
				}
				sum := l.drive(s.p, s.top, func(o *Outcome) {
					t.Logf("%v (committed %d, repeats %d, unknown %d)", o, o.Committed, o.Repeats, o.Unknown)
					if tt.repair != nil {
						tt.repair(s, o)
					}
				})
				check(t, s, l, sum, tt.want)
			})
		}
	}
}

// TestCutWhileMessagesWait: messages that the link still holds when it dies are neither lost nor confirmed.
func TestCutWhileMessagesWait(t *testing.T) {
	t.Parallel()
	v := brokertest.Shared(t).VHost(t)
	top, proxy := v.Declare("c", "classic"), brokertest.NewProxy(t, v.Node.Host, v.Node.Port)
	b := brokerOf(v)
	b.Host, b.Port = proxy.Host, proxy.Port
	p := newPublisher(t, Options{Broker: b, Heartbeat: time.Second, ConfirmTimeout: 3 * time.Second})
	const window = 64
	l := newLedger(t, 400, window)
	l.size = func(int) int { return 300 }
	waited := 0
	l.before = func(i int) error {
		link := p.session.link
		link.writing.Lock()
		defer link.writing.Unlock()
		if i >= 150 && waited == 0 && len(link.held) > 1000 {
			waited = len(link.held)
			proxy.Cut()
		}
		return nil
	}
	sum := l.drive(p, top, func(o *Outcome) {
		if o.Kind != ConnectionLost || o.Unknown == 0 || o.Repeats+o.Unknown > window {
			t.Errorf("%v, %d repeats and %d unknown", o, o.Repeats, o.Unknown)
		}
	})
	l.arrived(numbers(t, v, top.Queue), sum)
	if waited == 0 || len(sum.outcomes) != 1 {
		t.Errorf("cut with %d bytes waiting, outcomes %s", waited, sum.kinds())
	}
}

func check(t *testing.T, s *scene, l *ledger, sum totals, want []Kind) {
	t.Helper()
	l.arrived(append(s.drained, numbers(t, s.v, s.top.Queue)...), sum)
	if len(sum.outcomes) == 0 {
		t.Fatal("no outcome: the fault did not bite")
	}
	ok := false
	for _, k := range want {
		ok = ok || sum.outcomes[0].Kind == k
	}
	if !ok {
		t.Errorf("outcomes %s, want %v first", sum.kinds(), want)
	}
	if l.widest > 512 {
		t.Errorf("%d messages under way", l.widest)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Logf("states %v", s.states)
	if last := s.states[len(s.states)-1]; last != StateConnected {
		t.Errorf("state %v at the end", last)
	}
}

// TestOwnNode has the faults that need a node of their own.
func TestOwnNode(t *testing.T) {
	t.Parallel()
	n := brokertest.Start(t, "max_message_size = 65536")
	start := func(t *testing.T) *scene {
		v := n.VHost(t)
		s := &scene{t: t, v: v, top: v.Declare("c", "quorum")}
		s.p = newPublisher(t, Options{Broker: brokerOf(v), Heartbeat: time.Second, ConfirmTimeout: 10 * time.Second, OnState: func(st State) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.states = append(s.states, st)
		}})
		return s
	}
	fail := func(l *ledger, f func()) {
		l.before = func(i int) error {
			if i == failAt {
				f()
			}
			return nil
		}
	}
	t.Run("message too large", func(t *testing.T) {
		s := start(t)
		l := newLedger(t, manyMessages, 512)
		l.size = func(i int) int {
			if i == failAt || i == failAt+5 {
				return 65537
			}
			return 65536 / 64
		}
		sum := l.drive(s.p, s.top, func(o *Outcome) {
			t.Logf("%v (committed %d, repeats %d, unknown %d, limit %d)", o, o.Committed, o.Repeats, o.Unknown, o.Limit)
			if class, _ := fault.Of(o); o.Kind != TooLarge || o.Limit != 65536 || class != fault.Permanent {
				t.Errorf("outcome %v, limit %d, class %v", o, o.Limit, class)
			}
		})
		check(t, s, l, sum, []Kind{TooLarge})
		if len(l.skip) != 2 || !l.skip[failAt] || !l.skip[failAt+5] {
			t.Errorf("dead letters %v", l.skip)
		}
	})
	t.Run("memory alarm", func(t *testing.T) {
		s := start(t)
		l := newLedger(t, manyMessages, 512)
		l.size = func(int) int { return 20_000 } // more than the sockets' buffers hold
		fail(l, func() {
			n.MemoryAlarm(t, true)
			time.AfterFunc(4*time.Second, func() { n.MemoryAlarm(t, false) }) // twice the patience
		})
		sum := l.drive(s.p, s.top, func(o *Outcome) { t.Errorf("%v while blocked", o) })
		got := numbers(t, s.v, s.top.Queue)
		l.arrived(got, sum)
		s.mu.Lock()
		defer s.mu.Unlock()
		if want := []State{StateConnected, StateBlocked, StateConnected}; !equalStates(s.states, want) {
			t.Errorf("states %v, want %v", s.states, want)
		}
	})
	t.Run("stopped while blocked", func(t *testing.T) {
		s := start(t)
		s.p.opt.SettleTimeout = 300 * time.Millisecond
		l := newLedger(t, manyMessages, 512)
		l.size = func(int) int { return 20_000 }
		ctx, cancel := context.WithCancelCause(t.Context())
		fail(l, func() {
			n.MemoryAlarm(t, true)
			time.AfterFunc(time.Second, func() { cancel(fault.ErrShutdown) })
		})
		batch, _ := l.batch(s.top, false)
		err := s.p.Send(ctx, batch)
		n.MemoryAlarm(t, false)
		o, ok := errors.AsType[*Outcome](err)
		if !ok || o.Kind != Stopped || !errors.Is(err, fault.ErrShutdown) || !fault.Is(err, fault.Shutdown) || o.Committed != l.cursor {
			t.Fatalf("Send: %v, cursor %d", err, l.cursor)
		}
		sum := l.drive(s.p, s.top, func(o *Outcome) { t.Error(o) })
		sum.unknowns += o.Unknown
		sum.repeats += o.Repeats
		l.arrived(numbers(t, s.v, s.top.Queue), sum)
	})
	t.Run("frozen", func(t *testing.T) {
		s := start(t)
		l := newLedger(t, manyMessages, 512)
		fail(l, func() { n.Freeze(t) })
		sum := l.drive(s.p, s.top, func(o *Outcome) { t.Log(o); n.Thaw(t) })
		check(t, s, l, sum, []Kind{ConnectionLost})
	})
	t.Run("killed", func(t *testing.T) {
		s := start(t)
		l := newLedger(t, manyMessages, 512)
		n.Sync(t)
		fail(l, func() { n.Kill(t) })
		restarted := false
		sum := l.drive(s.p, s.top, func(o *Outcome) {
			t.Log(o, o.Committed, o.Unknown)
			if !restarted {
				n.Restart(t)
				restarted = true
			}
		})
		check(t, s, l, sum, []Kind{ConnectionLost})
	})
	t.Run("stopped", func(t *testing.T) {
		s := start(t)
		l := newLedger(t, manyMessages, 512)
		fail(l, func() { n.Stop(t) })
		restarted := false
		sum := l.drive(s.p, s.top, func(o *Outcome) {
			t.Log(o, o.Committed, o.Unknown)
			if !restarted {
				n.Restart(t)
				restarted = true
			}
		})
		check(t, s, l, sum, []Kind{ConnectionLost})
	})
}

func equalStates(a, b []State) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
