// Package boltfile says whether a bbolt file is safe to open. bbolt maps the file and trusts its pages, so a damaged
// page can crash the process beyond recovery. The checks here use plain reads with bounds on everything: nothing they
// find can crash them.
package boltfile

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// ErrDamaged means that the pages of a file are inconsistent.
var ErrDamaged = errors.New("damaged")

// Check checks the length of the file and every page that its newest meta reaches. It returns an error that wraps
// ErrDamaged for a damaged file, and the system's error if the file cannot be read. Nobody may write to the file
// meanwhile.
func Check(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if err := checkLength(f, fi.Size()); err != nil {
		return err
	}
	return walkPages(ctx, f, fi.Size())
}

// CheckLength compares the file's length with what its metas say is used; it reads only a few pages. A truncated file
// kills the process that maps it.
func CheckLength(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	return checkLength(f, fi.Size())
}

// Newest returns the newest valid meta of the file, or ErrDamaged if there is none.
func Newest(path string) (Meta, error) {
	f, err := os.Open(path)
	if err != nil {
		return Meta{}, err
	}
	defer func() { _ = f.Close() }()
	metas, err := readMetas(f)
	if err != nil {
		return Meta{}, err
	}
	return newest(metas)
}

func newest(metas []Meta) (Meta, error) {
	var m Meta
	for _, one := range metas {
		if one.Txid >= m.Txid {
			m = one
		}
	}
	if len(metas) == 0 {
		return m, fmt.Errorf("%w: no valid meta page", ErrDamaged)
	}
	return m, nil
}
