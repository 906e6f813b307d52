package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/admin"
)

func newSpoolRetry(g *globals) *cobra.Command {
	var every bool
	var f filter
	c := &cobra.Command{
		Use:   "retry KEY… | --all",
		Short: "Retry dead letters and parked items, in their own run",
		Long: "Retry dead letters (by number, or all of an item by dataset/id) and parked items (by dataset/id), in\n" +
			"their own run, or in several if they are many. A running connector begins when what it fetches now is\n" +
			"fetched, a stopped one when it is started. --all takes all dead letters that are not healed and all\n" +
			"parked items; with --stage or --class, only those dead letters.",
		Example:           "  " + name + " spool retry 3 4 alerts/1234\n  " + name + " spool retry --all --class too_large",
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: g.completeFrom(0, proposeDead),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFilter(cmd, f); err != nil {
				return err
			}
			return g.touch(cmd, request{verb: "try again", keys: args, every: every, filter: f, retry: true, do: admin.Changes.Retry})
		},
	}
	c.Flags().BoolVar(&every, "all", false, "everything that can be retried")
	c.Flags().StringVar(&f.stage, "stage", "", "with --all: only dead letters of this stage: "+strings.Join(stageNames, ", "))
	c.Flags().StringVar(&f.class, "class", "", "with --all: only dead letters of this class")
	yesFlag(c)
	oneOf(c, "stage", stageNames...)
	return c
}
