package deliver

import (
	"testing"
	"time"
)

// TestArchiveTimes: bundles of one commit do not overwrite each other.
func TestArchiveTimes(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.UTC)
	seen := map[time.Time]bool{}
	for seq := range uint64(1000) {
		seen[archiveTime(at, seq)] = true
	}
	if len(seen) != 1000 || !archiveTime(at, 7).Equal(archiveTime(at, 7)) {
		t.Errorf("%d times of 1000 bundles", len(seen))
	}
}
