package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

func newRepull(g *globals) *cobra.Command {
	var from string
	var sets []string
	c := &cobra.Command{
		Use:   "repull --from DATE",
		Short: "Import a past window again, even what was published before",
		Long: "Import a past window again: everything that ThreatMatch lists from that date on is fetched and sent,\n" +
			"even if it was published before. The watermarks do not move. A running connector begins at once, a\n" +
			"stopped one when it is started. The command says what it will do and asks, unless --yes.",
		Example: "  " + name + " repull --from 2026-01-31\n  " + name + " repull --from P7D --dataset alerts --dataset iocs --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("dataset") && len(sets) == 0 {
				return errUsage{errors.New("--dataset is given without a name; leave it out for all datasets")}
			}
			q, err := g.repullRequest(from, sets)
			if err != nil {
				return err
			}
			return g.repull(cmd, q)
		},
	}
	c.Flags().StringVar(&from, "from", "", "start of the window: a date (2026-01-31, 2026-01-31T12:00:00Z) or how long ago (P7D); required")
	c.Flags().StringSliceVar(&sets, "dataset", nil, "only this dataset, repeatable: "+strings.Join(datasetNames(), ", "))
	yesFlag(c)
	oneOf(c, "dataset", datasetNames()...)
	return c
}

func (g *globals) repullRequest(from string, sets []string) (admin.RepullRequest, error) {
	now := g.env.Now()
	if from == "" {
		return admin.RepullRequest{}, errUsage{errors.New("--from is missing: where to begin, such as --from 2026-01-31")}
	}
	start, err := config.ParseStart(from)
	if err != nil {
		return admin.RepullRequest{}, errUsage{fmt.Errorf("--from %q: %w", from, err)}
	}
	at := start.Resolve(now)
	if at.After(now) {
		return admin.RepullRequest{}, errUsage{fmt.Errorf("--from %s is not in the past", at.Format(time.RFC3339))}
	}
	for _, d := range sets {
		if !slices.Contains(spool.Datasets(), spool.Dataset(d)) {
			return admin.RepullRequest{}, errUsage{fmt.Errorf("--dataset %q is none of %s", d, strings.Join(datasetNames(), ", "))}
		}
	}
	return admin.RepullRequest{From: at.UTC(), Datasets: sets}, nil
}

func datasetNames() []string {
	var names []string
	for _, d := range spool.Datasets() {
		names = append(names, string(d))
	}
	return names
}

// repull says what will be imported again and what that costs, asks, and starts it.
func (g *globals) repull(cmd *cobra.Command, q admin.RepullRequest) error {
	return g.change(cmd.Context(), func(_ inspect.Inspector, stopped *spool.Spool) (bool, error) {
		if stopped != nil { // the settings say which datasets are enabled, so they must be valid
			if _, _, err := g.load(); err != nil {
				return false, err
			}
		}
		if !yes(cmd) {
			g.sayRepull(cmd.ErrOrStderr(), q)
		}
		return true, agreed(cmd, "import this again?")
	}, func(c admin.Changes) error {
		a, err := c.Repull(cmd.Context(), q)
		return g.answered(cmd, a, err)
	})
}

func (g *globals) sayRepull(w io.Writer, q admin.RepullRequest) {
	sets := cmp.Or(strings.Join(q.Datasets, ", "), "all that are switched on")
	say(w, "datasets: %s\nwindow:   from %s (%s ago) until now\n", sets, stamp(q.From), span(g.env.Now().Sub(q.From)))
	sayLine(w, "costs:    one request for each item that ThreatMatch lists as changed in it, and each object goes to OpenCTI once more,")
	sayLine(w, "          also where nothing changed; nothing is doubled there, but its workers have to work through it")
}
