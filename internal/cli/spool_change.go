package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

var stageNames = words([]spool.Stage{spool.StageFetch, spool.StageMap, spool.StageDeliver, spool.StagePlatform})

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

// request asks for a change of named entries.
type request struct {
	verb   string
	keys   []string
	every  bool // all that match the filter, instead of keys
	filter filter
	retry  bool
	do     func(admin.Changes, context.Context, admin.Names) (admin.Answer, error)
}

// touch selects entries, shows them, asks, and makes the change.
func (g *globals) touch(cmd *cobra.Command, r request) error {
	if r.every == (len(r.keys) > 0) {
		return errUsage{fmt.Errorf("name either keys or --%s", map[bool]string{true: "all", false: "healed"}[r.retry])}
	}
	if !r.every && r.retry && (r.filter.stage != "" || r.filter.class != "") {
		return errUsage{errors.New("--stage and --class go with --all")}
	}
	var chosen selection
	return g.change(cmd.Context(), func(i inspect.Inspector, _ *spool.Spool) (_ bool, err error) {
		if chosen, err = choose(i, r); err != nil {
			return false, err
		}
		if chosen.skipped > 0 {
			say(cmd.ErrOrStderr(), "%d dead letters are left out: they name nothing that could be fetched again\n", chosen.skipped)
		}
		if chosen.Len() == 0 {
			nothing := "there is nothing to " + r.verb
			if r.filter.class != "" {
				nothing += " of class " + r.filter.class + "; see: spool dead"
			}
			return false, g.answer(cmd, admin.Answer{Message: nothing})
		}
		these := "this one"
		if n := chosen.Len(); n > 1 {
			these = fmt.Sprintf("these %d", n)
		}
		if !yes(cmd) {
			chosen.print(cmd.ErrOrStderr())
		}
		return true, agreed(cmd, r.verb+" "+these+"?")
	}, func(c admin.Changes) error {
		var answers []admin.Answer
		for _, names := range chosen.batches() {
			a, err := r.do(c, cmd.Context(), names)
			if err != nil {
				return errors.Join(g.answer(cmd, answers...), err)
			}
			answers = append(answers, a)
		}
		return g.answer(cmd, answers...)
	})
}

func choose(i inspect.Inspector, r request) (selection, error) {
	if r.every {
		return pickAll(i, r.filter, r.retry)
	}
	s, err := pick(i, r.keys)
	if err == nil && r.retry && len(s.Held) > 0 {
		err = errUsage{errors.New("held objects cannot be retried: they go out when the object they need comes")}
	}
	return s, err
}

// yesFlag adds --yes, with which agreed does not ask.
func yesFlag(c *cobra.Command) { c.Flags().Bool("yes", false, "do not ask") }

func yes(cmd *cobra.Command) bool {
	v, err := cmd.Flags().GetBool("yes")
	return v && err == nil
}

// agreed asks on the terminal, and says that nothing is done unless the answer is
// yes. No answer means no. With --yes it does not ask.
func agreed(cmd *cobra.Command, question string) error {
	if yes(cmd) {
		return nil
	}
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

// answered prints what was done, if it was.
func (g *globals) answered(cmd *cobra.Command, a admin.Answer, err error) error {
	if err != nil {
		return err
	}
	return g.answer(cmd, a)
}

// answer prints what was done.
func (g *globals) answer(cmd *cobra.Command, answers ...admin.Answer) error {
	var v any = append([]admin.Answer{}, answers...)
	if len(answers) == 1 {
		v = answers[0]
	}
	return g.print(cmd.OutOrStdout(), v, func(w io.Writer) error {
		for _, a := range answers {
			if _, err := sayLine(w, a.Message); err != nil {
				return err
			}
		}
		return nil
	})
}
