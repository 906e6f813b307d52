package cli

import (
	"github.com/spf13/cobra"

	"threatmatch-connector/internal/admin"
)

func newResume(g *globals) *cobra.Command {
	return g.newStageCommand("resume", "Resume a paused stage",
		"Resume a stage that was paused. The command works on a running and on a stopped connector, and asks, unless --yes.",
		map[string]string{"fetch": "resume fetch?", "map": "resume map?", "deliver": "resume deliver?"}, admin.Changes.Resume)
}
