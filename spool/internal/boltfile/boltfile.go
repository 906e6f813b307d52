// Package boltfile says whether a bbolt file is safe for bbolt to open. bbolt
// maps the file and trusts its pages, so that a damaged page can end the process
// beyond recover. The checks here use plain reads with bounds on everything:
// they cannot die of what they find.
package boltfile

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// ErrDamaged means that the pages of a file do not hold together.
var ErrDamaged = errors.New("damaged")

// Check checks the length of the file and every page that its newest meta
// reaches. It returns an error that wraps ErrDamaged for a damaged file, and the
// system's error where the file cannot be read. Nobody may write to it meanwhile.
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

// CheckLength compares the file's length with what its metas say is used; it
// reads a few pages only. A file that lost its end kills the process that maps it.
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

// Newest returns the newest valid meta of the file.
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
