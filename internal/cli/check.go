package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/check"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/terminal"
	"threatmatch-connector/internal/version"
)

func newCheck(g *globals) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "check",
		Short: "Test the whole set-up: settings, spool, clock, ThreatMatch, OpenCTI, RabbitMQ",
		Long: "Test the whole set-up and report for each part whether it works and, if not, what to do. Nothing is\n" +
			"changed anywhere: no file is written, nothing is registered.\n\n" +
			"Exit code: 0 if everything that can be tested works, 1 if something must be fixed, 78 if the settings\n" +
			"are wrong.",
		Example: "  " + name + " check\n  " + name + " check --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			return g.check(ctx, cmd.OutOrStdout(), timeout)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 20*time.Second, "time limit for the whole check")
	return c
}

func (g *globals) check(ctx context.Context, w io.Writer, timeout time.Duration) error {
	findings := []check.Finding{}
	tell := func(f check.Finding) {
		findings = append(findings, f)
		if !g.json {
			printFinding(w, f)
		}
	}
	cfg := g.checkSettings(tell)
	if cfg != nil {
		if g.dir != "" {
			cfg.Spool.Dir = g.dir
		}
		check.Run(ctx, check.Options{
			Config: cfg, Now: g.env.Now, Version: version.Get().Version, Running: g.runningPID(ctx), Timeout: timeout,
		}, tell)
	}
	if g.json {
		if err := printJSON(w, findings); err != nil {
			return err
		}
	} else {
		say(w, "\n%s\n", verdict(findings))
	}
	switch {
	case cfg == nil:
		return quiet(errUsage{errors.New("the settings are wrong")})
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	for _, f := range findings {
		if f.Verdict == check.Failed {
			return quiet(errors.New("something must be fixed"))
		}
	}
	return nil
}

// checkSettings reports each problem and warning. It returns nil if there are
// problems.
func (g *globals) checkSettings(tell func(check.Finding)) *config.Config {
	const name = "settings"
	cfg, report, err := config.Load(g.configOptions())
	for _, p := range config.ProblemsOf(err) {
		tell(check.Finding{Name: name, Verdict: check.Failed, Detail: p.Error()})
	}
	for _, w := range report.Warnings {
		tell(check.Finding{Name: name, Verdict: check.Note, Detail: w.String()})
	}
	if err != nil {
		return nil
	}
	tell(check.Finding{Name: name, Verdict: check.OK, Detail: "from " + settingsFrom(report)})
	return cfg
}

// settingsFrom says where the settings were read from.
func settingsFrom(report config.Report) string {
	var from []string
	if report.File != "" {
		from = append(from, report.File)
	}
	for _, source := range []struct{ prefix, name string }{{".env", ".env"}, {"environment ", "the environment"}} {
		for _, origin := range report.Origins {
			if strings.HasPrefix(origin, source.prefix) {
				from = append(from, source.name)
				break
			}
		}
	}
	return cmp.Or(strings.Join(from, " and "), "the defaults")
}

// verdict sums up the findings.
func verdict(findings []check.Finding) string {
	n := map[check.Verdict]int{}
	for _, f := range findings {
		n[f.Verdict]++
	}
	switch {
	case n[check.Failed] > 0:
		return inspect.Count(n[check.Failed], "thing") + " must be fixed before the connector can work."
	case n[check.Unknown] > 0:
		return "Nothing is wrong; " + inspect.Count(n[check.Unknown], "thing") + " cannot be tested yet."
	}
	return "Everything works."
}

// runningPID returns the process id of the connector that runs on the spool, 0 if
// there is none.
func (g *globals) runningPID(ctx context.Context) int {
	p, err := g.place()
	if err != nil {
		return 0
	}
	c, err := p.dial(ctx)
	if err == nil && c != nil {
		_ = c.Close()
	}
	if c != nil || err != nil && alive(p.info.PID) { // the socket may be left over from a killed process
		return max(p.info.PID, 1)
	}
	return 0
}

// alive reports whether a process with this id may exist; 0 means unknown.
func alive(pid int) bool {
	return pid <= 0 || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

func printFinding(w io.Writer, f check.Finding) {
	mark := map[check.Verdict]string{check.OK: "✓", check.Note: "!", check.Failed: "✗", check.Unknown: "?"}[f.Verdict]
	const indent = 23
	lines := func(first, then, text string) {
		shown := []string{text}
		if s := screenOf(w); s.terminal {
			shown = wrap(text, s.width-indent-utf8.RuneCountInString(then))
		}
		for i, line := range shown {
			if i > 0 {
				first = fmt.Sprintf("%*s%s", indent, "", then)
			}
			say(w, "%s%s\n", first, line)
		}
	}
	lines(fmt.Sprintf("%s %-20s ", mark, f.Name), "", terminal.Quote(clip(f.Detail, 500)))
	if f.Hint != "" {
		lines(fmt.Sprintf("  %-20s → ", ""), "  ", terminal.Quote(f.Hint))
	}
}
