package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/spool"
)

func newSpool(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "spool",
		Short: "Look into the spool, of a running daemon or of a stopped one",
		Args:  cobra.NoArgs,
	}
	c.AddCommand(newSpoolStats(g), newSpoolRuns(g), newSpoolRun(g), newSpoolLs(g), newSpoolShow(g), newSpoolDead(g))
	return c
}

// inspect opens the way to look: over the socket while the daemon runs,
// read-only on the file when it does not.
func (g *globals) inspect(ctx context.Context, f func(admin.Inspector) error) error {
	dir, socket, err := g.spoolPlace()
	if err != nil {
		return err
	}
	if c, err := admin.Dial(ctx, socket); err == nil {
		defer func() { _ = c.Close() }()
		return f(c)
	}
	s, err := spool.Open(ctx, spool.Options{Dir: dir, ReadOnly: true, LockTimeout: time.Second, Now: g.env.Now})
	if err != nil {
		return fault.Hint(err, "name the directory with --spool-dir, or the settings file with --config")
	}
	defer func() { _ = s.Close() }()
	return f(admin.FromSpool(s))
}

func newSpoolStats(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "stats",
		Short: "What the spool holds, and how much room it takes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.inspect(cmd.Context(), func(i admin.Inspector) error {
				s, err := i.Stats()
				if err != nil {
					return err
				}
				if g.json {
					return printJSON(cmd.OutOrStdout(), s)
				}
				return printStats(cmd.OutOrStdout(), s)
			})
		},
	}
}

func printStats(w io.Writer, s admin.Stats) error {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	rows := [][]string{
		{"connector", s.ConnectorID, ""},
		{"created", stamp(s.Created), fmt.Sprintf("schema %d, epoch %d", s.Schema, s.Epoch)},
		{"room", size(s.LiveBytes) + " live", fmt.Sprintf("of %s; file %s, cap %s", size(s.MaxBytes), size(s.FileBytes), size(s.CapBytes))},
		{"runs", n(s.Runs), ""},
		{"tasks", n(s.Tasks), n(s.Parked) + " parked"},
		{"records", n(s.Records), "fetched, not yet mapped"},
		{"waiting", n(s.Waiting), "objects whose references may still come in their run"},
		{"held", n(s.Held), "objects that go out when the object they need comes"},
		{"bundles", n(s.Bundles), n(s.Messages) + " messages not yet confirmed"},
		{"ids", n(s.IDs), "objects handed to delivery or known on the platform"},
		{"dead letters", n(s.Dead), n(s.Healed) + " healed"},
	}
	if s.Kept > 0 {
		rows = append(rows, []string{"kept records", n(s.Kept), ""})
	}
	if s.Unclean {
		rows = append(rows, []string{"last stop", "unclean", "the last process did not close the spool"})
	}
	if s.SetAside != "" {
		rows = append(rows, []string{"set aside", s.SetAside, "a damaged spool file that was replaced"})
	}
	for _, m := range s.Watermarks {
		note := "confirmed " + stamp(m.Confirmed)
		if !m.Held.IsZero() {
			note += ", held back by a parked item to " + stamp(m.Held)
		}
		rows = append(rows, []string{"watermark " + m.Dataset, stamp(m.Fetched), note})
	}
	return printTable(w, []string{"WHAT", "VALUE", "NOTE"}, rows)
}

func newSpoolRuns(g *globals) *cobra.Command {
	var limit int
	var before uint64
	c := &cobra.Command{
		Use:   "runs",
		Short: "The latest imports, newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.inspect(cmd.Context(), func(i admin.Inspector) error {
				runs, err := i.Runs(before, limit)
				if err != nil {
					return err
				}
				if g.json {
					return printJSON(cmd.OutOrStdout(), runs)
				}
				var rows [][]string
				for _, r := range runs {
					rows = append(rows, []string{
						strconv.FormatUint(r.ID, 10), r.Reason, r.Phase, stamp(r.Start), stamp(r.Done),
						datasets(r), strconv.FormatInt(r.Work.Sent, 10),
					})
				}
				return printTable(cmd.OutOrStdout(), []string{"RUN", "REASON", "PHASE", "START", "DONE", "DATASETS", "SENT"}, rows)
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 20, "how many")
	c.Flags().Uint64Var(&before, "before", 0, "only runs older than this one")
	return c
}

func datasets(r admin.Run) string {
	var parts []string
	for _, d := range r.Datasets {
		parts = append(parts, d.Dataset+" "+d.Status)
	}
	return strings.Join(parts, ", ")
}

func newSpoolRun(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "run ID",
		Short:   "One import with all its counters",
		Example: "  threatmatch-connector spool run 3",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return errUsage{fmt.Errorf("run id %q is not a number", args[0])}
			}
			return g.inspect(cmd.Context(), func(i admin.Inspector) error {
				r, err := i.Run(id)
				if err != nil {
					return err
				}
				if g.json {
					return printJSON(cmd.OutOrStdout(), r)
				}
				return printRun(cmd.OutOrStdout(), r)
			})
		},
	}
}

