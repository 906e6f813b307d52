package cli_test

import (
	"testing"

	"threatmatch-connector/internal/cli"
	"threatmatch-connector/internal/inspect"
)

func TestResumedRunsShow(t *testing.T) {
	for _, tt := range []struct {
		run  inspect.Run
		want string
	}{{inspect.Run{Reason: "once"}, "once"}, {inspect.Run{Reason: "schedule", Resumed: true}, "schedule (resumed)"}} {
		if got := cli.ReasonOf(tt.run); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// Authors and markings are messages too.
func TestObjectsAndMessagesAreCountedAlike(t *testing.T) {
	got := cli.ProgressOf(inspect.Run{Counters: map[string]int64{
		"map.records": 3, "map.published": 10, "map.companions:identity--1": 1, "map.companions:marking-definition--2": 2, "deliver.messages": 12,
	}})
	if want := "0 fetched, 12 of 13 messages confirmed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
