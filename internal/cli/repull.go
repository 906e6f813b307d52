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
			"even if it was published before. The watermarks do not move. A running connector begins when what it\n" +
			"fetches now is fetched, a stopped one when it is started. The first run asks only what there is, and\n" +
			"later runs of reason repull bring it in slices, between which new data gets its turn. The command says\n" +
			"what it will do and asks, unless --yes.",
		Example: "  " + name + " repull --from 2026-01-31\n  " + name + " repull --from P7D --dataset alerts --dataset iocs --yes",
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
	c.Flags().StringSliceVar(&sets, "dataset", nil, "only this dataset, repeatable: "+strings.Join(datasetNames, ", "))
	yesFlag(c)
	oneOf(c, "dataset", datasetNames...)
	return c
}

func (g *globals) repullRequest(from string, sets []string) (admin.RepullRequest, error) {
	if from == "" {
		return admin.RepullRequest{}, errUsage{errors.New("--from is missing: where to begin, such as --from 2026-01-31")}
	}
	at, err := g.pastTime("from", from)
	if err != nil {
		return admin.RepullRequest{}, err
	}
	return admin.RepullRequest{From: at, Datasets: sets}, checkDatasets(sets...)
}

// pastTime reads a flag that names a point in time, which must not be in the future.
func (g *globals) pastTime(flag, text string) (time.Time, error) {
	start, err := config.ParseStart(text)
	if err != nil {
		return time.Time{}, errUsage{fmt.Errorf("--%s %q: %w; give a date (2026-01-31, 2026-01-31T12:00:00Z) or how long ago (P7D)", flag, text, err)}
	}
	at := start.Resolve(g.env.Now()).UTC()
	if at.After(g.env.Now()) {
		return at, errUsage{fmt.Errorf("--%s %s is not in the past", flag, at.Format(time.RFC3339))}
	}
	return at, nil
}

// datasetNames are what --dataset takes.
var datasetNames = words(spool.Datasets())

func checkDatasets(names ...string) error {
	for _, d := range names {
		if !slices.Contains(datasetNames, d) {
			return errUsage{fmt.Errorf("--dataset %q is none of %s", d, strings.Join(datasetNames, ", "))}
		}
	}
	return nil
}

// words converts names to plain texts.
func words[T ~string](names []T) []string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = string(n)
	}
	return all
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
