package mapstage

import (
	"testing"

	"threatmatch-connector/spool"
)

// TestDeadLettersFillABundle: dead letters are also kept in memory until the
// commit, and limited in the same way.
func TestDeadLettersFillABundle(t *testing.T) {
	g := &gathering{maxObjects: 3, maxBytes: 100, dead: make([]spool.DeadLetter, 2)}
	if g.full() {
		t.Error("two dead letters fill a bundle of three")
	}
	g.order = append(g.order, &item{})
	if !g.full() {
		t.Error("an object and two dead letters do not fill a bundle of three")
	}
}
