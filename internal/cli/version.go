package cli

import (
	"github.com/spf13/cobra"

	"threatmatch-connector/internal/version"
)

func newVersion(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and build date",
		Example: "  " + name + " version --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := version.Get()
			if g.json {
				return printJSON(cmd.OutOrStdout(), v)
			}
			_, err := say(cmd.OutOrStdout(), "threatmatch-connector %s (commit %s, %s, %s)\n", v.Version, v.Commit, v.Date, v.Go)
			return err
		},
	}
}
