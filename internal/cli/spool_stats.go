package cli

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
)

func newSpoolStats(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "stats",
		Short:   "What the spool holds, and how much room it takes",
		Example: "  " + name + " spool stats",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(g, cmd, inspect.Inspector.Stats, printStats)
		},
	}
}

func printStats(w io.Writer, s inspect.Stats) error {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	rows := [][]string{
		{"connector", "", s.ConnectorID},
		{"created", stamp(s.Created), fmt.Sprintf("schema %d, epoch %d", s.Schema, s.Epoch)},
		{"room", inspect.Size(s.LiveBytes) + " live", fmt.Sprintf("of %s; file %s, cap %s", inspect.Size(s.MaxBytes), inspect.Size(s.FileBytes), inspect.Size(s.CapBytes))},
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
