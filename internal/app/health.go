package app

import (
	"fmt"
	"time"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/pipeline"
)

// health answers the probes from the status of the stages.
type health struct{ a *app }

// silentAfter is how long a stage may be silent. Every wait beats, however long it takes, so that only work of our
// own can be silent.
const silentAfter = 10 * time.Minute

// NotAlive implements admin.Health.
func (h health) NotAlive() map[string]string {
	now := h.a.Now()
	reasons := map[string]string{}
	for name, s := range h.a.status.Snapshot() {
		if silent := now.Sub(s.Beat); s.State != "stopped" && silent > silentAfter {
			reasons[name] = fmt.Sprintf("no sign of life for %v; %s %s", silent.Round(time.Second), s.State, s.Detail)
		}
	}
	return reasons
}

// Alive reports whether every part still ticks.
func (h health) Alive() bool { return len(h.NotAlive()) == 0 }

// NotReady implements admin.Health.
func (h health) NotReady() map[string]string {
	reasons := map[string]string{}
	meta, err := h.a.spool.Meta()
	if err != nil {
		reasons["spool"] = err.Error()
	}
	for name, s := range h.a.status.Snapshot() {
		if s.NotReady != "" {
			reasons[name] = s.NotReady
		}
	}
	for _, p := range inspect.PausedOf(meta) {
		reasons[p.Stage] = p.Why()
	}
	return reasons
}

// stages lists the status of the stages in the order of the data flow.
func stages(status map[string]pipeline.StageStatus) []inspect.Stage {
	var all []inspect.Stage
	for _, name := range []string{"schedule", "fetch", "map", "deliver", "verdicts", "platform", "housekeep"} {
		s, ok := status[name]
		if !ok {
			continue
		}
		all = append(all, inspect.Stage{
			Name: name, State: s.State, Detail: s.Detail, NotReady: s.NotReady, Since: s.Since,
			LastError: s.LastError, ErrorAt: s.ErrorAt,
		})
	}
	return all
}
