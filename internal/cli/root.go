// Package cli is the command line: it loads settings, calls the rest, prints
// tables for people and JSON for scripts, and turns errors into exit codes.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/version"
)

// Env is the world around a command; tests replace it.
type Env struct {
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Environ []string
	Now     func() time.Time
	Self    string // path of this program, for child processes
}

// System returns the real world.
func System() Env {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return Env{os.Stdin, os.Stdout, os.Stderr, os.Environ(), time.Now, self}
}

// Main runs one command line and returns its exit code.
func Main(args []string, env Env) int {
	root := newRoot(env)
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(context.Background())
	if err != nil && !errors.Is(err, errQuiet) {
		fmt.Fprintln(env.Stderr, "error:", err)
		if hint := fault.HintOf(err); hint != "" {
			fmt.Fprintln(env.Stderr, "hint: ", hint)
		}
	}
	return exitCode(err)
}

// errQuiet ends a command that has already printed its outcome.
var errQuiet = errors.New("already reported")

// globals are the flags that every command has.
type globals struct {
	env    Env
	config string
	dir    string
	json   bool
}

func newRoot(env Env) *cobra.Command {
	g := &globals{env: env}
	root := &cobra.Command{
		Use:           "threatmatch-connector",
		Short:         "Bring ThreatMatch intelligence into OpenCTI, without losing a record",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version.Get().Version,
		Args:          cobra.NoArgs,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return errUsage{err} })
	f := root.PersistentFlags()
	f.StringVar(&g.config, "config", "", "settings file (default ./config.yml when it exists)")
	f.StringVar(&g.dir, "spool-dir", "", "spool directory (default: the setting spool.dir)")
	f.BoolVar(&g.json, "json", false, "print JSON")
	root.AddCommand(newRun(g), newSpool(g), newConfig(g), newVersion(g), newSpoolCheck())
	usageArgs(root)
	return root
}

// usageArgs lets wrong arguments of c and its children end with the usage exit code.
func usageArgs(c *cobra.Command) {
	if c.HasSubCommands() && !c.Runnable() {
		c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return errUsage{err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		usageArgs(sub)
	}
}
