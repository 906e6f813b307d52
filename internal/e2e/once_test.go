package e2e_test

import (
	"encoding/json"
	"testing"
	"time"

	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/threatmatch"
)

func TestOnceImportsEverythingOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{api: threatmatch.Options{Generate: data.Options{
		Seed: 1, Profiles: 60, Alerts: 60, Reports: 20, IOCs: 3000,
	}}})
	w.run(0, "run", "--once")
	w.intact()
	c := w.worker.Counts()
	if c.Repeats > 0 {
		t.Errorf("%d objects were sent more than once with the same content", c.Repeats)
	}
	var state map[string]any
	if err := json.Unmarshal([]byte(w.platform.ConnectorState(connectorID)), &state); err != nil {
		t.Fatalf("state %q: %v", w.platform.ConnectorState(connectorID), err)
	}
	text, _ := state["last_run"].(string)
	if _, err := time.Parse(time.RFC3339, text); err != nil || len(state) != 1 {
		t.Errorf("state %v: want last_run alone, as a time", state)
	}

	w.run(0, "run", "--once")
	w.drained()
	if again := w.worker.Counts(); again.Messages != c.Messages {
		t.Errorf("the second run sent %d messages", again.Messages-c.Messages)
	}
}
