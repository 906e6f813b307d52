package cli

import (
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

func newSkip(g *globals) *cobra.Command {
	var set, to string
	c := &cobra.Command{
		Use:   "skip --dataset NAME --to DATE",
		Short: "Move a dataset past data that ThreatMatch does not return",
		Long: "Move a dataset past data that ThreatMatch does not return: if each run fails at the same list or page,\n" +
			"nothing after it is imported. The next run begins at the given date. A dead letter of class gap records\n" +
			"the skipped time; once ThreatMatch returns that data, a repull imports it. The command works on a\n" +
			"running and on a stopped connector, says what it will do and asks, unless --yes.",
		Example: "  " + name + " skip --dataset iocs --to 2026-01-31\n  " + name + " skip --dataset iocs --to 2026-01-31T12:00:00Z --yes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := g.skipRequest(set, to)
			if err != nil {
				return err
			}
			return g.skip(cmd, q)
		},
	}
	c.Flags().StringVar(&set, "dataset", "", "the dataset, one of "+strings.Join(datasetNames, ", ")+"; required")
	c.Flags().StringVar(&to, "to", "", "where to continue: a date (2026-01-31, 2026-01-31T12:00:00Z) or how long ago (P7D); required")
	yesFlag(c)
	oneOf(c, "dataset", datasetNames...)
	return c
}

func (g *globals) skipRequest(set, to string) (admin.SkipRequest, error) {
	if set == "" || to == "" {
		return admin.SkipRequest{}, errUsage{errors.New("--dataset and --to are needed: which dataset goes on from where, such as --dataset iocs --to 2026-01-31")}
	}
	if err := checkDatasets(set); err != nil {
		return admin.SkipRequest{}, err
	}
	at, err := g.pastTime("to", to)
	return admin.SkipRequest{Dataset: set, To: at}, err
}

// skip says what will be given up, asks, and does it.
func (g *globals) skip(cmd *cobra.Command, q admin.SkipRequest) error {
	return g.change(cmd.Context(), func(i inspect.Inspector, _ *spool.Spool) (bool, error) {
		from, err := i.SkipFrom(spool.Dataset(q.Dataset), q.To)
		if err != nil {
			return false, err
		}
		if !yes(cmd) {
			saySkip(cmd.ErrOrStderr(), from, q)
		}
		return true, agreed(cmd, "go on from there?")
	}, func(c admin.Changes) error {
		a, err := c.Skip(cmd.Context(), q)
		return g.answered(cmd, a, err)
	})
}

func saySkip(w io.Writer, from time.Time, q admin.SkipRequest) {
	say(w, "dataset: %s\nskipped: from %s to %s\n", q.Dataset, stamp(from), stamp(q.To))
	sayLine(w, "costs:   what changed in that time and was not fetched yet does not come; a dead letter names the span for a repull")
}
