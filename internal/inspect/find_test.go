package inspect

import (
	"strings"
	"testing"
	"time"
)

// TestVerdictOfAnItem: an item is what its most urgent trace says, and healed only
// where an old dead letter is all that is left of it.
func TestVerdictOfAnItem(t *testing.T) {
	objects := []string{"malware--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"}
	healed := []FoundDead{{Key: "3", Healed: "2026-09-02T03:04:05Z"}}
	for _, tt := range []struct {
		name    string
		item    FoundSource
		pending int
		want    string
	}{
		{"parked", FoundSource{Task: &FoundTask{Parked: time.Unix(1788316205, 0), Error: "answered 404"}}, 1, "parked since"},
		{"open", FoundSource{Task: &FoundTask{Run: 4}}, 0, "to be fetched in run 4"},
		{"not mapped", FoundSource{Records: []FoundRecord{{Bucket: "records"}}}, 0, "not mapped yet"},
		{"on its way", FoundSource{Objects: objects, Dead: healed}, 1, "1 of its objects are not delivered yet"},
		{"dead", FoundSource{Objects: objects, Dead: []FoundDead{{Key: "5"}}}, 0, "dead letter 5"},
		{"kept", FoundSource{Records: []FoundRecord{{Bucket: "kept"}}, Objects: objects}, 0, "its answer is kept"},
		{"only objects", FoundSource{Objects: objects}, 0, "fetched, mapped and delivered"},
		{"objects and a healed letter", FoundSource{Objects: objects, Dead: healed}, 0, "fetched, mapped and delivered"},
		{"only a healed letter", FoundSource{Dead: healed}, 0, "an old dead letter that is healed"},
	} {
		if got := tt.item.verdict(tt.pending); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
