package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"threatmatch-connector/internal/app"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/logging"
	"threatmatch-connector/internal/version"
)

func newRun(g *globals) *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "run",
		Short: "Import from ThreatMatch, periodically or once",
		Long: "Import from ThreatMatch, periodically or once. A stage that was paused stays paused, and the start says so: a\n" +
			"daemon goes on with the others, a single run waits until the stage is resumed.",
		Example: "  " + name + " run\n  " + name + " run --once --config /etc/threatmatch-connector/config.yml",
		RunE:    func(cmd *cobra.Command, _ []string) error { return g.run(cmd.Context(), once) },
	}
	c.Flags().BoolVar(&once, "once", false, "finish what the spool holds, import once, and exit")
	return c
}

func (g *globals) run(ctx context.Context, once bool) error {
	cfg, report, err := g.load()
	if err != nil {
		return err
	}
	if g.dir != "" { // like the commands that read the spool
		cfg.Spool.Dir, cfg.Admin.Socket = g.dir, filepath.Join(g.dir, "admin.sock")
	}
	text := !cfg.OpenCTI.JSONLogging || report.Origins["opencti.json_logging"] == "default" && isTerminal(g.env.Stderr)
	out, watch := g.env.Stderr, (func(context.Context, func() (inspect.Status, error)))(nil)
	if text && (once || cfg.Once()) && isTerminal(g.env.Stderr) && g.lookup("TERM") != "dumb" {
		s := g.newScreen(out)
		p := newLiveView(out, func() int { width, _ := s.size(); return width }, g.env.Now)
		out, watch = p, p.watch
	}
	log := logging.New(out, cfg.Connector.LogLevel, cfg.Connector.Name, text)
	for _, w := range report.Warnings {
		log.Log(ctx, logging.LevelNotice, "setting", "key", w.Key, "source", w.Source, "warning", w.Message)
	}
	ctx, hurry, trigger, stop := signals(ctx, log)
	defer stop()
	err = app.Run(ctx, app.Options{
		Config: cfg, Report: report, Once: once, Log: log, Now: g.env.Now, Version: version.Get().Version,
		Hurry: hurry, Trigger: trigger, Watch: watch,
	})
	logging.Flush(log)
	return quiet(g.ended(err, cfg.Once() && !once, log))
}

// ended logs, at every log level, why the connector ended other than well.
// terminate means that the settings asked for a single run: a container must not
// look failed because one item was parked.
func (g *globals) ended(err error, terminate bool, log *slog.Logger) error {
	switch {
	case err == nil:
	case errors.Is(err, app.ErrIncomplete):
		reason := err
		if terminate {
			err = nil
		}
		log.Log(context.Background(), logging.LevelNotice, "ends with something missing", "reason", reason, "exit_code", exitCode(err))
	case errors.Is(err, app.ErrUndelivered):
		log.Log(context.Background(), logging.LevelNotice, "ends before everything is delivered", "reason", err, "exit_code", exitUndelivered)
	default:
		log.Error("the connector cannot go on", "error", err, "hint", fault.HintOf(err), "exit_code", exitCode(err))
	}
	return err
}

// quietError has been printed or logged already; only its exit code is still used.
type quietError struct{ err error }

func (q quietError) Error() string { return q.err.Error() }
func (q quietError) Unwrap() error { return q.err }

func quiet(err error) error {
	if err == nil {
		return nil
	}
	return quietError{err}
}

// signals turns the first SIGTERM or SIGINT into a cancelled context, the second
// into a closed hurry, and SIGUSR1 into a request for a run now.
func signals(parent context.Context, log *slog.Logger) (context.Context, <-chan struct{}, <-chan struct{}, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	hurry, trigger, done := make(chan struct{}), make(chan struct{}, 1), make(chan struct{})
	ch := make(chan os.Signal, 4)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		stops := 0
		for {
			select {
			case <-done:
				return
			case s := <-ch:
				if s == syscall.SIGUSR1 {
					select {
					case trigger <- struct{}{}:
					default:
					}
					continue
				}
				if stops++; stops == 1 {
					log.Info("stopping", "signal", s.String())
					cancel(fault.ErrShutdown)
				} else if stops == 2 {
					close(hurry)
				}
			}
		}
	}()
	return ctx, hurry, trigger, func() {
		signal.Stop(ch)
		close(done)
		<-ended
		cancel(nil)
	}
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// lookup reads a variable of the environment.
func (g *globals) lookup(name string) string {
	for _, v := range g.env.Environ {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}
