package inspect

import (
	"strings"
	"testing"
	"time"
)

// TestVerdictOfAnItem: an item's verdict is its most urgent trace; it is healed
// only if an old dead letter is all that is left of it.
func TestVerdictOfAnItem(t *testing.T) {
	objects := []string{"malware--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"}
	healed := []FoundDead{{Key: "3", Healed: time.Date(2026, 9, 2, 3, 4, 5, 0, time.UTC)}}
	for _, tt := range []struct {
		name    string
		item    FoundSource
		pending int
		want    string
	}{
		{"parked", FoundSource{Task: &FoundTask{Parked: time.Unix(1788316205, 0), Error: "answered 404"}}, 1, "parked since"},
		{"open", FoundSource{Task: &FoundTask{Run: 4}}, 0, "to be fetched in run 4"},
		{"noted at a time in another zone", FoundSource{Mapped: &FoundMapped{Run: 4, At: time.Date(2026, 9, 2, 3, 4, 5, 0, time.FixedZone("", 7200))}}, 0, "at 2026-09-02T01:04:05Z in run 4"},
		{"not mapped", FoundSource{Records: []FoundRecord{{Bucket: "records"}}}, 0, "not mapped yet"},
		{"on its way", FoundSource{Objects: objects, Dead: healed}, 1, "1 of its objects are not delivered yet"},
		{"dead", FoundSource{Objects: objects, Dead: []FoundDead{{Key: "5"}}}, 0, "dead letter 5"},
		{"kept", FoundSource{Records: []FoundRecord{{Bucket: "kept"}}, Objects: objects}, 0, "its response is kept"},
		{"only objects", FoundSource{Objects: objects}, 0, "fetched and mapped"},
		{"objects and a healed letter", FoundSource{Objects: objects, Dead: healed}, 0, "fetched and mapped"},
		{"noted, its run is delivered", FoundSource{Mapped: &FoundMapped{Run: 4, Objects: 1, Sent: true}, Dead: healed}, 0, "mapped to 1 object at 0001-01-01T00:00:00Z in run 4, which is delivered"},
		{"noted, its run is not delivered", FoundSource{Mapped: &FoundMapped{Run: 4, Objects: 2}}, 0, "mapped to 2 objects at 0001-01-01T00:00:00Z in run 4, which is not delivered yet"},
		{"noted, and parked since", FoundSource{Task: &FoundTask{Parked: time.Unix(1788316205, 0)}, Mapped: &FoundMapped{Run: 4, Sent: true}}, 0, "parked since"},
		{"only a healed letter", FoundSource{Dead: healed}, 0, "an old dead letter that is healed"},
	} {
		if got := tt.item.verdict(tt.pending); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestTriesOfAnItem: the tries that are blamed on the server count in what find says, as in the list of failing requests.
func TestTriesOfAnItem(t *testing.T) {
	f, err := FromSpool(troubledSpool(t)).Find(t.Context(), "reports/0")
	if err != nil || len(f.Sources) != 1 {
		t.Fatal(f, err)
	}
	if s := f.Sources[0]; s.Task.Tries != 3 || s.Verdict != "to be fetched in run 1; 3 tries failed: answered something" {
		t.Errorf("got %d tries and %q, want 3 failed tries", s.Task.Tries, s.Verdict)
	}
}
