package mapstage

import (
	"testing"

	"threatmatch-connector/spool"
)

// TestDeadLettersFillABundle: what is no object is kept in memory until the
// commit, too, and bounded alike.
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
