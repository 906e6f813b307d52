package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/app"
	"threatmatch-connector/spool"
)

func pausable() []string {
	var all []string
	for _, st := range spool.Pausable() {
		all = append(all, string(st))
	}
	return all
}

func newPause(g *globals) *cobra.Command {
	return g.newStageCommand("pause", "Pause a stage until resume, also across restarts",
		"Pause a stage until resume, also across restarts: fetch requests nothing from ThreatMatch, map maps nothing,\n"+
			"deliver sends nothing. Responses and a bundle under way are finished first. The other stages continue. The\n"+
			"connector stays alive but is not ready, and the first line of status says so. The command works on a running\n"+
			"and on a stopped connector, and asks, unless --yes.",
		stageChange{
			question: map[string]string{
				"fetch":   "ask ThreatMatch for nothing until it is resumed?",
				"map":     "map nothing until it is resumed?",
				"deliver": "send nothing to OpenCTI until it is resumed?",
			},
			logged: "stage paused", live: (*admin.Client).Pause,
			stopped: func(s *spool.Spool, q admin.StageRequest) (admin.Answer, error) { return app.Pause(s, g.env.Now(), q) },
		})
}

// stageChange is a requested change to a stage.
type stageChange struct {
	question map[string]string // by stage; nil: "resume it?"
	logged   string
	live     func(*admin.Client, admin.StageRequest) (admin.Answer, error)
	stopped  func(*spool.Spool, admin.StageRequest) (admin.Answer, error)
}

func (g *globals) newStageCommand(verb, short, long string, ch stageChange) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: verb + " STAGE", Short: short, Long: long,
		Example:   "  " + name + " " + verb + " fetch\n  " + name + " " + verb + " deliver --yes",
		Args:      cobra.ExactArgs(1),
		ValidArgs: pausable(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(pausable(), args[0]) {
				return errUsage{fmt.Errorf("stage %q is none of %s", args[0], strings.Join(pausable(), ", "))}
			}
			question := ch.question[args[0]]
			if question == "" {
				question = "resume " + args[0] + "?"
			}
			if !yes {
				if err := g.agreed(cmd, question); err != nil {
					return err
				}
			}
			a, err := g.changeStage(cmd, ch, admin.StageRequest{Stage: args[0]})
			if err != nil {
				return err
			}
			return g.printAnswers(cmd, []admin.Answer{a})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// changeStage makes the change in the running daemon, or under the lock of a
// stopped one.
func (g *globals) changeStage(cmd *cobra.Command, ch stageChange, q admin.StageRequest) (a admin.Answer, err error) {
	p, err := g.place()
	if err != nil {
		return a, err
	}
	c, err := p.dial(cmd.Context())
	if err != nil {
		return a, err
	}
	if c != nil {
		defer func() { _ = c.Close() }()
		return ch.live(c, q)
	}
	err = g.change(cmd.Context(), p, func(s *spool.Spool) error {
		if a, err = ch.stopped(s, q); err == nil {
			g.note(ch.logged, "stage", q.Stage)
		}
		return err
	})
	return a, err
}
