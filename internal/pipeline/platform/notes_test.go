package platform

import (
	"slices"
	"testing"
)

// TestWorksToDelete: an id takes the place of a work of unknown fate; two of one name
// are both deleted, each once.
func TestWorksToDelete(t *testing.T) {
	var n notes
	var got []string
	for _, id := range []string{"", "1", "2", "1"} {
		n.discard(oldWork{Name: "run 7", ID: id})
	}
	for _, w := range n.Old {
		got = append(got, w.ID)
	}
	if want := []string{"1", "2"}; !slices.Equal(got, want) {
		t.Errorf("to be deleted are %q, want %q", got, want)
	}
}
