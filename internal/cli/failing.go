package cli

import (
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
)

// failingList is the name under which `spool ls` lists failing requests, which have
// no bucket.
const failingList = "failing"

func (g *globals) listFailing(cmd *cobra.Command, limit int) error {
	return g.inspect(cmd.Context(), func(i inspect.Inspector) error {
		all, err := i.Failing(limit)
		if err != nil {
			return err
		}
		if g.json {
			return printJSON(cmd.OutOrStdout(), all)
		}
		return printFailing(cmd.OutOrStdout(), all, g.env.Now())
	})
}

func printFailing(w io.Writer, all []inspect.Failing, now time.Time) error {
	var rows [][]string
	for _, f := range all {
		rows = append(rows, []string{f.Request, strconv.Itoa(f.Tries), span(now.Sub(f.Since)), f.NextIn(now), f.Error})
	}
	return printTable(w, []string{"REQUEST", "TRIES", "FOR", "NEXT", "WHY"}, rows)
}
