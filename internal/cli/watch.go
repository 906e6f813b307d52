package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

type watchOptions struct {
	every time.Duration // between two looks
	times int           // looks; 0: no end
}

// watch shows the page repeatedly. On a terminal it overwrites the last one; arrows
// scroll and q quits. A daemon that is briefly unreachable does not end it.
func (g *globals) watch(ctx context.Context, w screen, o watchOptions, show func(context.Context, io.Writer) error) error {
	over := w.terminal && !g.json
	var keys <-chan byte
	if over {
		var done func()
		keys, done = g.keys(ctx)
		defer done()
	}
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	page, offset := "", 0
	draw := func() error {
		if !over {
			_, err := io.WriteString(w, page+"\n")
			return err
		}
		return w.overwrite(page, &offset)
	}
	for n := 1; ; n++ {
		if over {
			w.width, _ = w.size()
		}
		var out bytes.Buffer
		into := w
		into.Writer = &out
		if err := show(ctx, into); err != nil {
			out.Reset()
			sayLine(&out, err)
		}
		page = out.String()
		if err := draw(); err != nil {
			return err
		}
		if n == o.times {
			return nil
		}
		for looked := false; !looked; {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				looked = true
			case key := <-keys:
				step, end := move(key)
				if end {
					return nil
				}
				offset += step
				if err := draw(); err != nil {
					return err
				}
			}
		}
	}
}

// move returns how far a key scrolls, and whether it ends the view.
func move(key byte) (lines int, end bool) {
	const page = 10
	switch key {
	case 'q', 'Q', 3, 4: // 3 and 4 are Ctrl-C and Ctrl-D
		return 0, true
	case 'j', 'B': // the last byte of an arrow key's sequence
		return 1, false
	case 'k', 'A':
		return -1, false
	case ' ', '6':
		return page, false
	case 'b', '5':
		return -page, false
	}
	return 0, false
}

// keys returns key presses without waiting for the end of a line, until done is
// called. It returns none if the input is not a terminal.
func (g *globals) keys(ctx context.Context) (keys <-chan byte, done func()) {
	in, ok := g.env.Stdin.(*os.File)
	if !ok || !isTerminal(in) {
		return nil, func() {}
	}
	fd := int(in.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	typed := make(chan byte)
	var reader sync.WaitGroup
	reader.Go(func() {
		const look = 100 // milliseconds between checks for the end
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for ctx.Err() == nil {
			n, err := unix.Poll(ready, look)
			if err != nil && err != unix.EINTR {
				return
			}
			if n <= 0 {
				continue
			}
			var b [1]byte
			if n, err := in.Read(b[:]); err != nil || n == 0 {
				return
			}
			select {
			case typed <- b[0]:
			case <-ctx.Done():
			}
		}
	})
	return typed, func() {
		cancel()
		reader.Wait()
		_ = term.Restore(fd, old) // the process is ending
	}
}

// overwrite overwrites the terminal with the page: it moves to the corner, clears
// each line to its end, and clears what is below. It keeps the offset within
// bounds.
func (s screen) overwrite(page string, offset *int) error {
	_, height := s.size()
	lines := bytes.Count([]byte(page), []byte("\n"))
	*offset = min(max(*offset, 0), max(lines-height+1, 0))
	text := "\x1b[?7l\x1b[H" // lines must not wrap
	for i, line := range window(page, *offset, height) {
		if i > 0 {
			text += "\r\n"
		}
		text += line + "\x1b[K"
	}
	_, err := io.WriteString(s, text+"\x1b[J\x1b[?7h")
	return err
}
