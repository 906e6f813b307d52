package app

import (
	"cmp"
	"fmt"
	"time"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/pipeline"
)

// silentAfter is how long a stage may be silent. Every wait beats, however long it takes, so that only work of our
// own can be silent.
const silentAfter = 10 * time.Minute

// NotAlive implements admin.Health.
func (c control) NotAlive() map[string]string {
	now := c.a.Now()
	reasons := map[string]string{}
	for name, s := range c.a.status.Snapshot() {
		if silent := now.Sub(s.Beat); s.State != "stopped" && silent > silentAfter {
			reasons[name] = fmt.Sprintf("no sign of life for %v; %s %s", silent.Round(time.Second), s.State, s.Detail)
		}
	}
	return reasons
}

// NotReady implements admin.Health.
func (c control) NotReady() map[string]string {
	reasons := map[string]string{}
	meta, err := c.a.spool.Meta()
	if err := cmp.Or(err, c.a.spool.Missing()); err != nil {
		reasons["spool"] = err.Error()
	}
	for name, s := range c.a.status.Snapshot() {
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
