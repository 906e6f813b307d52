package delivery

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// link is the TCP connection to a broker, with the deadlines that the AMQP library lacks. The broker sends a
// heartbeat every half interval, also while it blocks publishers; a link on which nothing was read for patience is
// dead and closes itself. A write may take as long as the peer lives: a broker under a memory or disk alarm may read
// nothing for hours.
type link struct {
	net.Conn
	lastRead atomic.Int64 // nanoseconds since began
	began    time.Time

	mu         sync.Mutex
	patience   time.Duration
	limit      time.Time // of reads and writes, set by the library around closing
	writeLimit time.Time
	closed     bool
	cause      error // why it ended; nil while it lives
	alert      error // what the peer said about our TLS

	writing   sync.Mutex // one write at a time
	gathering bool       // writes may wait for those after them
	held      []byte     // what waits
	later     *time.Timer
}

func newLink(c net.Conn, patience time.Duration) *link {
	l := &link{Conn: c, patience: patience, began: time.Now()}
	l.later = time.AfterFunc(soon, func() { _ = l.flush() }) // what fails once fails for all
	return l
}

// lastWords is how long a reader may take to read what a peer said before it hung up.
const lastWords = time.Second

// expect sets the patience once the broker sends heartbeats.
func (l *link) expect(patience time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.patience = patience
	// A read that is waiting already has the old one.
	_ = l.Conn.SetReadDeadline(earliest(time.Now().Add(patience), l.limit))
}

// Read waits no longer than patience.
func (l *link) Read(b []byte) (int, error) {
	l.mu.Lock()
	patience := l.patience
	err := l.Conn.SetReadDeadline(earliest(time.Now().Add(patience), l.limit))
	l.mu.Unlock()
	if err != nil {
		return 0, l.fail(err)
	}
	n, err := l.Conn.Read(b)
	if n > 0 {
		l.lastRead.Store(int64(time.Since(l.began)))
	}
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("%w for %v: %w", errSilent, patience, err)
		}
		return n, l.fail(err)
	}
	return n, nil
}

// While messages are sent, what is written waits for what comes after it, since one system call for many costs us and
// the broker less: until there is enough, but not longer than soon, however long the next message takes.
const (
	enough = 32 << 10
	soon   = 10 * time.Millisecond
)

// gather begins or ends a time in which writes may wait. At both ends, what waits is written.
func (l *link) gather(on bool) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.gathering = on
	return l.writeHeld()
}

// flush writes what waits.
func (l *link) flush() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.writeHeld()
}

// writeHeld is flush for a caller that holds writing.
func (l *link) writeHeld() error {
	if len(l.held) == 0 {
		return nil
	}
	_, err := l.write(l.held)
	l.held = l.held[:0]
	return err
}

// Write returns when everything is written or waits, or when the peer is dead.
func (l *link) Write(b []byte) (int, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if !l.gathering || len(l.held)+len(b) > enough {
		if err := l.writeHeld(); err != nil {
			return 0, err
		}
	}
	if !l.gathering || len(b) > enough {
		return l.write(b)
	}
	if len(l.held) == 0 {
		l.later.Reset(soon)
	}
	l.held = append(l.held, b...)
	return len(b), nil
}

// write returns when everything is written, or when the peer is dead. After an error nothing more is written: the
// broker counts the messages that it reads, and would confirm another one in place of one that it never got.
func (l *link) write(b []byte) (int, error) {
	done := 0
	for {
		l.mu.Lock()
		if err := l.cause; err != nil {
			l.mu.Unlock()
			return done, err
		}
		patience := l.patience
		limit := earliest(l.limit, l.writeLimit)
		err := l.Conn.SetWriteDeadline(earliest(time.Now().Add(patience/4), limit))
		l.mu.Unlock()
		if err != nil {
			return done, l.fail(err)
		}
		n, err := l.Conn.Write(b[done:])
		done += n
		if err == nil {
			return done, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			// Reset by the peer. What it said last may still be unread.
			l.mu.Lock()
			l.cause = cmp.Or(l.cause, err)
			_ = l.Conn.SetReadDeadline(time.Now().Add(lastWords))
			l.mu.Unlock()
			return done, err
		}
		expired := !limit.IsZero() && !time.Now().Before(limit)
		if expired || l.silence() >= patience {
			return done, l.fail(err)
		}
	}
}

// silence returns how long nothing has been read.
func (l *link) silence() time.Duration {
	return time.Since(l.began) - time.Duration(l.lastRead.Load())
}

// fail closes the link, which ends reads and writes that still wait, and returns the first cause of its end.
func (l *link) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cause = cmp.Or(l.cause, err)
	if !l.closed {
		l.closed = true
		_ = l.Conn.Close()
	}
	return l.cause
}

// Close ends the link.
func (l *link) Close() error {
	_ = l.fail(net.ErrClosed)
	return nil
}

// err returns why the link ended, or nil.
func (l *link) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.alert != nil {
		return l.alert
	}
	return l.cause
}

// SetDeadline bounds reads and writes in progress and those that follow; zero removes the bound.
func (l *link) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = t
	if t.IsZero() {
		return nil
	}
	return l.Conn.SetDeadline(t)
}

// SetReadDeadline does nothing: Read sets its own.
func (l *link) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline bounds writes; zero removes the bound.
func (l *link) SetWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writeLimit = t
	if t.IsZero() {
		return nil
	}
	return l.Conn.SetWriteDeadline(t)
}

// earliest returns the earlier of two deadlines; zero is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// tlsLink keeps what the broker says about our certificate: with TLS 1.3 that comes after the handshake, when the
// AMQP library is already writing.
type tlsLink struct {
	*tls.Conn
	link *link
	read chan struct{} // closed at the first error of Read
	once sync.Once
}

func newTLSLink(c *tls.Conn, l *link) *tlsLink {
	return &tlsLink{Conn: c, link: l, read: make(chan struct{})}
}

// Read is that of tls.Conn. The library has one reader.
func (t *tlsLink) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if err != nil {
		if _, ok := tlsVerdict(err); ok {
			t.link.mu.Lock()
			t.link.alert = err
			t.link.mu.Unlock()
		}
		t.once.Do(func() { close(t.read) })
	}
	return n, err
}

// Write lets the reader finish before it returns an error, since the library closes the connection then.
func (t *tlsLink) Write(b []byte) (int, error) {
	n, err := t.Conn.Write(b)
	if err != nil {
		timer := time.NewTimer(lastWords)
		defer timer.Stop()
		select {
		case <-t.read:
		case <-timer.C:
		}
	}
	return n, err
}
