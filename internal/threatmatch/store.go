package threatmatch

import (
	"bytes"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// store writes at most size bytes of r to a file without a name in the directory, and maps it into memory. If there
// is no room for a file, the bytes are kept in memory that is allocated once: pages that are not written cost
// nothing. With an error the body holds what was read before it.
func (c *Client) store(r io.Reader, size int64) (Body, error) {
	r = io.LimitReader(r, size)
	var f *os.File
	if c.opt.Dir != "" {
		var err error
		if f, err = createHidden(c.opt.Dir); err != nil {
			c.opt.Log.Warn("cannot create a file for a large response, which is kept in memory", "error", err)
		}
	}
	if f == nil {
		return intoMemory(r, size)
	}
	defer f.Close()
	w := &fileWriter{f: f}
	n, err := io.Copy(w, r)
	if w.err != nil {
		c.opt.Log.Warn("no room on disk for a large response, which is kept in memory", "error", w.err)
		return intoMemory(io.MultiReader(io.NewSectionReader(f, 0, n), &w.rest, r), size)
	}
	body, free, mapErr := mapFile(f, int(n))
	if mapErr != nil {
		c.opt.Log.Warn("cannot map a large response, which is kept in memory", "error", mapErr)
		kept, readErr := intoMemory(io.NewSectionReader(f, 0, n), size)
		return kept, errors.Join(err, readErr)
	}
	return Body{Bytes: body, free: free}, err
}

// createHidden creates a file that has no name and that only we can read.
func createHidden(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, bodyFiles)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// intoMemory reads at most size bytes. Unlike io.ReadFull it tells a response that was cut from one that ended.
func intoMemory(r io.Reader, size int64) (Body, error) {
	text := make([]byte, size)
	n := 0
	for n < len(text) {
		more, err := r.Read(text[n:])
		n += more
		if err == io.EOF { // compared as it is: a response that was cut wraps it
			break
		}
		if err != nil {
			return Body{Bytes: text[:n]}, err
		}
	}
	return Body{Bytes: text[:n:n]}, nil
}

// fileWriter tells errors of writing from those of reading, and keeps what it could not write.
type fileWriter struct {
	f    *os.File
	rest bytes.Buffer
	err  error
}

func (w *fileWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		w.err = err
		w.rest.Write(p[n:])
	}
	return n, err
}

// mapFile maps the first n bytes of a file for reading; n is at least 1. free unmaps them.
func mapFile(f *os.File, n int) (text []byte, free func(), err error) {
	text, err = unix.Mmap(int(f.Fd()), 0, n, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return text, func() { _ = unix.Munmap(text) }, nil
}
