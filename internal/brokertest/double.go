package brokertest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"threatmatch-connector/internal/sim/serve"
)

// Double is a broker that answers each publish as a test says: in any order,
// twice, with a refusal or not at all. It takes any credentials and knows just
// enough AMQP 0-9-1 for a publisher in confirm mode.
type Double struct {
	Host string
	Port int

	listen net.Listener
	wg     sync.WaitGroup

	mu        sync.Mutex
	onPublish func(Published, *Answers)
	count     int
	conns     map[net.Conn]struct{}
}

// Published is one message as the double received it.
type Published struct {
	// Seq counts messages over all connections, from 0; Tag those of the channel, from 1.
	Seq           int
	Tag           uint64
	Exchange, Key string
	Mandatory     bool
	Body          []byte

	properties []byte // of the content header, as they came
}

// NewDouble starts one; f is called for each message, one at a time.
func NewDouble(tb testing.TB, f func(Published, *Answers)) *Double {
	tb.Helper()
	l, err := serve.Listen("127.0.0.1")
	if err != nil {
		tb.Fatal(err)
	}
	d := &Double{
		Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port,
		listen: l, onPublish: f, conns: make(map[net.Conn]struct{}),
	}
	d.wg.Go(d.accept)
	tb.Cleanup(func() {
		_ = l.Close()
		d.mu.Lock()
		for c := range d.conns {
			_ = c.Close()
		}
		d.mu.Unlock()
		d.wg.Wait()
	})
	return d
}

func (d *Double) accept() {
	for {
		c, err := d.listen.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		d.conns[c] = struct{}{}
		d.mu.Unlock()
		d.wg.Go(func() {
			defer c.Close()
			d.serve(c)
		})
	}
}

// Answers is what a double can say about a message, on its connection.
type Answers struct {
	c       net.Conn
	channel uint16
	shut    bool

	mu     sync.Mutex
	silent bool
}

// Ack confirms a message, or all up to it.
func (a *Answers) Ack(tag uint64, multiple bool) {
	a.method(60, 80, binary.BigEndian.AppendUint64(nil, tag), bit(multiple))
}

// Nack refuses a message, or all up to it.
func (a *Answers) Nack(tag uint64, multiple bool) {
	a.method(60, 120, binary.BigEndian.AppendUint64(nil, tag), bit(multiple))
}

// Return gives a message back as unroutable; an ack is still to come.
func (a *Answers) Return(p Published) {
	a.method(60, 50, short(312), shortString("NO_ROUTE"), shortString(p.Exchange), shortString(p.Key))
	header := append(append(short(60), short(0)...), binary.BigEndian.AppendUint64(nil, uint64(len(p.Body)))...)
	a.frame(2, a.channel, append(header, p.properties...))
	a.frame(3, a.channel, p.Body)
}

// CloseChannel ends the channel with an error; what else comes on it is dropped.
func (a *Answers) CloseChannel(code uint16, text string) {
	a.shut = true
	a.method(20, 40, short(code), shortString(text), short(60), short(40))
}

// CloseConnection ends the connection with an error; what else comes on it is dropped.
func (a *Answers) CloseConnection(code uint16, text string) {
	a.shut = true
	a.channelMethod(0, 10, 50, short(code), shortString(text), short(0), short(0))
}

// Block and Unblock tell of a resource alarm; the double reads on all the same.
func (a *Answers) Block() { a.channelMethod(0, 10, 60, shortString("low on memory")) }

// Unblock ends Block.
func (a *Answers) Unblock() { a.channelMethod(0, 10, 61) }

// Cut ends the connection without a word.
func (a *Answers) Cut() { _ = a.c.(*net.TCPConn).SetLinger(0); _ = a.c.Close() }

// Silence says nothing any more on this connection, no heartbeat either.
func (a *Answers) Silence() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.silent = true
}

func (a *Answers) method(class, method uint16, args ...[]byte) {
	a.channelMethod(a.channel, class, method, args...)
}

func (a *Answers) channelMethod(channel, class, method uint16, args ...[]byte) {
	payload := append(short(class), short(method)...)
	for _, arg := range args {
		payload = append(payload, arg...)
	}
	a.frame(1, channel, payload)
}

