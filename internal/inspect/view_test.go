package inspect

import (
	"testing"
	"time"

	"threatmatch-connector/spool"
)

// TestIsParked: only a readable item with a time of parking waits for a later run.
// An unreadable one once counted as parked, and "retry --all" included it.
func TestIsParked(t *testing.T) {
	item := string(spool.TaskItem)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for name, tt := range map[string]struct {
		task Task
		want bool
	}{
		"parked":            {Task{Kind: item, Parked: at}, true},
		"open":              {Task{Kind: item, Run: 7}, false},
		"nothing is known":  {Task{Kind: item}, false},
		"cannot be read":    {Task{Kind: item, Unreadable: "checksum"}, false},
		"cannot be trusted": {Task{Kind: item, Unreadable: "checksum", Parked: at}, false},
		"a list":            {Task{Kind: string(spool.TaskList), Parked: at}, false},
	} {
		if got := tt.task.IsParked(); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

// TestQueuedIsBacklog: what a repull or retry has queued for its next runs is still to be done.
func TestQueuedIsBacklog(t *testing.T) {
	if got := (Stats{Counts: spool.Counts{Queued: 900}}).Backlog(); got != "900 queued entries" {
		t.Errorf("got %q", got)
	}
}
