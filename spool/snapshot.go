package spool

import (
	"fmt"
	"io"
)

// Snapshot writes a consistent copy of the file, while the stages go on. Pages
// that are freed meanwhile cannot be used again until it ends, so it is refused
// with ErrFull when the growth room left is below 20 % of the cap.
func (s *Spool) Snapshot(w io.Writer) (int64, error) {
	if r := s.Room(); !s.readOnly && r.Cap-r.Live < r.Cap/5 {
		return 0, fmt.Errorf("snapshot: %w: %d of %d bytes are in use, and the file could grow too far meanwhile", ErrFull, r.Live, r.Cap)
	}
	var n int64
	err := s.view("snapshot", func(t *txn) error {
		var err error
		n, err = t.tx.WriteTo(w)
		return err
	})
	return n, err
}
