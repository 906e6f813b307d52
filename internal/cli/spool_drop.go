package cli

import (
	"github.com/spf13/cobra"

	"threatmatch-connector/internal/admin"
)

func newSpoolDrop(g *globals) *cobra.Command {
	var healed bool
	c := &cobra.Command{
		Use:   "drop KEY… | --healed",
		Short: "Remove dead letters, parked items and held objects for good",
		Long: "Remove dead letters (by number, or all of an item by dataset/id), parked items (by dataset/id) and held\n" +
			"objects (by STIX id) for good. This is the only command that loses data which ThreatMatch has returned;\n" +
			"export it first if in doubt. --healed removes all dead letters that were retried successfully.",
		Example:           "  " + name + " spool drop 3\n  " + name + " spool drop relationship--6d3c…\n  " + name + " spool drop --healed --yes",
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: g.completeFrom(0, proposeDroppable),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.touch(cmd, request{verb: "drop for good", keys: args, every: healed, filter: filter{healed: true}, do: admin.Changes.Drop})
		},
	}
	c.Flags().BoolVar(&healed, "healed", false, "all dead letters that are healed")
	yesFlag(c)
	return c
}
