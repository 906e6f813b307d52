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
	return show(g, cmd, func(i inspect.Inspector) ([]inspect.Failing, error) { return i.Failing(limit) },
		func(w io.Writer, all []inspect.Failing) error { return printFailing(w, all, g.env.Now()) })
}

func printFailing(w io.Writer, all []inspect.Failing, now time.Time) error {
	var rows [][]string
	for _, f := range all {
		rows = append(rows, []string{f.Request, strconv.Itoa(f.Tries), span(now.Sub(f.Since)), f.NextIn(now), f.Error})
	}
	return printTable(w, []string{"REQUEST", "TRIES", "FOR", "NEXT", "WHY"}, rows)
}
