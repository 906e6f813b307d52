package delivery

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// recorder notes what is written to it.
type recorder struct {
	net.Conn
	writes []string
	slow   bool // takes a byte and then nothing, until the deadline
	err    error
}

func (r *recorder) Write(b []byte) (int, error) {
	n, err := len(b), r.err
	switch {
	case err != nil:
		return 0, err
	case r.slow && n > 1:
		n, err = 1, os.ErrDeadlineExceeded
	}
	r.writes = append(r.writes, string(b[:n]))
	return n, err
}

func (*recorder) SetWriteDeadline(time.Time) error { return nil }
func (*recorder) SetReadDeadline(time.Time) error  { return nil }

// TestMessagesAreWrittenTogether: what is written while messages are gathered waits, in order, until there is enough or
// it has waited long enough.
func TestMessagesAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		l := newLink(r, time.Minute)
		write := func(texts ...string) {
			for _, text := range texts {
				if n, err := l.Write([]byte(text)); n != len(text) || err != nil {
					t.Errorf("%.10q: wrote %d, %v", text, n, err)
				}
			}
		}
		do := func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
		enough := strings.Repeat("x", enough)
		for _, s := range []struct {
			what string
			do   func()
			want []string
		}{
			{"not gathered", func() { write("a", "b") }, []string{"a", "b"}},
			{"gathered", func() { do(l.gather(true)); write("c", "d") }, nil},
			{"a flush", func() { do(l.flush()) }, []string{"cd"}},
			{"a flush of nothing", func() { do(l.flush()) }, nil},
			{"enough", func() { write("e", enough) }, []string{"e"}},
			{"more than enough", func() { write(enough + "f") }, []string{enough, enough + "f"}},
			{"nothing after it", func() { write("g"); time.Sleep(soon - 1); write("h"); time.Sleep(time.Nanosecond) }, []string{"gh"}},
			{"a slow peer", func() { r.slow = true; write("i", "j", "k"); do(l.flush()); r.slow = false }, []string{"i", "j", "k"}},
			{"the end", func() { write("l"); do(l.gather(false)); write("m") }, []string{"l", "m"}},
		} {
			s.do()
			synctest.Wait()
			if !slices.Equal(r.writes, s.want) {
				t.Errorf("%s: wrote %.20q, want %.20q", s.what, r.writes, s.want)
			}
			r.writes = nil
		}
	})
}

// TestNothingIsWrittenAfterAnError: the broker would confirm what comes next in place of what failed.
func TestNothingIsWrittenAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{err: errors.New("no buffer space available")}
		l := newLink(r, time.Minute)
		_ = l.gather(true)
		_, _ = l.Write([]byte("a"))
		time.Sleep(soon)
		synctest.Wait()
		cause := r.err
		r.err = nil
		_, _ = l.Write([]byte("b"))
		if err := l.gather(false); !errors.Is(err, cause) || len(r.writes) > 0 {
			t.Errorf("wrote %q, %v", r.writes, err)
		}
	})
}
