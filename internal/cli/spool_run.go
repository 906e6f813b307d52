package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/metrics"
	"threatmatch-connector/spool"
)

func newSpoolRun(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "run ID",
		Short:             "One import with all its counters",
		Example:           "  " + name + " spool run 3",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.completeFrom(1, proposeRuns),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return errUsage{fmt.Errorf("run id %q is not a number", args[0])}
			}
			return show(g, cmd, func(i inspect.Inspector) (inspect.Run, error) { return i.Run(id) }, printRun)
		},
	}
}

func printRun(w io.Writer, r inspect.Run) error {
	about := reasonOf(r) + ", " + r.Phase
	if r.Reason == string(spool.ReasonRepull) {
		about += "; a repull's first run reads the lists, later ones of that reason bring what they name: spool runs"
	}
	rows := [][]string{
		{"run", strconv.FormatUint(r.ID, 10), about},
		{"start", "", stamp(r.Start) + ", created " + stamp(r.Created)}, // the wide ones last: VALUE leaves NOTE its room
		{"fetched", "", stamp(r.Fetched)}, {"mapped", "", stamp(r.Mapped)}, {"done", "", stamp(r.Done)},
	}
	for _, d := range r.Datasets {
		rows = append(rows, []string{"dataset " + d.Dataset, d.Status, clip("from "+stamp(d.From)+" "+d.Detail, 100)})
	}
	if r.Work.Name != "" {
		rows = append(rows, []string{"work", r.Work.Status, r.Work.ID})
	}
	for _, k := range slices.Sorted(maps.Keys(r.Counters)) {
		name := k
		text, _, _ := strings.Cut(metrics.CounterText(k), "; also by ") // those follow
		if kind, of, ok := strings.Cut(k, ":"); ok {                    // an id or a type, which may be long
			name, text = kind, strings.TrimSpace(of+"  "+text)
		}
		rows = append(rows, []string{name, strconv.FormatInt(r.Counters[k], 10), text})
	}
	return printTable(w, []string{"WHAT", "VALUE", "NOTE"}, rows)
}

// reasonOf says why the run began, and whether another process resumed it.
func reasonOf(r inspect.Run) string {
	if r.Resumed {
		return r.Reason + " (resumed)"
	}
	return r.Reason
}
