package cli

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
)

// failingList is what `spool ls` takes for the requests that fail, which have no bucket of their own.
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
		rows = append(rows, []string{f.Request, strconv.Itoa(f.Tries), span(now.Sub(f.Since)), nextIn(f, now), clip(f.Error, 100)})
	}
	return printTable(w, []string{"REQUEST", "TRIES", "FOR", "NEXT", "WHY"}, rows)
}

func nextIn(f inspect.Failing, now time.Time) string {
	if !f.Next.After(now) {
		return "now"
	}
	return "in " + span(f.Next.Sub(now))
}

// why says what keeps a dataset of a run: the request that fails for the longest time.
func why(s inspect.Status, run uint64, d inspect.DatasetRun) string {
	var oldest *inspect.Failing
	n := 0
	for i, f := range s.Failing {
		if f.Run != run || f.Dataset != d.Dataset {
			continue
		}
		if n++; oldest == nil || f.Since.Before(oldest.Since) {
			oldest = &s.Failing[i]
		}
	}
	if oldest == nil {
		return clip(d.Detail, 60)
	}
	text := fmt.Sprintf("%s: %s, %s, next %s", oldest.Request, clip(oldest.Error, 60), count(oldest.Tries, "try", "tries"), nextIn(*oldest, s.Now))
	if n > 1 {
		text += fmt.Sprintf("; %d more", n-1)
	}
	return text
}

// count is a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
