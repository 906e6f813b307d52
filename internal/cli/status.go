package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

func newStatus(g *globals) *cobra.Command {
	var watch bool
	var every time.Duration
	var times int
	c := &cobra.Command{
		Use:   "status",
		Short: "Is it healthy, what is it doing, what is stuck and why",
		Long: "Say how the connector is: what each stage does or waits for, the open runs, the backlog, the rates, the next\n" +
			"run, the latest errors, what is dead. Of a stopped connector: what its spool holds.",
		Example: "  " + name + " status\n  " + name + " status --watch",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !watch {
				s, err := g.status(cmd.Context())
				if err != nil {
					return err
				}
				return g.printStatus(cmd.OutOrStdout(), s)
			}
			if every < 100*time.Millisecond {
				return errUsage{errors.New("--interval must be 100ms or more")}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return g.watch(ctx, cmd.OutOrStdout(), every, times)
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "show it again and again, until interrupted")
	c.Flags().DurationVar(&every, "interval", 2*time.Second, "with --watch: time between two looks")
	c.Flags().IntVar(&times, "times", 0, "with --watch: end after so many looks")
	_ = c.Flags().MarkHidden("times") // for tests
	return c
}

// status asks the daemon, or reads the file of a stopped one.
func (g *globals) status(ctx context.Context) (s inspect.Status, err error) {
	p, err := g.place()
	if err != nil {
		return s, err
	}
	c, err := p.dial(ctx)
	if err != nil {
		return s, err
	}
	if c != nil {
		defer func() { _ = c.Close() }()
		return c.Status()
	}
	err = g.read(ctx, p, func(sp *spool.Spool) (err error) {
		s, err = inspect.Stopped(inspect.FromSpool(sp), p.info, g.env.Now())
		return err
	})
	return s, err
}

// watch prints the status again and again; on a terminal over the last one. A
// daemon that is away for a moment does not end it.
func (g *globals) watch(ctx context.Context, w io.Writer, every time.Duration, times int) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 1; ; n++ {
		var page bytes.Buffer
		s, err := g.status(ctx)
		if err == nil {
			err = g.printStatus(&page, s)
		}
		if err != nil {
			page.Reset()
			sayLine(&page, err)
		}
		out := page.String() + "\n"
		if f, ok := w.(*os.File); ok && isTerminal(w) && !g.json {
			out = overwrite(page.String(), f)
		}
		if _, err := io.WriteString(w, out); err != nil {
			return err
		}
		if n == times {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (g *globals) printStatus(w io.Writer, s inspect.Status) error {
	if g.json {
		return printJSON(w, s)
	}
	printHead(w, s)
	if len(s.Stages) > 0 {
		sayLine(w)
		if err := printStages(w, s); err != nil {
			return err
		}
	}
	sayLine(w)
	if err := printOpenRuns(w, s); err != nil {
		return err
	}
	sayLine(w)
	return printBacklog(w, s)
}

func printHead(w io.Writer, s inspect.Status) {
	switch {
	case !s.Running && s.Process.PID == 0:
		sayLine(w, "not running")
	case !s.Running:
		end := "it closed the spool"
		if !s.Process.Clean {
			end = "it did not close the spool"
		}
		say(w, "not running; the last process was pid %d, started %s, version %s: %s\n",
			s.Process.PID, stamp(s.Process.Started), dash(s.Process.Version), end)
	default:
		say(w, "running: pid %d since %s (%s), version %s, %s\n",
			s.Process.PID, stamp(s.Process.Started), span(s.Now.Sub(s.Process.Started)), s.Process.Version, readiness(s))
	}
	for _, part := range slices.Sorted(maps.Keys(s.NotReady)) {
		say(w, "  not ready: %s: %s\n", part, s.NotReady[part])
	}
	if r := s.Rates; r != nil {
		say(w, "over the last minute, each second: %.1f requests, %.1f records mapped, %.1f objects handed over, %.1f messages confirmed\n",
			r.Requests, r.Records, r.Objects, r.Messages)
	}
	if left := timeLeft(s); left != "" {
		say(w, "at this pace, as far as it is known by now: %s\n", left)
	}
	if s.Broker != "" {
		say(w, "broker: %s", s.Broker)
		if q := s.Queue; q != nil {
			say(w, "; OpenCTI's queue for this connector: %.1f MB, pause above %.0f MB", float64(q.Bytes)/1e6, float64(q.Threshold)/1e6)
		}
		sayLine(w)
	}
	if !s.Next.IsZero() {
		say(w, "next run: %s (in %s)\n", stamp(s.Next), span(s.Next.Sub(s.Now)))
	}
}

func readiness(s inspect.Status) string {
	switch {
	case !s.Alive:
		return "NOT ALIVE: a stage does not turn any more"
	case !s.Ready:
		return "NOT READY"
	}
	return "ready"
}

func printStages(w io.Writer, s inspect.Status) error {
	var rows [][]string
	for _, st := range s.Stages {
		last := ""
		if st.LastError != "" {
			last = clip(fmt.Sprintf("%s ago: %s", span(s.Now.Sub(st.ErrorAt)), st.LastError), 120)
		}
		rows = append(rows, []string{st.Name, st.State, span(s.Now.Sub(st.Since)), dash(clip(st.Detail, 80)), last})
	}
	return printTable(w, []string{"STAGE", "STATE", "FOR", "WITH", "LAST ERROR"}, rows)
}

func printOpenRuns(w io.Writer, s inspect.Status) error {
	var rows [][]string
	all := s.Runs
	if len(all) == 0 && s.Last != nil {
		all = []inspect.Run{*s.Last}
	}
	for _, r := range all {
		for i, d := range r.Datasets {
			id, phase := "", ""
			if i == 0 {
				id, phase = strconv.FormatUint(r.ID, 10), reasonOf(r)+", "+r.Phase
			}
			rows = append(rows, []string{id, phase, d.Dataset, d.Status, progress(d), why(s, r.ID, d)})
		}
		rows = append(rows, []string{"", "", "", "", deliveryOf(r), ""})
	}
	if len(rows) == 0 {
		_, err := sayLine(w, "no run yet")
		return err
	}
	return printTable(w, []string{"RUN", "WHAT", "DATASET", "STATUS", "PROGRESS", "WHY"}, rows)
}

// progress says how far a dataset is in its run.
func progress(d inspect.DatasetRun) string {
	text := fmt.Sprintf("%d fetched", d.Fetched)
	if d.Open > 0 {
		text += fmt.Sprintf(", %d to fetch", d.Open)
	}
	if d.Parked > 0 {
		text += fmt.Sprintf(", %d parked", d.Parked)
	}
	if d.Dead > 0 {
		text += fmt.Sprintf(", %d dead", d.Dead)
	}
	return text
}

func deliveryOf(r inspect.Run) string {
	return fmt.Sprintf("%d records mapped, %d objects handed over, %d messages confirmed",
		r.Counters["map.records"], handedOver(r), r.Counters["deliver.messages"])
}

// handedOver counts the objects that went to delivery, the default author and the
// markings in use among them, as their messages are counted too.
func handedOver(r inspect.Run) int64 {
	n := r.Counters["map.published"]
	for name, count := range r.Counters {
		if strings.HasPrefix(name, "map.companions:") {
			n += count
		}
	}
	return n
}

func printBacklog(w io.Writer, s inspect.Status) error {
	st := s.Spool
	row := func(what string, n int64, bucket, note string) []string {
		since := "-"
		if at, ok := st.Oldest[bucket]; ok && !at.IsZero() {
			since = span(s.Now.Sub(at))
		}
		if n == 0 {
			note = ""
		}
		return []string{what, strconv.FormatInt(n, 10), since, note}
	}
	rows := [][]string{
		row("requests to make", st.Tasks, "", ""),
		row("parked items", st.Parked, "parked", "tried again in the next run; see: spool ls tasks"),
		row("records to map", st.Records, "records", ""),
		row("waiting objects", st.Waiting, "waiting", "for references that may still come in their run"),
		row("held objects", st.Held-st.HeldPublished, onlyOf(st.HeldPublished == 0, "held"), "for an object that has not come; see: spool ls held"),
		row("held copies", st.HeldPublished, onlyOf(st.HeldPublished == st.Held, "held"), "published already without a reference; nothing is missing"),
		row("messages to confirm", st.Messages, "bundles", ""),
		row("dead letters", st.Dead, "dead", "see: spool dead, spool retry, spool drop"),
	}
	if err := printTable(w, []string{"BACKLOG", "COUNT", "OLDEST", ""}, rows); err != nil {
		return err
	}
	_, err := say(w, "\nspool: %s in use of %s (%d%%), file %s\n", size(st.LiveBytes), size(st.MaxBytes), percent(st.LiveBytes, st.MaxBytes), size(st.FileBytes))
	if st.SetAside != "" {
		say(w, "a damaged spool was set aside: %s\n", st.SetAside)
	}
	for _, m := range st.Watermarks {
		say(w, "%s: fetched up to %s, confirmed up to %s%s\n", m.Dataset, stamp(m.Fetched), stamp(m.Confirmed), heldBack(m))
	}
	return err
}

// onlyOf is the bucket whose oldest entry is told, where it can only be one of this row.
func onlyOf(sure bool, bucket string) string {
	if sure {
		return bucket
	}
	return ""
}

func heldBack(m inspect.Watermark) string {
	if m.Held.IsZero() {
		return ""
	}
	return ", held back to " + stamp(m.Held) + " by a parked item"
}

func percent(n, of int64) int64 {
	if of <= 0 {
		return 0
	}
	return n * 100 / of
}
