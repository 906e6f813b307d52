package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/app"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

func newSkip(g *globals) *cobra.Command {
	var set, to string
	var yes bool
	c := &cobra.Command{
		Use:   "skip --dataset NAME --to DATE",
		Short: "Move a dataset past data that ThreatMatch does not return",
		Long: "Move a dataset past data that ThreatMatch does not return: if each run fails at the same list or page,\n" +
			"nothing after it is imported. The next run begins at the given date. A dead letter of class gap records\n" +
			"the skipped time; once ThreatMatch returns that data, a repull imports it. The command works on a\n" +
			"running and on a stopped connector, says what it will do and asks, unless --yes.",
		Example: "  " + name + " skip --dataset iocs --to 2026-01-31\n  " + name + " skip --dataset iocs --to 2026-01-31T12:00:00Z --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := g.skipRequest(set, to)
			if err != nil {
				return err
			}
			return g.skip(cmd, q, yes)
		},
	}
	c.Flags().StringVar(&set, "dataset", "", "the dataset: profiles, alerts, reports or iocs; required")
	c.Flags().StringVar(&to, "to", "", "where to continue: a date (2026-01-31, 2026-01-31T12:00:00Z) or how long ago (P7D); required")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	oneOf(c, "dataset", datasetNames()...)
	return c
}

func (g *globals) skipRequest(set, to string) (admin.SkipRequest, error) {
	if set == "" || to == "" {
		return admin.SkipRequest{}, errUsage{errors.New("--dataset and --to are needed: which dataset goes on from where, such as --dataset iocs --to 2026-01-31")}
	}
	if !slices.Contains(datasetNames(), set) {
		return admin.SkipRequest{}, errUsage{fmt.Errorf("--dataset %q is none of %s", set, strings.Join(datasetNames(), ", "))}
	}
	at, err := config.ParseStart(to)
	if err != nil {
		return admin.SkipRequest{}, errUsage{fmt.Errorf("--to %q: %w", to, err)}
	}
	q := admin.SkipRequest{Dataset: set, To: at.Resolve(g.env.Now()).UTC()}
	if q.To.After(g.env.Now()) {
		return q, errUsage{fmt.Errorf("--to %s is not in the past", q.To.Format(time.RFC3339))}
	}
	return q, nil
}

// skip says what will be given up, asks, and does it, in the running daemon or
// under the lock of a stopped one.
func (g *globals) skip(cmd *cobra.Command, q admin.SkipRequest, yes bool) error {
	p, err := g.place()
	if err != nil {
		return err
	}
	c, err := p.dial(cmd.Context())
	if err != nil {
		return err
	}
	var a admin.Answer
	if c != nil {
		defer func() { _ = c.Close() }()
		if err := g.agreeSkip(cmd, c, q, yes); err != nil {
			return err
		}
		if a, err = c.Skip(q); err != nil {
			return err
		}
		return g.printAnswers(cmd, []admin.Answer{a})
	}
	err = g.read(cmd.Context(), p, func(s *spool.Spool) error { // a request that changes nothing must leave the file untouched
		if _, err := s.SkipFrom(spool.Dataset(q.Dataset), q.To); err != nil {
			return err
		}
		return g.agreeSkip(cmd, inspect.FromSpool(s), q, yes)
	})
	if err != nil {
		return err
	}
	err = g.change(cmd.Context(), p, func(s *spool.Spool) error {
		skipped, answer, err := app.Skip(s, g.env.Now(), q)
		if err == nil {
			a = answer
			g.note("dataset skipped", "dataset", q.Dataset, "from", skipped.From, "to", skipped.To, "dead_letter", skipped.Dead)
		}
		return err
	})
	if err != nil {
		return err
	}
	return g.printAnswers(cmd, []admin.Answer{a})
}

func (g *globals) agreeSkip(cmd *cobra.Command, i inspect.Inspector, q admin.SkipRequest, yes bool) error {
	if yes {
		return nil
	}
	stats, err := i.Stats()
	if err != nil {
		return err
	}
	saySkip(cmd.ErrOrStderr(), stats, q)
	return g.agreed(cmd, "go on from there?")
}

func saySkip(w io.Writer, stats inspect.Stats, q admin.SkipRequest) {
	from := "where its first import began"
	for _, m := range stats.Watermarks {
		if m.Dataset == q.Dataset && !m.Fetched.IsZero() {
			from = stamp(m.Fetched)
		}
	}
	say(w, "dataset: %s\nskipped: from %s to %s\n", q.Dataset, from, stamp(q.To))
	sayLine(w, "costs:   what changed in that time and was not fetched yet does not come; a dead letter names the span for a repull")
}
