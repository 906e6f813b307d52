// Package cli is the command line: it loads settings, calls the other packages,
// prints tables for people and JSON for scripts, and turns errors into exit codes.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/version"
)

// Env is a command's environment; tests replace it.
type Env struct {
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Environ []string
	Now     func() time.Time
	// StepAside gives this process the lowest priority; nil: do not, other things
	// run in this process.
	StepAside func()
}

// System returns the real environment.
func System() Env {
	return Env{os.Stdin, os.Stdout, os.Stderr, os.Environ(), time.Now, stepAside}
}

// Main runs one command line and returns its exit code.
func Main(args []string, env Env) int {
	g := &globals{env: env}
	root := newRoot(g)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(context.Background())
	if err != nil && !g.entered { // the command itself was never reached
		err = misused(cmd, err)
	}
	if _, told := errors.AsType[quietError](err); err != nil && !told {
		printError(env.Stderr, err)
	}
	return exitCode(err)
}

// globals are the flags that every command has.
type globals struct {
	env    Env
	config string
	dir    string
	json   bool

	entered bool // the command line was valid and the command has begun
}

func newRoot(g *globals) *cobra.Command {
	root := &cobra.Command{
		Use:   name,
		Short: "Import ThreatMatch intelligence into OpenCTI without losing a record",
		Long: "threatmatch-connector imports profiles, alerts, reports and IOCs from ThreatMatch into OpenCTI.\n" +
			"Everything it has fetched is kept in a spool on disk until RabbitMQ has confirmed it.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version.Get().Version,
	}
	root.SetIn(g.env.Stdin)
	root.SetOut(g.newScreen(g.env.Stdout)) // must come before the completion commands, which store it
	root.SetErr(g.env.Stderr)
	f := root.PersistentFlags()
	f.StringVar(&g.config, "config", "", "settings file (default ./config.yml when it exists)")
	f.StringVar(&g.dir, "spool-dir", "", "spool directory (default: the setting spool.dir)")
	f.BoolVar(&g.json, "json", false, "print JSON")
	root.AddCommand(
		newRun(g), newCheck(g), newStatus(g), newTrigger(g), newRepull(g), newSkip(g), newPause(g), newResume(g), newUI(g), newHealth(g), newSpool(g), newConfig(g), newVersion(g),
	)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	g.enter(root)
	return root
}

// name is the program's name in help and hints.
const name = "threatmatch-connector"

// enter records, for c and its children, that a command has begun: any error before
// that is a usage error. A command that only has children prints its help. One that
// does not say which arguments it takes takes none.
func (g *globals) enter(c *cobra.Command) {
	if c.HasSubCommands() && !c.Runnable() {
		c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if c.Name() == "help" {
		c.Run, c.RunE, c.Args = nil, helpOn, cobra.ArbitraryArgs
	}
	if c.Args == nil {
		c.Args = cobra.NoArgs
	}
	if run := c.RunE; run != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			g.entered = true
			return run(cmd, args)
		}
	}
	for _, sub := range c.Commands() {
		g.enter(sub)
	}
}

// stepAside is for commands that read the whole spool.
func (g *globals) stepAside() {
	if g.env.StepAside != nil {
		g.env.StepAside()
	}
}

// helpOn prints the help of the named command.
func helpOn(cmd *cobra.Command, args []string) error {
	about, rest, err := cmd.Root().Find(args)
	if err != nil || about == nil || len(rest) > 0 {
		return errUsage{fmt.Errorf("no help on %q", strings.Join(args, " "))}
	}
	about.InitDefaultHelpFlag()
	return about.Help()
}
