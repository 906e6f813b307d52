package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

func newStatus(g *globals) *cobra.Command {
	var o watchOptions
	var watch, all bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Is it healthy, what is it doing, what is stuck and why",
		Long: "Show the state of the connector, problems first: what is stuck and why, and what needs attention; then\n" +
			"in a few lines the run, the speed, the backlog, and up to when everything is confirmed. --all adds each\n" +
			"stage, dataset and store. For a stopped connector it shows what the spool holds. deploy/TROUBLESHOOTING.md\n" +
			"explains the words.",
		Example: "  " + name + " status\n  " + name + " status --all\n  " + name + " status --watch",
		RunE: func(cmd *cobra.Command, _ []string) error {
			show := func(ctx context.Context, w io.Writer) error {
				s, err := g.status(ctx)
				if err != nil {
					return err
				}
				return g.printStatus(w, s, all)
			}
			if !watch {
				return show(cmd.Context(), cmd.OutOrStdout())
			}
			if o.every < 100*time.Millisecond {
				return errUsage{errors.New("--interval must be 100ms or more")}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return g.watch(ctx, screenOf(cmd.OutOrStdout()), o, show)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "also each stage, dataset and store")
	c.Flags().BoolVarP(&watch, "watch", "w", false, "refresh it until q or an interrupt; arrows scroll")
	c.Flags().DurationVar(&o.every, "interval", 2*time.Second, "with --watch: time between two refreshes")
	c.Flags().IntVar(&o.times, "times", 0, "with --watch: end after this many refreshes")
	_ = c.Flags().MarkHidden("times") // for tests
	return c
}

// status asks the daemon, or reads the file of a stopped one.
func (g *globals) status(ctx context.Context) (s inspect.Status, err error) {
	err = g.reach(ctx, func(c *admin.Client) (err error) {
		s, err = c.Status()
		return err
	}, func(p place) error {
		err := g.read(ctx, p, func(sp *spool.Spool) (err error) {
			s, err = inspect.Stopped(inspect.FromSpool(sp), p.info, g.env.Now())
			return err
		})
		if err != nil || g.dir != "" { // with an explicit directory the settings do not matter
			return err
		}
		if cfg, _, err := config.Load(g.configOptions()); err == nil && cfg.Connector.ID != s.Spool.ConnectorID {
			s.Settings = cfg.Connector.ID
		}
		return nil
	})
	return s, err
}

func (g *globals) printStatus(w io.Writer, s inspect.Status, all bool) error {
	if g.json {
		return printJSON(w, s)
	}
	printHead(w, s)
	for _, t := range s.Troubles() {
		mark, colour, text := "!", yellow, t.Text
		if t.Bad {
			mark, colour = "✗", red
		}
		if t.Command != "" {
			text += " → " + t.Command
		}
		printLabelled(w, colour, mark+" "+t.About, text)
	}
	printFacts(w, s)
	if !all {
		return nil
	}
	if s.Running {
		sayLine(w)
		if err := printStages(w, s); err != nil {
			return err
		}
	}
	sayLine(w)
	if err := printShownRuns(w, s); err != nil {
		return err
	}
	sayLine(w)
	return printStats(w, s.Spool, s.Now)
}

func printHead(w io.Writer, s inspect.Status) {
	for _, p := range s.Spool.Paused {
		printLabelled(w, red, "PAUSED", fmt.Sprintf("%s, for %s → resume %s", p.Stage, span(s.Now.Sub(p.Since)), p.Stage))
	}
	p := s.Process
	process := fmt.Sprintf("for %s, pid %d, version %s", span(s.Now.Sub(p.Started)), p.PID, cmp.Or(p.Version, "-"))
	switch {
	case !s.Running && p.PID == 0:
		printLabelled(w, plain, "not running", "")
	case !s.Running && !p.Clean:
		printLabelled(w, red, "not running", fmt.Sprintf("pid %d of %s, version %s, was killed; what it fetched is in the spool, and the next start goes on with it",
			p.PID, stamp(p.Started), cmp.Or(p.Version, "-")))
	case !s.Running:
		printLabelled(w, plain, "not running", fmt.Sprintf("pid %d of %s, version %s, stopped in order", p.PID, stamp(p.Started), cmp.Or(p.Version, "-")))
	case !s.Alive:
		printLabelled(w, red, "NOT ALIVE", process+": a stage shows no sign of life; see: health")
	case !s.Ready:
		printLabelled(w, red, "NOT READY", process)
	default:
		printLabelled(w, green, "ready", process)
	}
}

// printFacts says what is going on, one line per topic.
func printFacts(w io.Writer, s inspect.Status) {
	fact := func(label, format string, args ...any) { printLabelled(w, plain, label, fmt.Sprintf(format, args...)) }
	const most = 2
	for i, r := range s.Runs {
		if i == most {
			more := "1 more run is open"
			if n := len(s.Runs) - most; n > 1 {
				more = fmt.Sprintf("%d more runs are open", n)
			}
			fact("", "%s", more)
			break
		}
		fact(fmt.Sprintf("run %d", r.ID), "%s, %s, %s: %s", reasonOf(r), r.Phase, span(s.Now.Sub(r.Created)), progressOf(r))
	}
	if r := s.Last; r != nil && len(s.Runs) == 0 {
		fact("last run", "%d, %s, %s %s ago: %s", r.ID, reasonOf(*r), r.Phase, span(s.Now.Sub(r.Done)), progressOf(*r))
	}
	if len(s.Shown()) == 0 {
		fact("last run", "none yet")
	}
	if !s.Next.IsZero() {
		fact("next run", "in %s, at %s", span(s.Next.Sub(s.Now)), stamp(s.Next))
	}
	if r := s.Rates; r != nil && *r != (inspect.Rates{}) {
		fact("each second", "%.1f requests, %.1f records, %.0f objects, %.0f messages", r.Requests, r.Records, r.Objects, r.Messages)
	}
	if s.Broker != "" {
		queue := ""
		if q := s.Queue; q != nil {
			queue = fmt.Sprintf("; OpenCTI's queue %.1f MB, pause above %.0f MB", float64(q.Bytes)/1e6, float64(q.Threshold)/1e6)
		}
		fact("RabbitMQ", "%s%s", s.Broker, queue)
	}
	fact("backlog", "%s", cmp.Or(s.Spool.Backlog(), "nothing"))
	confirmed := ""
	if marks := s.Spool.Watermarks; len(marks) > 0 {
		first := slices.MinFunc(marks, func(a, b inspect.Watermark) int { return a.Confirmed.Compare(b.Confirmed) })
		confirmed = ", confirmed up to " + stamp(first.Confirmed)
		if first.Confirmed.IsZero() {
			confirmed = ", nothing of " + first.Dataset + " confirmed yet"
		}
	}
	fact("spool", "%s of %s (%d%%)%s", inspect.Size(s.Spool.LiveBytes), inspect.Size(s.Spool.MaxBytes), percent(s.Spool.LiveBytes, s.Spool.MaxBytes), confirmed)
}

// progressOf says how far a run is.
func progressOf(r inspect.Run) string {
	var fetched int64
	open := 0
	for _, d := range r.Datasets {
		fetched += d.Fetched
		open += d.Open
	}
	text := fmt.Sprintf("%d fetched", fetched)
	if open > 0 {
		text += ", " + inspect.Count(open, "request") + " to make"
	}
	sent, all := r.Counters["deliver.messages"], handedOver(r)
	switch {
	case all == 0:
		return text
	case sent < all && r.Done.IsZero():
		return text + fmt.Sprintf(", %d of %d messages confirmed", sent, all)
	}
	return text + ", " + inspect.Count(sent, "message") + " confirmed"
}

// handedOver counts the objects handed to delivery, including the default author
// and the markings in use, because their messages are counted too.
func handedOver(r inspect.Run) int64 {
	n := r.Counters["map.published"]
	for name, count := range r.Counters {
		if strings.HasPrefix(name, "map.companions:") {
			n += count
		}
	}
	return n
}

func printStages(w io.Writer, s inspect.Status) error {
	var rows [][]string
	for _, st := range s.Stages {
		with := st.Detail
		if st.LastError != "" && st.LastError != s.NotReady[st.Name] {
			with = strings.TrimPrefix(with+fmt.Sprintf("; last error, %s ago: %s", span(s.Now.Sub(st.ErrorAt)), st.LastError), "; ")
		}
		rows = append(rows, []string{st.Name, st.State, span(s.Now.Sub(st.Since)), with})
	}
	return printTable(w, []string{"STAGE", "STATE", "FOR", "WITH"}, rows)
}

func printShownRuns(w io.Writer, s inspect.Status) error {
	var rows [][]string
	n := strconv.FormatInt
	for _, r := range s.Shown() {
		for _, d := range r.Datasets {
			rows = append(rows, []string{strconv.FormatUint(r.ID, 10), r.Phase, d.Dataset, d.Status, n(d.Fetched, 10), strconv.Itoa(d.Open), n(d.Parked, 10), n(d.Dead, 10)})
		}
	}
	return printTable(w, []string{"RUN", "PHASE", "DATASET", "STATUS", "FETCHED", "TO FETCH", "PARKED", "DEAD"}, rows)
}

func percent(n, of int64) int64 {
	if of <= 0 {
		return 0
	}
	return n * 100 / of
}
