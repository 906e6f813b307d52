package cli

import (
	"io"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/version"
)

func newVersion(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and build date",
		Example: "  " + name + " version --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := version.Get()
			return g.print(cmd.OutOrStdout(), v, func(w io.Writer) error {
				_, err := say(w, "threatmatch-connector %s (commit %s, %s, %s)\n", v.Version, v.Commit, v.Date, v.Go)
				return err
			})
		},
	}
}
