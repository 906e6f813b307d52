package pipeline

import (
	"testing"

	simtm "threatmatch-connector/internal/sim/threatmatch"
)

func TestFetchEverything(t *testing.T) {
	sim, src := simulate(t, simtm.Options{Generate: generate(30, 30, 10, 3000)}, nil)
	r := newRig(t, src, rigOptions{})
	run := r.once()
	if missing := r.missing(sim.ExpectedIDs()); len(missing) > 0 {
		t.Errorf("%d objects are missing, such as %s", len(missing), missing[0])
	}
	if s := r.stats(); s.Dead+s.Parked+s.Tasks != 0 {
		t.Errorf("left over: %+v", s)
	}
	if rep := sim.Stats().Repeated; len(rep) > 0 {
		t.Errorf("asked twice: %v", rep)
	}
	t.Log(run.Counters, sim.Stats().Requests)
	r.wholesome()
}
