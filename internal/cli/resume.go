package cli

import (
	"github.com/spf13/cobra"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/app"
)

func newResume(g *globals) *cobra.Command {
	return g.newStageCommand("resume", "Resume a paused stage",
		"Resume a stage that was paused. The command works on a running and on a stopped connector, and asks, unless --yes.",
		stageChange{logged: "stage resumed", live: (*admin.Client).Resume, stopped: app.Resume})
}
