package cli

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
)

func newSpoolStats(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "stats",
		Short:   "What the spool holds, and how much room it takes",
		Example: "  " + name + " spool stats",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(g, cmd, inspect.Inspector.Stats, func(w io.Writer, s inspect.Stats) error { return printStats(w, s, g.env.Now()) })
		},
	}
}

// printStats prints what the spool holds at a time.
func printStats(w io.Writer, s inspect.Stats, now time.Time) error {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	// since adds the age of the oldest entry of a kind to its note.
	since := func(kind, note string) string {
		if at, ok := s.Oldest[kind]; ok {
			note += "; oldest " + span(now.Sub(at))
		}
		return note
	}
	held, copies := "they go out when what they need comes", "published; go out again when whole"
	switch s.HeldPublished { // the age is that of both
	case 0:
		held = since("held", held)
	case s.Held:
		copies = since("held", copies)
	}
	rows := [][]string{
		{"connector", "", s.ConnectorID},
		{"created", stamp(s.Created), fmt.Sprintf("schema %d, epoch %d", s.Schema, s.Epoch)},
		{"room", inspect.Size(s.LiveBytes) + " live", fmt.Sprintf("of %s; file %s, cap %s", inspect.Size(s.MaxBytes), inspect.Size(s.FileBytes), inspect.Size(s.CapBytes))},
		{"runs", n(s.Runs), ""},
		{"tasks", n(s.Tasks), since("parked", n(s.Parked)+" parked")},
		{"queued", n(s.Queued), "of a repull or retry, for its next runs"},
		{"records", n(s.Records), since("records", "fetched, not yet mapped")},
		{"waiting", n(s.Waiting), since("waiting", "for references that may come in their run")},
		{"held", n(s.Held - s.HeldPublished), held},
		{"held copies", n(s.HeldPublished), copies},
		{"bundles", n(s.Bundles), since("bundles", n(s.Messages)+" messages not yet confirmed")},
		{"ids", n(s.IDs), "objects handed over, or on OpenCTI"},
		{"dead letters", n(s.Dead), since("dead", n(s.Healed)+" healed")},
	}
	if s.Rejected > 0 {
		rows = append(rows, []string{"rejected", n(s.Rejected), "of the dead letters: refused by OpenCTI's workers"})
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
			note += ", kept back by a parked item"
		}
		rows = append(rows, []string{"watermark " + m.Dataset, stamp(m.Fetched), note})
	}
	return printTable(w, []string{"WHAT", "VALUE", "NOTE"}, rows)
}
