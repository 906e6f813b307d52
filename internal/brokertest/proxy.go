package brokertest

import (
	"net"
	"strconv"
	"sync"
	"testing"

	"threatmatch-connector/internal/sim/serve"
)

// Proxy stands on the line between a client and a broker, and breaks it.
type Proxy struct {
	Host string
	Port int

	target string
	listen net.Listener
	wg     sync.WaitGroup

	mu      sync.Mutex
	change  *sync.Cond
	lines   map[*line]struct{}
	stalled bool
	swallow bool
	refuse  bool
	left    int64 // bytes from clients until the cut; negative: no end
	closed  bool
}

// line is one connection through the proxy.
type line struct{ client, broker net.Conn }

// NewProxy listens on a port of its own and passes everything to host:port.
func NewProxy(tb testing.TB, host string, port int) *Proxy {
	tb.Helper()
	return NewProxyAt(tb, "127.0.0.1", host, port)
}

// NewProxyAt is NewProxy at an address of this machine, for names that a
// certificate does not carry.
func NewProxyAt(tb testing.TB, at, host string, port int) *Proxy {
	tb.Helper()
	l, err := serve.Listen(at)
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{
		Host: at, Port: l.Addr().(*net.TCPAddr).Port,
		target: net.JoinHostPort(host, strconv.Itoa(port)), listen: l,
		lines: make(map[*line]struct{}), left: -1,
	}
	p.change = sync.NewCond(&p.mu)
	p.wg.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Cut ends all lines at once, with what is still under way in either direction.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut()
}

// CutAfter lets n more bytes of the clients through and then cuts, once.
func (p *Proxy) CutAfter(n int64) { p.set(func() { p.left = n }) }

// Stall passes nothing any more in either direction and keeps the lines open:
// to each side the other is dead, without a word.
func (p *Proxy) Stall() { p.set(func() { p.stalled = true }) }

// Swallow drops what the broker answers; what the clients send still arrives.
func (p *Proxy) Swallow() { p.set(func() { p.swallow = true }) }

// Refuse ends new connections at once.
func (p *Proxy) Refuse() { p.set(func() { p.refuse = true }) }

// Heal undoes Stall, Swallow and Refuse; lines that they hurt are cut.
func (p *Proxy) Heal() {
	p.set(func() {
		if p.stalled || p.swallow {
			p.cut()
		}
		p.stalled, p.swallow, p.refuse, p.left = false, false, false, -1
	})
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.change.Broadcast()
}

func (p *Proxy) cut() {
	for l := range p.lines {
		for _, c := range []net.Conn{l.client, l.broker} {
			_ = c.(*net.TCPConn).SetLinger(0) // reset, drop what is unsent
			_ = c.Close()
		}
		delete(p.lines, l)
	}
}

func (p *Proxy) close() {
	_ = p.listen.Close()
	p.set(func() { p.closed, p.stalled = true, false; p.cut() })
	p.wg.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listen.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuse := p.refuse
		p.mu.Unlock()
		if refuse {
			_ = client.Close()
			continue
		}
		broker, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		l := &line{client, broker}
		p.set(func() {
			p.lines[l] = struct{}{}
			if p.closed {
				p.cut()
			}
		})
		p.wg.Go(func() { p.pass(l, client, broker, true) })
		p.wg.Go(func() { p.pass(l, broker, client, false) })
	}
}

// pass copies one direction until the line ends.
func (p *Proxy) pass(l *line, from, to net.Conn, fromClient bool) {
	defer func() {
		_ = from.Close()
		_ = to.Close()
		p.set(func() { delete(p.lines, l) })
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		n, cut := p.gate(n, fromClient)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if cut {
			p.Cut()
			return
		}
		if err != nil {
			return
		}
	}
}

// gate waits while the proxy stalls and says how much of n bytes may pass.
func (p *Proxy) gate(n int, fromClient bool) (pass int, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.stalled {
		p.change.Wait()
	}
	switch {
	case !fromClient && p.swallow:
		return 0, false
	case !fromClient || p.left < 0:
		return n, false
	case int64(n) < p.left:
		p.left -= int64(n)
		return n, false
	}
	n, p.left = int(p.left), -1
	return n, true
}
