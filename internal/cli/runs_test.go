package cli_test

import (
	"testing"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/cli"
)

func TestResumedRunsShow(t *testing.T) {
	for _, tt := range []struct {
		run  admin.Run
		want string
	}{{admin.Run{Reason: "once"}, "once"}, {admin.Run{Reason: "schedule", Resumed: true}, "schedule (resumed)"}} {
		if got := cli.ReasonOf(tt.run); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
