package cli

import (
	"bufio"
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
