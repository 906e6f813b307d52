package delivery

import (
	"errors"
	"slices"
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/fault"
)

// scripted is the queue behind a double.
type scripted struct {
	t     *testing.T
	queue []int
}

func (s *scripted) take(p brokertest.Published) {
	if !p.Mandatory {
		s.t.Errorf("message %d is not mandatory", p.Seq)
	}
	s.queue = append(s.queue, number(s.t, p.Body))
}

func (s *scripted) ack(p brokertest.Published, a *brokertest.Answers) {
	s.take(p)
	a.Ack(p.Tag, false)
}

const at = 20 // the message at which a script fails, in mid-window

// scripts fail once, at message 20 of 60 in a window of 8; want is the only outcome.
var scripts = []struct {
	name  string
	play  func(s *scripted, p brokertest.Published, a *brokertest.Answers)
	want  Kind
	class fault.Class
	cause error // in the outcome; nil: any
	ok    bool  // no outcome at all
	// unknown is checked for TooLarge: what came after the message is not unknown.
	unknown int
	racy    bool // another outcome may be seen first, or as well
}{
	{name: "ack", ok: true, play: (*scripted).ack},
	{name: "acks out of order", ok: true, play: func(s *scripted, p brokertest.Published, a *brokertest.Answers) {
		s.take(p)
		if p.Tag%4 == 0 {
			for _, k := range []uint64{2, 0, 3, 1} {
				a.Ack(p.Tag-k, false)
			}
		}
	}},
	{name: "acks of many", ok: true, play: func(s *scripted, p brokertest.Published, a *brokertest.Answers) {
		s.take(p)
		if p.Tag%3 == 0 {
			a.Ack(p.Tag, true)
		}
	}},
	{name: "nack", want: Nacked, play: func(s *scripted, p brokertest.Published, a *brokertest.Answers) {
		if p.Seq == at {
			a.Nack(p.Tag, false)
			return
		}
		s.ack(p, a)
	}},
	{name: "nack of many", want: Nacked, play: func(s *scripted, p brokertest.Published, a *brokertest.Answers) {
		switch {
		case p.Seq == at-3, p.Seq == at-2, p.Seq == at-1:
		case p.Seq == at:
			a.Nack(p.Tag, true)
		default:
			s.ack(p, a)
		}
	}},
	{name: "nack before acks of earlier ones", want: Nacked, play: func(s *scripted, p brokertest.Published, a *brokertest.Answers) {
		switch {
		case p.Seq >= at-2 && p.Seq < at:
			s.take(p)
		case p.Seq == at:
			a.Nack(p.Tag, false)
			a.Ack(p.Tag-1, false)
			a.Ack(p.Tag-2, false)
		default:
			s.ack(p, a)
		}
	}},
	{name: "return", want: Returned, play: func(s *scripted, p brokertest.Published, a *brokertest.Answers) {
		if p.Seq == at {
			a.Return(p)
			a.Ack(p.Tag, false)
			return
		}
		s.ack(p, a)
	}},
	{name: "returns acked together", want: Returned, play: func(s *scripted, p brokertest.Published, a *brokertest.Answers) {
		switch {
		case p.Seq == at, p.Seq == at+1:
			a.Return(p)
		case p.Seq == at+2:
			s.take(p)
			a.Ack(p.Tag, true)
		default:
			s.ack(p, a)
		}
	}},
	{name: "too large", want: TooLarge, class: fault.Permanent, play: failingWith(func(p brokertest.Published, a *brokertest.Answers) {
		a.CloseChannel(406, "PRECONDITION_FAILED - message size 5000 is larger than configured max size 4096")
	})},
	{name: "too large as older brokers word it", want: TooLarge, class: fault.Permanent, play: failingWith(func(p brokertest.Published, a *brokertest.Answers) {
		a.CloseChannel(406, "PRECONDITION_FAILED - message size 5000 is larger than max size 4096")
	})},
	{name: "too large without a number", want: TooLarge, class: fault.Permanent, play: failingWith(func(p brokertest.Published, a *brokertest.Answers) {
		a.CloseChannel(311, "CONTENT_TOO_LARGE")
	})},
	{name: "too large behind unanswered ones", want: TooLarge, class: fault.Permanent, unknown: 2, play: func(s *scripted, p brokertest.Published, a *brokertest.Answers) {
		switch {
		case p.Seq == at-2, p.Seq == at-1:
			s.take(p)
		case p.Seq == at:
			a.CloseChannel(406, "PRECONDITION_FAILED - message size 5000 is larger than configured max size 4096")
		default:
			s.ack(p, a)
		}
	}},
	{name: "another precondition", want: ConnectionLost, class: fault.Systemic, play: failingWith(func(p brokertest.Published, a *brokertest.Answers) {
		a.CloseChannel(406, "PRECONDITION_FAILED - something else")
	})},
	{name: "no exchange", want: NoExchange, class: fault.Systemic, play: failingWith(func(p brokertest.Published, a *brokertest.Answers) {
		a.CloseChannel(404, "NOT_FOUND - no exchange 'x' in vhost '/'")
	})},
	{name: "access refused", want: AccessRefused, class: fault.Systemic, play: failingWith(func(p brokertest.Published, a *brokertest.Answers) {
		a.CloseChannel(403, "ACCESS_REFUSED - access to exchange 'x' refused")
	})},
	{name: "connection closed", want: ConnectionLost, play: failingWith(func(p brokertest.Published, a *brokertest.Answers) {
		a.CloseConnection(320, "CONNECTION_FORCED - broker forced connection closure")
	})},
	{name: "user may not use the virtual host any more", want: AccessRefused, class: fault.Systemic, play: failingWith(func(p brokertest.Published, a *brokertest.Answers) {
		a.CloseConnection(530, "NOT_ALLOWED - vhost is gone")
	})},
	{name: "cut before the message is taken", want: ConnectionLost, play: failingWith(func(p brokertest.Published, a *brokertest.Answers) { a.Cut() })},
	{name: "cut after the message is taken", want: ConnectionLost, play: func(s *scripted, p brokertest.Published, a *brokertest.Answers) {
		if p.Seq == at {
			s.take(p)
			a.Cut()
			return
		}
		s.ack(p, a)
	}},
	{name: "dead peer", want: ConnectionLost, cause: errSilent, play: func(s *scripted, p brokertest.Published, a *brokertest.Answers) {
		if p.Seq == at {
			s.take(p)
			a.Silence()
			return
		}
		s.ack(p, a)
	}},
	{name: "alive and not answering", want: ConnectionLost, cause: errUnanswered, play: func(s *scripted, p brokertest.Published, a *brokertest.Answers) {
		s.take(p)
		if p.Seq != at {
			a.Ack(p.Tag, false)
		}
	}},
	// The library does not distinguish a nack from a confirmation that ended with its channel.
	{name: "nack and then the end", racy: true, play: func(s *scripted, p brokertest.Published, a *brokertest.Answers) {
		switch {
		case p.Seq == at:
		case p.Seq == at+1:
			s.take(p) // but does not answer
		case p.Seq == at+2:
			a.Nack(p.Tag-2, false)
			a.CloseConnection(320, "CONNECTION_FORCED")
		default:
			s.ack(p, a)
		}
	}},
}

