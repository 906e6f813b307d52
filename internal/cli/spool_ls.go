package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// failingList is the name under which `spool ls` lists failing requests, which have
// no bucket.
const failingList = "failing"

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
				if after != "" {
					return errUsage{errors.New("--after goes with a bucket; all that fails is one list")}
				}
				return show(g, cmd, func(i inspect.Inspector) ([]inspect.Failing, error) { return i.Failing(*limit) },
					func(w io.Writer, all []inspect.Failing) error { return printFailing(w, all, g.env.Now()) })
			}
			if err := checkBucket(args[0]); err != nil {
				return err
			}
			return show(g, cmd, func(i inspect.Inspector) ([]spool.Entry, error) { return list(i, args[0], after, *limit) }, printEntries)
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

func printEntries(w io.Writer, entries []spool.Entry) error {
	var rows [][]string
	for _, e := range entries {
		rows = append(rows, []string{e.Key, inspect.Size(int64(e.Bytes)), describe(e)})
	}
	return printTable(wholeRows(w), []string{"KEY", "SIZE", "WHAT"}, rows)
}

func printFailing(w io.Writer, all []inspect.Failing, now time.Time) error {
	var rows [][]string
	for _, f := range all {
		rows = append(rows, []string{f.Request, strconv.Itoa(f.Tries), span(now.Sub(f.Since)), f.NextIn(now), f.Error})
	}
	return printTable(wholeRows(w), []string{"REQUEST", "TRIES", "FOR", "NEXT", "WHY"}, rows)
}
