package cli

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

func newSpool(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "spool",
		Short: "Inspect and repair the spool of a running or a stopped connector",
		Long: "Inspect the spool of a running connector over its socket, or of a stopped one through its file.\n" +
			"Inspecting changes nothing; retry, drop, compact and salvage say what they will change and ask.",
		Args: cobra.NoArgs,
	}
	c.AddCommand(
		newSpoolStats(g), newSpoolRuns(g), newSpoolRun(g), newSpoolLs(g), newSpoolShow(g), newSpoolFind(g), newSpoolDead(g),
		newSpoolRetry(g), newSpoolDrop(g), newSpoolExport(g), newSpoolVerify(g), newSpoolCompact(g), newSpoolSalvage(g), newSpoolSnapshot(g),
	)
	return c
}

func newSpoolStats(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "stats",
		Short:   "What the spool holds, and how much room it takes",
		Example: "  " + name + " spool stats",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.inspect(cmd.Context(), func(i inspect.Inspector) error {
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

func printStats(w io.Writer, s inspect.Stats) error {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	rows := [][]string{
		{"connector", "", s.ConnectorID},
		{"created", stamp(s.Created), fmt.Sprintf("schema %d, epoch %d", s.Schema, s.Epoch)},
		{"room", size(s.LiveBytes) + " live", fmt.Sprintf("of %s; file %s, cap %s", size(s.MaxBytes), size(s.FileBytes), size(s.CapBytes))},
		{"runs", n(s.Runs), ""},
		{"tasks", n(s.Tasks), n(s.Parked) + " parked"},
		{"records", n(s.Records), "fetched, not yet mapped"},
		{"waiting", n(s.Waiting), "for references that may come in their run"},
		{"held", n(s.Held - s.HeldPublished), "they go out when what they need comes"},
		{"held copies", n(s.HeldPublished), "published; go out again when whole"},
		{"bundles", n(s.Bundles), n(s.Messages) + " messages not yet confirmed"},
		{"ids", n(s.IDs), "objects handed over, or on OpenCTI"},
		{"dead letters", n(s.Dead), n(s.Healed) + " healed"},
	}
	if s.Rejected > 0 {
		rows = append(rows, []string{"refused", n(s.Rejected), "of the dead letters: by OpenCTI's workers"})
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
			note += ", held by a parked item"
		}
		rows = append(rows, []string{"watermark " + m.Dataset, stamp(m.Fetched), note})
	}
	return printTable(w, []string{"WHAT", "VALUE", "NOTE"}, rows)
}

func newSpoolLs(g *globals) *cobra.Command {
	var limit *int
	var after string
	c := &cobra.Command{
		Use:       "ls BUCKET",
		Short:     "List a bucket, or the failing requests",
		Long:      "List a bucket: " + strings.Join(spool.Buckets(), ", ") + ";\nor failing: the requests whose last try failed and that are retried in their run.",
		Example:   "  " + name + " spool ls records --limit 50\n  " + name + " spool ls tasks --after alerts/item/1234",
		Args:      cobra.ExactArgs(1),
		ValidArgs: append([]string{failingList}, spool.Buckets()...),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == failingList {
				return g.listFailing(cmd, *limit)
			}
			if err := checkBucket(args[0]); err != nil {
				return err
			}
			return g.inspect(cmd.Context(), func(i inspect.Inspector) error {
				entries, err := list(i, args[0], after, *limit)
				if err != nil {
					return err
				}
				if g.json {
					return printJSON(cmd.OutOrStdout(), entries)
				}
				var rows [][]string
				for _, e := range entries {
					rows = append(rows, []string{e.Key, size(int64(e.Bytes)), describe(e)})
				}
				out := screenOf(cmd.OutOrStdout())
				if !out.terminal {
					out.width = 0 // whole rows for other programs
				}
				return printTable(out, []string{"KEY", "SIZE", "WHAT"}, rows)
			})
		},
	}
	limit = limitFlag(c, 100)
	c.Flags().StringVar(&after, "after", "", "continue after this key")
	return c
}

func checkBucket(b string) error {
	if !slices.Contains(spool.Buckets(), b) {
		return errUsage{fmt.Errorf("no bucket %q; there are %s", b, strings.Join(spool.Buckets(), ", "))}
	}
	return nil
}

func list(i inspect.Inspector, bucket, after string, limit int) ([]spool.Entry, error) {
	return collect(after, limit, func(last string, n int) ([]spool.Entry, error) { return i.List(bucket, last, n) }, func(e spool.Entry) string { return e.Key })
}
