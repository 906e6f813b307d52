package cli

import (
	"github.com/spf13/cobra"

	"threatmatch-connector/config"
)

func newConfigPrint(g *globals) *cobra.Command {
	var origin, changed bool
	c := &cobra.Command{
		Use:     "print",
		Short:   "Print every setting in force; secrets are hidden",
		Example: "  " + name + " config print --origin",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, report, err := g.load()
			if err != nil {
				return err
			}
			printWarnings(cmd.ErrOrStderr(), report)
			return config.WriteEffective(cmd.OutOrStdout(), cfg, report, g.json, origin, changed)
		},
	}
	c.Flags().BoolVar(&changed, "changed", false, "print only what was set, not what is left at its default")
	c.Flags().BoolVar(&origin, "origin", false, "also print where each value comes from")
	return c
}
