package cli

import (
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
)

func newSpoolRuns(g *globals) *cobra.Command {
	var limit *int
	var before uint64
	c := &cobra.Command{
		Use:     "runs",
		Short:   "The latest imports, newest first",
		Example: "  " + name + " spool runs --limit 5",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(g, cmd, func(i inspect.Inspector) ([]inspect.Run, error) {
				return collect(before, *limit, i.Runs, func(r inspect.Run) uint64 { return r.ID })
			}, printRuns)
		},
	}
	limit = limitFlag(c, 20)
	c.Flags().Uint64Var(&before, "before", 0, "only runs older than this one")
	return c
}

func printRuns(w io.Writer, runs []inspect.Run) error {
	var rows [][]string
	for _, r := range runs {
		rows = append(rows, []string{
			strconv.FormatUint(r.ID, 10), reasonOf(r), r.Phase, stamp(r.Start), stamp(r.Done),
			strconv.FormatInt(r.Work.Sent, 10), datasets(r),
		})
	}
	return printTable(w, []string{"RUN", "REASON", "PHASE", "START", "DONE", "SENT", "DATASETS"}, rows)
}

func datasets(r inspect.Run) string {
	var parts []string
	for _, d := range r.Datasets {
		parts = append(parts, d.Dataset+" "+d.Status)
	}
	return strings.Join(parts, ", ")
}
