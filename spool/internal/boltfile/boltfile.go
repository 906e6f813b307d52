// Package boltfile says whether a bbolt file is safe to open. bbolt maps the file and trusts its pages, so a damaged
// page can crash the process beyond recovery. The checks here use plain reads with bounds on everything: nothing they
// find can crash them.
package boltfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrDamaged means that the pages of a file are inconsistent.
var ErrDamaged = errors.New("damaged")

// file is an open file with its valid metas.
type file struct {
	io.ReaderAt
	io.Closer
	length int64
	metas  []Meta // the newest first; at least one
}

// openFile opens a file to read its pages. It returns ErrDamaged if neither meta page is valid: then nothing says where
// to begin.
func openFile(path string) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	out := &file{ReaderAt: f, Closer: f}
	fi, err := f.Stat()
	if err == nil {
		out.length = fi.Size()
		err = out.readMetas()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return out, nil
}

// Check checks the length of the file and every page that its newest meta reaches. It returns an error that wraps
// ErrDamaged for a damaged file, and the system's error if the file cannot be read. Nobody may write to the file
// meanwhile.
func Check(ctx context.Context, path string) error {
	f, err := openFile(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := f.checkLength(); err != nil {
		return err
	}
	return f.walkPages(ctx)
}

// Newest returns the newest valid meta of the file. It returns ErrDamaged if there is none, or if the file is shorter
// than its metas say is used: a truncated file kills the process that maps it.
func Newest(path string) (Meta, error) {
	f, err := openFile(path)
	if err != nil {
		return Meta{}, err
	}
	return f.metas[0], errors.Join(f.checkLength(), f.Close())
}

func (f *file) checkLength() error {
	for _, m := range f.metas {
		if want := m.HighWater * m.PageSize; uint64(f.length) < want {
			return fmt.Errorf("%w: %d bytes long, its meta page says %d", ErrDamaged, f.length, want)
		}
	}
	return nil
}
