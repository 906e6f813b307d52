package cli

import (
	"github.com/spf13/cobra"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/spool"
)

func newSpoolDrop(g *globals) *cobra.Command {
	var healed, yes bool
	c := &cobra.Command{
		Use:   "drop KEY… | --healed",
		Short: "Remove dead letters, parked items and held objects for good",
		Long: "Remove dead letters (by number, or all of an item by dataset/id), parked items (by dataset/id) and held\n" +
			"objects (by STIX id) for good. This is the only command that loses data which ThreatMatch has returned;\n" +
			"export it first if in doubt. --healed removes all dead letters that were retried successfully.",
		Example:           "  " + name + " spool drop 3\n  " + name + " spool drop relationship--6d3c…\n  " + name + " spool drop --healed --yes",
		ValidArgsFunction: g.completeFrom(0, proposeDroppable),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.touch(cmd, change{
				verb: "drop for good", keys: args, every: healed, filter: filter{healed: true}, yes: yes,
				live: (*admin.Client).Drop, stopped: g.dropStopped,
			})
		},
	}
	c.Flags().BoolVar(&healed, "healed", false, "all dead letters that are healed")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (g *globals) dropStopped(s *spool.Spool, n admin.Names) (admin.Answer, error) {
	count, err := s.Drop(n.Dead, n.Parked, n.Held)
	if err != nil {
		return admin.Answer{}, err
	}
	g.note("entries dropped", "keys", n.Keys())
	return admin.Answer{Count: count, Message: admin.Dropped(count)}, nil
}
