package deliver

import (
	"testing"
	"time"

	"threatmatch-connector/spool"
)

// scriptedSpool has one open run and a bundle of three objects.
type scriptedSpool struct{ Spool }

func (scriptedSpool) OpenRuns() ([]spool.Run, error) { return []spool.Run{{ID: 9}}, nil }

func (scriptedSpool) BundleObjects(_, _ uint64, from int, _ int64) ([]spool.BundleObject, error) {
	return []spool.BundleObject{{STIX: "a", JSON: []byte("{}")}, {STIX: "b", JSON: []byte("{}")}, {STIX: "c", JSON: []byte("{}")}}[from:], nil
}

// TestSentByALaterRun: an object that a later run is still to send does not count as sent.
func TestSentByALaterRun(t *testing.T) {
	d := &Stage{Deps: Deps{Spool: scriptedSpool{}}, bundle: &spool.Bundle{Run: 5}}
	for run, want := range map[uint64]bool{4: true, 5: true, 8: true, 9: false} {
		if got, err := d.sent(map[string]spool.ID{"a": {Run: run}}, "a"); got != want || err != nil {
			t.Errorf("handed over by run %d: sent %v (%v), want %v", run, got, err, want)
		}
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
			Deps: Deps{Spool: scriptedSpool{}, Now: time.Now}, opt: Options{Window: 9}, bundle: &spool.Bundle{Run: 5, Objects: 3},
			current: &spool.Run{ID: 5, Work: spool.Work{Intent: intent}},
		}
		chunk, err := d.chunk(t.Context())
		if err != nil || chunk.Objects() != want {
			t.Errorf("with the intention %v: %d objects (%v), want %d", intent, chunk.Objects(), err, want)
		}
	}
}
