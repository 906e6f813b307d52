package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/terminal"
	"threatmatch-connector/spool"
)

// completeFrom completes arguments from the current content of the spool. The shell
// waits for it, so on errors it proposes nothing.
func (g *globals) completeFrom(most int, propose func(inspect.Inspector) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var words []string
		_ = g.inspect(cmd.Context(), func(i inspect.Inspector) error {
			words = propose(i)
			return nil
		})
		for i, w := range words {
			word, about, _ := strings.Cut(w, "\t")
			if words[i] = terminal.Quote(word); about != "" {
				words[i] += "\t" + terminal.Quote(about)
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// proposals is how many entries of each kind are proposed at most.
const proposals = 100

func proposeRuns(i inspect.Inspector) []string {
	runs, _ := i.Runs(0, proposals)
	var words []string
	for _, r := range runs {
		words = append(words, strconv.FormatUint(r.ID, 10)+"\t"+r.Reason+", "+r.Phase)
	}
	return words
}

func proposeDead(i inspect.Inspector) []string {
	letters, _ := i.Dead(0, proposals)
	var words []string
	for _, d := range letters {
		words = append(words, fmt.Sprintf("%d\t%s %s %s", d.Key, d.Stage, d.Class, d.Of()))
	}
	tasks, _ := i.Tasks("", proposals)
	for _, t := range tasks {
		if t.IsParked() {
			words = append(words, fmt.Sprintf("%s/%s\tparked", t.Dataset, t.Source))
		}
	}
	return words
}

func proposeDroppable(i inspect.Inspector) []string {
	words := proposeDead(i)
	held, _ := i.Held(proposals)
	for _, h := range held {
		words = append(words, fmt.Sprintf("%s\theld for %s", h.ID, h.For))
	}
	return words
}

// proposeKeys completes the second argument of show, depending on the first.
func (g *globals) proposeKeys(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return spool.Buckets(), cobra.ShellCompDirectiveNoFileComp
	case 1:
		return g.completeFrom(0, func(i inspect.Inspector) []string {
			entries, _ := i.List(args[0], "", proposals)
			var words []string
			for _, e := range entries {
				words = append(words, e.Key)
			}
			return words
		})(cmd, args, toComplete)
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// oneOf completes a flag from fixed words.
func oneOf(c *cobra.Command, flag string, words ...string) {
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // cannot fail: the flag exists
}
