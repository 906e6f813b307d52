package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// pausable are the stages that can be paused.
var pausable = words(spool.Pausable())

func newPause(g *globals) *cobra.Command {
	return g.newStageCommand("pause", "Pause a stage until resume, also across restarts",
		"Pause a stage until resume, also across restarts: fetch requests nothing from ThreatMatch, map maps nothing,\n"+
			"deliver sends nothing. Responses and a bundle under way are finished first. The other stages continue. The\n"+
			"connector stays alive but is not ready, and the first line of status says so. The command works on a running\n"+
			"and on a stopped connector, and asks, unless --yes.",
		map[string]string{
			"fetch":   "ask ThreatMatch for nothing until it is resumed?",
			"map":     "map nothing until it is resumed?",
			"deliver": "send nothing to OpenCTI until it is resumed?",
		}, admin.Changes.Pause)
}

// newStageCommand returns a command that changes a stage; questions are by stage.
func (g *globals) newStageCommand(verb, short, long string, questions map[string]string,
	do func(admin.Changes, context.Context, admin.StageRequest) (admin.Answer, error)) *cobra.Command {
	c := &cobra.Command{
		Use: verb + " STAGE", Short: short, Long: long,
		Example:   "  " + name + " " + verb + " fetch\n  " + name + " " + verb + " deliver --yes",
		Args:      cobra.ExactArgs(1),
		ValidArgs: pausable,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(pausable, args[0]) {
				return errUsage{fmt.Errorf("stage %q is none of %s", args[0], strings.Join(pausable, ", "))}
			}
			return g.change(cmd.Context(), func(inspect.Inspector, *spool.Spool) (bool, error) {
				return true, agreed(cmd, questions[args[0]])
			}, func(c admin.Changes) error {
				a, err := do(c, cmd.Context(), admin.StageRequest{Stage: args[0]})
				return g.answered(cmd, a, err)
			})
		},
	}
	yesFlag(c)
	return c
}
