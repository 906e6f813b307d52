package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/app"
)

func newCheck(g *globals) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "check",
		Short: "Try the whole set-up: settings, spool, clock, ThreatMatch, OpenCTI, RabbitMQ",
		Long: "Try the whole set-up and say of each part whether it works and, if not, what to do. Nothing is changed\n" +
			"anywhere: no file is written, nothing is registered.\n\n" +
			"Exit code: 0 when everything that can be told works, 1 when something must be mended, 2 when it is the settings.",
		Example: "  " + name + " check\n  " + name + " check --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			return g.check(ctx, cmd.OutOrStdout(), timeout)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 20*time.Second, "the longest wait for each answer")
	return c
}

func (g *globals) check(ctx context.Context, w io.Writer, timeout time.Duration) error {
	findings := []app.Finding{}
	tell := func(f app.Finding) {
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
		app.Check(ctx, app.CheckOptions{
			Config: cfg, Now: g.env.Now, Version: g.version(), Running: g.runningPID(ctx), Timeout: timeout,
		}, tell)
	}
	if g.json {
		if err := printJSON(w, findings); err != nil {
			return err
		}
	}
	switch {
	case cfg == nil:
		return quiet(errUsage{errors.New("the settings are wrong")})
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	for _, f := range findings {
		if f.Verdict == app.CheckFailed {
			return quiet(errors.New("something must be mended"))
		}
	}
	return nil
}

// checkSettings tells of each problem and warning; it returns nil when there are problems.
func (g *globals) checkSettings(tell func(app.Finding)) *config.Config {
	const name = "settings"
	cfg, report, err := config.Load(g.configOptions())
	for _, p := range config.ProblemsOf(err) {
		tell(app.Finding{Name: name, Verdict: app.CheckFailed, Detail: p.Error()})
	}
	for _, w := range report.Warnings {
		tell(app.Finding{Name: name, Verdict: app.CheckNote, Detail: w.String()})
	}
	if err != nil {
		return nil
	}
	from := "the environment"
	if report.File != "" {
		from = report.File + " and the environment"
	}
	tell(app.Finding{Name: name, Verdict: app.CheckOK, Detail: "from " + from})
	return cfg
}

// runningPID is the process of the connector that runs on the spool, 0 if there is none.
func (g *globals) runningPID(ctx context.Context) int {
	p, err := g.place()
	if err != nil {
		return 0
	}
	c, err := p.dial(ctx)
	if err == nil && c != nil {
		_ = c.Close()
	}
	if c != nil || err != nil {
		return max(p.info.PID, 1)
	}
	return 0
}

func printFinding(w io.Writer, f app.Finding) {
	mark := map[app.Verdict]string{app.CheckOK: "✓", app.CheckNote: "!", app.CheckFailed: "✗", app.CheckUnknown: "?"}[f.Verdict]
	fmt.Fprintf(w, "%s %-20s %s\n", mark, f.Name, clip(f.Detail, 500))
	if f.Hint != "" {
		fmt.Fprintf(w, "  %-20s → %s\n", "", f.Hint)
	}
}
