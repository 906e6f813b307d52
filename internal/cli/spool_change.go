package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

func newSpoolRetry(g *globals) *cobra.Command {
	var every, yes bool
	var f filter
	c := &cobra.Command{
		Use:   "retry KEY… | --all",
		Short: "Retry dead letters and parked items, in their own run",
		Long: "Retry dead letters (by number, or all of an item by dataset/id) and parked items (by dataset/id), in\n" +
			"their own run. A running connector begins at once, a stopped one when it is started. --all takes all\n" +
			"dead letters that are not healed and all parked items; with --stage or --class, only those dead letters.",
		Example:           "  " + name + " spool retry 3 4 alerts/1234\n  " + name + " spool retry --all --class too_large",
		ValidArgsFunction: g.completeFrom(0, proposeDead),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFilter(cmd, f); err != nil {
				return err
			}
			return g.touch(cmd, change{
				verb: "try again", keys: args, every: every, filter: f, yes: yes, retry: true,
				live: (*admin.Client).Retry, stopped: g.retryStopped,
			})
		},
	}
	c.Flags().BoolVar(&every, "all", false, "everything that can be retried")
	c.Flags().StringVar(&f.stage, "stage", "", "with --all: only dead letters of this stage (fetch, map, deliver)")
	c.Flags().StringVar(&f.class, "class", "", "with --all: only dead letters of this class")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	oneOf(c, "stage", stageNames...)
	return c
}

var stageNames = []string{string(spool.StageFetch), string(spool.StageMap), string(spool.StageDeliver), string(spool.StagePlatform)}

// checkFilter rejects empty names, so that they do not mean "all".
func checkFilter(cmd *cobra.Command, f filter) error {
	if cmd.Flags().Changed("stage") && !slices.Contains(stageNames, f.stage) {
		return errUsage{fmt.Errorf("--stage %q is none of %s", f.stage, strings.Join(stageNames, ", "))}
	}
	if cmd.Flags().Changed("class") && f.class == "" {
		return errUsage{errors.New("--class is given without a name; leave it out for all classes")}
	}
	return nil
}

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

// change is a request to change named entries.
type change struct {
	verb    string
	keys    []string
	every   bool // all that match the filter, instead of keys
	filter  filter
	yes     bool
	retry   bool
	live    func(*admin.Client, admin.Names) (admin.Answer, error)
	stopped func(*spool.Spool, admin.Names) (admin.Answer, error)
}

// touch selects entries, shows them, asks, and makes the change, in the running
// daemon or under the lock of a stopped one.
func (g *globals) touch(cmd *cobra.Command, ch change) error {
	if ch.every == (len(ch.keys) > 0) {
		return errUsage{fmt.Errorf("name either keys or --%s", map[bool]string{true: "all", false: "healed"}[ch.retry])}
	}
	if !ch.every && ch.retry && (ch.filter.stage != "" || ch.filter.class != "") {
		return errUsage{errors.New("--stage and --class go with --all")}
	}
	p, err := g.place()
	if err != nil {
		return err
	}
	c, err := p.dial(cmd.Context())
	if err != nil {
		return err
	}
	var chosen selection
	if c != nil {
		defer func() { _ = c.Close() }()
		if chosen, err = g.choose(cmd, c, ch); err != nil {
			return err
		}
		return g.apply(cmd, ch, chosen, func(n admin.Names) (admin.Answer, error) { return ch.live(c, n) })
	}
	err = g.read(cmd.Context(), p, func(s *spool.Spool) (err error) { // a request that changes nothing must leave the file untouched
		chosen, err = g.choose(cmd, inspect.FromSpool(s), ch)
		return err
	})
	if err != nil {
		return err
	}
	if chosen.Len() == 0 {
		return g.apply(cmd, ch, chosen, nil)
	}
	return g.change(cmd.Context(), p, func(s *spool.Spool) error {
		return g.apply(cmd, ch, chosen, func(n admin.Names) (admin.Answer, error) { return ch.stopped(s, n) })
	})
}

// choose selects what the request names, shows it and asks.
func (g *globals) choose(cmd *cobra.Command, i inspect.Inspector, ch change) (selection, error) {
	s, err := choose(i, ch)
	if err != nil {
		return s, err
	}
	if ch.retry && ch.every {
		skipped, err := s.retryable(i)
		if err != nil {
			return s, err
		}
		if skipped > 0 {
			say(cmd.ErrOrStderr(), "%d dead letters are left out: they name nothing that could be fetched again\n", skipped)
		}
	}
	if ch.yes || s.Len() == 0 {
		return s, nil
	}
	s.print(cmd.ErrOrStderr())
	these := "this one"
	if n := s.Len(); n > 1 {
		these = fmt.Sprintf("these %d", n)
	}
	return s, g.agreed(cmd, ch.verb+" "+these+"?")
}

