package spool

import (
	"errors"
	"maps"
	"testing"
	"time"
)

// TestPause: a pause survives restarts and resets, keeps its first time, and ends only with Resume; only the three
// stages can be paused.
func TestPause(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 3, 7, 4, 13, 57, 0, time.UTC)
	open := func() *Spool {
		return must(Open(t.Context(), Options{Dir: dir, ConnectorID: "c", Now: func() time.Time { return at }}))
	}
	holds := func(s *Spool, want map[Stage]time.Time) {
		t.Helper()
		if got := must(s.Meta()).Paused; !maps.Equal(got, want) {
			t.Errorf("got %v paused, want %v", got, want)
		}
	}
	s := open()
	holds(s, map[Stage]time.Time{})
	must(s.Pause(at, StageMap))
	must(s.Pause(at, StageFetch))
	if since := must(s.Pause(at.Add(time.Hour), StageMap)); !since.Equal(at) {
		t.Errorf("a second pause: got since %v, want %v", since, at)
	}
	if _, err := s.Pause(at, StagePlatform); !errors.Is(err, ErrInvalid) {
		t.Errorf("a loop that cannot be paused: got %v, want %v", err, ErrInvalid)
	}
	_, _, err := s.Reset(at)
	ok(t, err)
	ok(t, s.Close())
	s = open()
	holds(s, map[Stage]time.Time{StageMap: at, StageFetch: at})
	if problems := must(s.Verify(t.Context())); len(problems) > 0 {
		t.Errorf("got %v, want nothing wrong", problems)
	}
	if !must(s.Resume(StageMap)) || must(s.Resume(StageDeliver)) {
		t.Error("Resume does not tell what was paused")
	}
	holds(s, map[Stage]time.Time{StageFetch: at})
	must(s.Resume(StageFetch))
	holds(s, map[Stage]time.Time{})
	ok(t, s.Close())
}
