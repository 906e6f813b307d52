package deliver

import (
	"slices"
	"testing"
	"time"

	"threatmatch-connector/spool"
)

// scriptedSpool has one open run and a bundle of three objects; ids are those it knows, with their run.
type scriptedSpool struct {
	Spool
	ids map[string]uint64
}

func (s scriptedSpool) LookupIDs(ids []string) (map[string]spool.ID, error) {
	known := map[string]spool.ID{}
	for _, id := range ids {
		if run, ok := s.ids[id]; ok {
			known[id] = spool.ID{Run: run}
		}
	}
	return known, nil
}

func (scriptedSpool) OpenRuns() ([]spool.Run, error) { return []spool.Run{{ID: 9}}, nil }

func (scriptedSpool) BundleObjects(_, _ uint64, from int, _ int64) ([]spool.BundleObject, error) {
	return []spool.BundleObject{{STIX: "a", JSON: []byte("{}")}, {STIX: "b", JSON: []byte("{}")}, {STIX: "c", JSON: []byte("{}")}}[from:], nil
}

// TestSentByALaterRun: an object that a later run is still to send does not count as sent.
func TestSentByALaterRun(t *testing.T) {
	sp := scriptedSpool{ids: map[string]uint64{"by 4": 4, "by 5": 5, "by 8": 8, "by 9, which is open": 9}}
	d := &Stage{works: works{Deps: Deps{Spool: sp}}, bundle: &spool.Bundle{Run: 5}}
	got, err := d.unsent("by 4", "by 5", "by 8", "by 9, which is open", "unknown")
	if want := []string{"by 9, which is open", "unknown"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("unsent: %q (%v), want %q", got, err, want)
	}
}

// TestChunkOfAnIntention: an object that OpenCTI may expect alone already goes out alone.
func TestChunkOfAnIntention(t *testing.T) {
	for _, intent := range []*spool.Intent{nil, {N: 1}} {
		want := 3
		if intent != nil {
			want = 1
		}
		d := &Stage{
			works:   works{Deps: Deps{Spool: scriptedSpool{}, Now: time.Now}, opt: Options{Window: 9}},
			bundle:  &spool.Bundle{Run: 5, Objects: 3},
			current: &spool.Run{ID: 5, Work: spool.Work{Intent: intent}},
		}
		chunk, err := d.chunk(t.Context())
		if err != nil || chunk.Objects() != want {
			t.Errorf("with the intention %v: %d objects (%v), want %d", intent, chunk.Objects(), err, want)
		}
	}
}