func printRun(w io.Writer, r admin.Run) error {
	rows := [][]string{
		{"run", strconv.FormatUint(r.ID, 10), r.Reason + ", " + r.Phase},
		{"start", stamp(r.Start), "created " + stamp(r.Created)},
		{"fetched", stamp(r.Fetched), ""}, {"mapped", stamp(r.Mapped), ""}, {"done", stamp(r.Done), ""},
	}
	for _, d := range r.Datasets {
		rows = append(rows, []string{"dataset " + d.Dataset, d.Status, clip("from "+stamp(d.From)+" "+d.Detail, 100)})
	}
	if r.Work.Name != "" {
		rows = append(rows, []string{"work", r.Work.Status, r.Work.ID})
	}
	for _, k := range slices.Sorted(maps.Keys(r.Counters)) {
		rows = append(rows, []string{k, strconv.FormatInt(r.Counters[k], 10), ""})
	}
	return printTable(w, []string{"WHAT", "VALUE", "NOTE"}, rows)
}

func newSpoolLs(g *globals) *cobra.Command {
	var limit int
	var after string
	c := &cobra.Command{
		Use:     "ls BUCKET",
		Short:   "List a bucket: " + strings.Join(spool.Buckets(), ", "),
		Example: "  threatmatch-connector spool ls records --limit 50",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(spool.Buckets(), args[0]) {
				return errUsage{fmt.Errorf("no bucket %q; there are %s", args[0], strings.Join(spool.Buckets(), ", "))}
			}
			return g.inspect(cmd.Context(), func(i admin.Inspector) error {
				entries, err := i.List(args[0], after, limit)
				if err != nil {
					return err
				}
				if g.json {
					return printJSON(cmd.OutOrStdout(), entries)
				}
				var rows [][]string
				for _, e := range entries {
					rows = append(rows, []string{e.Key, size(int64(e.Bytes)), clip(fields(e.Fields), 120)})
				}
				return printTable(cmd.OutOrStdout(), []string{"KEY", "SIZE", "WHAT"}, rows)
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 100, "how many")
	c.Flags().StringVar(&after, "after", "", "go on after this key")
	return c
}

func fields(m map[string]any) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s=%v", k, m[k]))
	}
	return strings.Join(parts, " ")
}

func newSpoolShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "show BUCKET KEY",
		Short:   "Print one entry: the raw record, the objects, the dead letter",
		Example: "  threatmatch-connector spool show dead 1",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.inspect(cmd.Context(), func(i admin.Inspector) error {
				e, payload, err := i.Show(args[0], args[1])
				if err != nil {
					return err
				}
				w := cmd.OutOrStdout()
				if g.json {
					return printJSON(w, map[string]any{"entry": e, "payload": string(payload)})
				}
				for _, k := range slices.Sorted(maps.Keys(e.Fields)) {
					fmt.Fprintf(w, "# %s: %v\n", k, e.Fields[k])
				}
				_, err = fmt.Fprintf(w, "%s\n", payload)
				return err
			})
		},
	}
}

func newSpoolDead(g *globals) *cobra.Command {
	var limit int
	var after uint64
	c := &cobra.Command{
		Use:   "dead",
		Short: "List the dead letters: what a stage gave up on, kept whole",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.inspect(cmd.Context(), func(i admin.Inspector) error {
				letters, err := i.Dead(after, limit)
				if err != nil {
					return err
				}
				if g.json {
					return printJSON(cmd.OutOrStdout(), letters)
				}
				var rows [][]string
				for _, d := range letters {
					what := d.STIX
					if what == "" {
						what = strings.TrimSpace(d.Dataset + " " + d.Source)
					}
					rows = append(rows, []string{
						strconv.FormatUint(d.Key, 10), d.Stage, d.Class, what, strconv.Itoa(d.Attempts),
						stamp(d.Last), clip(d.Error, 80),
					})
				}
				return printTable(cmd.OutOrStdout(), []string{"KEY", "STAGE", "CLASS", "WHAT", "TRIES", "LAST", "ERROR"}, rows)
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 100, "how many")
	c.Flags().Uint64Var(&after, "after", 0, "go on after this key")
	return c
}

// spoolPlace says where the spool and its socket are, by flag or settings.
func (g *globals) spoolPlace() (dir, socket string, err error) {
	if g.dir != "" {
		return g.dir, filepath.Join(g.dir, "admin.sock"), nil
	}
	place, adm, err := config.LoadSpool(g.configOptions())
	if err != nil {
		return "", "", errUsage{fmt.Errorf("settings:\n%w", err)}
	}
	return place.Dir, adm.Socket, nil
}