// failingWith makes a script that takes every message except the one at which it fails.
func failingWith(f func(brokertest.Published, *brokertest.Answers)) func(*scripted, brokertest.Published, *brokertest.Answers) {
	return func(s *scripted, p brokertest.Published, a *brokertest.Answers) {
		if p.Seq == at {
			f(p, a)
			return
		}
		s.ack(p, a)
	}
}

func TestScripts(t *testing.T) {
	for _, tt := range scripts {
		t.Run(tt.name, func(t *testing.T) {
			s := &scripted{t: t}
			d := brokertest.NewDouble(t, func(p brokertest.Published, a *brokertest.Answers) { tt.play(s, p, a) })
			p := newPublisher(t, Options{Broker: Broker{Host: d.Host, Port: d.Port}, Heartbeat: time.Second, ConfirmTimeout: 3 * time.Second})
			l := newLedger(t, 60, 8)
			l.size = func(i int) int {
				if i == at {
					return 5000
				}
				return 0
			}
			sum := l.drive(p, brokertest.Topology{Exchange: "x", Key: "k"}, func(o *Outcome) {
				t.Logf("%v (committed %d, repeats %d, unknown %d, limit %d)", o, o.Committed, o.Repeats, o.Unknown, o.Limit)
			})
			l.arrived(slices.Clone(s.queue), sum)
			switch {
			case tt.ok && len(sum.outcomes) == 0:
			case tt.ok, len(sum.outcomes) != 1 && !(tt.racy && len(sum.outcomes) == 2):
				t.Errorf("outcomes %s", sum.kinds())
			default:
				o := sum.outcomes[0]
				if class, _ := fault.Of(o); !tt.racy && (o.Kind != tt.want || class != tt.class) {
					t.Errorf("outcome %v, class %v", o, class)
				}
				if tt.cause != nil && !errors.Is(o, tt.cause) {
					t.Errorf("outcome %v, want %v", o, tt.cause)
				}
				if o.Kind == TooLarge && (o.Index != at || o.Unknown != tt.unknown) {
					t.Errorf("too large: message %d, %d unknown", o.Index, o.Unknown)
				}
			}
		})
	}
}