// apply makes the change in pieces.
func (g *globals) apply(cmd *cobra.Command, ch change, s selection, do func(admin.Names) (admin.Answer, error)) error {
	if s.Len() == 0 {
		nothing := "there is nothing to " + ch.verb
		if ch.filter.class != "" {
			nothing += " of class " + ch.filter.class + "; see: spool dead"
		}
		return g.printAnswers(cmd, []admin.Answer{{Message: nothing}})
	}
	var answers []admin.Answer
	for _, names := range s.batches() {
		a, err := do(names)
		if err != nil {
			return errors.Join(g.printAnswers(cmd, answers), err)
		}
		answers = append(answers, a)
	}
	return g.printAnswers(cmd, answers)
}

func choose(i inspect.Inspector, ch change) (selection, error) {
	if ch.every {
		return pickAll(i, ch.filter)
	}
	s, err := pick(i, ch.keys)
	if err == nil && ch.retry && len(s.Held) > 0 {
		err = errUsage{errors.New("held objects cannot be retried: they go out when the object they need comes")}
	}
	return s, err
}

// agreed asks on the terminal, and says that nothing is done unless the answer is
// yes. No answer means no.
func (g *globals) agreed(cmd *cobra.Command, question string) error {
	say(cmd.ErrOrStderr(), "%s [y/N] ", question)
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	sayLine(cmd.ErrOrStderr())
	no := errors.New("nothing was changed")
	if err != nil && line == "" { // nobody is there to answer
		return fault.Hint(no, "without a terminal to answer on, use --yes")
	}
	return no
}

func (g *globals) printAnswers(cmd *cobra.Command, answers []admin.Answer) error {
	if g.json {
		if len(answers) == 1 {
			return printJSON(cmd.OutOrStdout(), answers[0])
		}
		return printJSON(cmd.OutOrStdout(), append([]admin.Answer{}, answers...))
	}
	for _, a := range answers {
		if _, err := sayLine(cmd.OutOrStdout(), a.Message); err != nil {
			return err
		}
	}
	return nil
}

func (g *globals) retryStopped(s *spool.Spool, n admin.Names) (admin.Answer, error) {
	meta, err := s.Meta()
	if err != nil {
		return admin.Answer{}, err
	}
	run, err := s.Retry(meta.Epoch, g.env.Now(), n.Dead, n.Parked)
	if err != nil {
		return admin.Answer{}, err
	}
	g.note("retry asked for", "run", run.ID, "keys", n.Keys())
	return admin.Answer{
		Run: run.ID, Count: n.Len(), Message: admin.Retried(run.ID, n.Len()) + " when the connector is started",
	}, nil
}

func (g *globals) dropStopped(s *spool.Spool, n admin.Names) (admin.Answer, error) {
	count, err := s.Drop(n.Dead, n.Parked, n.Held)
	if err != nil {
		return admin.Answer{}, err
	}
	g.note("entries dropped", "keys", n.Keys())
	return admin.Answer{Count: count, Message: admin.Dropped(count)}, nil
}

func newSpoolCompact(g *globals) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "compact",
		Short: "Rewrite the file of a stopped connector without its free pages",
		Long: "Rewrite the file of a stopped connector without its free pages. A connector does this itself at startup\n" +
			"if much of the file is free. A crash leaves either the old or the new file, each complete.",
		Example: "  " + name + " spool compact --yes",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return g.compact(cmd.Context(), cmd, yes) },
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// stopped returns the place of a stopped connector's spool.
func (g *globals) stopped(ctx context.Context) (place, error) {
	p, err := g.place()
	if err != nil {
		return p, err
	}
	if c, _ := p.dial(ctx); c != nil {
		_ = c.Close()
		return p, errors.New("the connector is running: stop it first")
	}
	return p, nil
}

func (g *globals) compact(ctx context.Context, cmd *cobra.Command, yes bool) error {
	p, err := g.stopped(ctx)
	if err != nil {
		return err
	}
	var stats inspect.Stats
	err = g.read(ctx, p, func(s *spool.Spool) (err error) {
		stats, err = inspect.FromSpool(s).Stats()
		return err
	})
	if err != nil {
		return err
	}
	if !yes {
		if err := g.agreed(cmd, fmt.Sprintf("rewrite the file of %s, of which %s are in use?", size(stats.FileBytes), size(stats.LiveBytes))); err != nil {
			return err
		}
	}
	before, after, err := spool.Compact(ctx, p.dir)
	if err != nil {
		return err
	}
	g.note("spool compacted", "before", before, "after", after)
	if g.json {
		return printJSON(cmd.OutOrStdout(), map[string]int64{"bytes_before": before, "bytes_after": after})
	}
	_, err = say(cmd.OutOrStdout(), "%s before, %s now\n", size(before), size(after))
	return err
}