func (a *Answers) frame(kind byte, channel uint16, payload []byte) {
	out := append([]byte{kind}, short(channel)...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(payload)))
	out = append(append(out, payload...), 0xCE)
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.silent {
		_, _ = a.c.Write(out)
	}
}

// serve talks to one client until it goes.
func (d *Double) serve(c net.Conn) {
	in := bufio.NewReader(c)
	if _, err := io.ReadFull(in, make([]byte, 8)); err != nil { // "AMQP0091"
		return
	}
	a := &Answers{c: c, channel: 1}
	stop := make(chan struct{})
	defer close(stop)
	d.wg.Go(func() { a.beat(stop) })
	a.channelMethod(0, 10, 10, []byte{0, 9}, make([]byte, 4), longString("PLAIN"), longString("en_US"))
	s := &conversation{double: d, answers: a}
	for {
		kind, channel, payload, err := readFrame(in)
		if err != nil {
			return
		}
		switch kind {
		case 1:
			if s.method(channel, payload) {
				return
			}
		case 2:
			s.header(payload)
		case 3:
			s.body(payload)
		}
	}
}

func (a *Answers) beat(stop <-chan struct{}) {
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			a.frame(8, 0, nil)
		}
	}
}

// conversation is the state of one connection.
type conversation struct {
	double  *Double
	answers *Answers
	tag     uint64
	message Published
	left    int
}

// method answers one method and reports the end of the connection.
func (s *conversation) method(channel uint16, p []byte) (end bool) {
	class, method, args := binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:]), p[4:]
	a := s.answers
	switch [2]uint16{class, method} {
	case [2]uint16{10, 11}: // start-ok
		a.channelMethod(0, 10, 30, short(16), binary.BigEndian.AppendUint32(nil, 131072), short(1))
	case [2]uint16{10, 40}: // open
		a.channelMethod(0, 10, 41, shortString(""))
	case [2]uint16{10, 50}: // close
		a.channelMethod(0, 10, 51)
		return true
	case [2]uint16{10, 51}:
		return true
	case [2]uint16{20, 10}: // channel.open
		a.channel, a.shut, s.tag = channel, false, 0
		a.channelMethod(channel, 20, 11, make([]byte, 4))
	case [2]uint16{20, 40}: // channel.close
		a.channelMethod(channel, 20, 41)
	case [2]uint16{85, 10}: // confirm.select
		a.channelMethod(channel, 85, 11)
	case [2]uint16{60, 40}: // publish
		s.message = Published{}
		s.message.Exchange, args = takeString(args[2:])
		s.message.Key, args = takeString(args)
		s.message.Mandatory = args[0]&1 == 1
	}
	return false
}

func (s *conversation) header(p []byte) {
	s.left = int(binary.BigEndian.Uint64(p[4:]))
	s.message.properties = append([]byte(nil), p[12:]...)
	if s.left == 0 {
		s.deliver()
	}
}

func (s *conversation) body(p []byte) {
	s.message.Body = append(s.message.Body, p...)
	if s.left -= len(p); s.left == 0 {
		s.deliver()
	}
}

func (s *conversation) deliver() {
	if s.answers.shut {
		return
	}
	d := s.double
	d.mu.Lock()
	defer d.mu.Unlock()
	s.tag++
	s.message.Tag, s.message.Seq = s.tag, d.count
	d.count++
	d.onPublish(s.message, s.answers)
}

func readFrame(r io.Reader) (kind byte, channel uint16, payload []byte, err error) {
	var head [7]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return
	}
	payload = make([]byte, binary.BigEndian.Uint32(head[3:])+1)
	if _, err = io.ReadFull(r, payload); err != nil {
		return
	}
	n := len(payload) - 1
	if payload[n] != 0xCE {
		err = errors.New("frame end missing")
	}
	return head[0], binary.BigEndian.Uint16(head[1:]), payload[:n], err
}

func short(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

func bit(on bool) []byte {
	if on {
		return []byte{1}
	}
	return []byte{0}
}

func shortString(s string) []byte { return append([]byte{byte(len(s))}, s...) }

func longString(s string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...)
}

func takeString(p []byte) (string, []byte) {
	n := int(p[0])
	return string(p[1 : 1+n]), p[1+n:]
}
