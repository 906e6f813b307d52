package cli

import (
	"github.com/spf13/cobra"

	"threatmatch-connector/internal/admin"
)

func newTrigger(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "trigger",
		Short:   "Let the running connector import now",
		Long:    "Let the running connector import now. If a run is already being fetched, no new one starts.",
		Example: "  " + name + " trigger",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.daemon(cmd.Context(), func(c *admin.Client) error {
				a, err := c.Trigger(cmd.Context())
				return g.answered(cmd, a, err)
			})
		},
	}
}
