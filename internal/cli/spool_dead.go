package cli

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

func newSpoolDead(g *globals) *cobra.Command {
	var limit *int
	var after uint64
	c := &cobra.Command{
		Use:   "dead",
		Short: "List dead letters and parked items, with what to do about each class",
		Long: "List the dead letters, which a stage gave up on and keeps whole, then the parked items, which later runs\n" +
			"retry, and what to do about each class. retry and drop take the KEY: the number of a dead letter, or a\n" +
			"parked or dead item as dataset/id.",
		Example: "  " + name + " spool dead\n  " + name + " spool dead --json --after 100",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(g, cmd, func(i inspect.Inspector) ([]failure, error) { return failures(i, after, *limit) }, printFailures)
		},
	}
	limit = limitFlag(c, 100)
	c.Flags().Uint64Var(&after, "after", 0, "continue after this key")
	return c
}

// failure is a dead letter or, without a key, a parked item.
type failure struct {
	inspect.Dead
	Item string `json:"item,omitempty"` // dataset/id that it is about
}

// key returns the key that retry and drop take.
func (f failure) key() string {
	if f.Key == 0 {
		return f.Item
	}
	return f.Name()
}

// failures reads up to most failures: first the dead letters after the given key.
func failures(i inspect.Inspector, after uint64, most int) ([]failure, error) {
	letters, err := collect(after, most, i.Dead, deadKey)
	if err != nil {
		return nil, err
	}
	all := []failure{}
	for _, d := range letters {
		f := failure{Dead: d}
		if d.Source != "" {
			f.Item = d.Item()
		}
		all = append(all, f)
	}
	stats, err := i.Stats()
	if err != nil {
		return nil, err
	}
	most = min(most, len(all)+int(stats.Parked))
	if len(all) == most {
		return all, nil
	}
	for t, err := range each("", pageSize, i.Tasks, taskKey) {
		if err != nil {
			return all, err
		}
		if t.IsParked() {
			all = append(all, failure{Item: t.Name(), Dead: inspect.Dead{
				Stage: string(spool.StageFetch), Class: inspect.ClassParked, Error: t.Error, Last: t.Parked, Dataset: t.Dataset, Source: t.Source,
			}})
		}
		if len(all) == most {
			break
		}
	}
	return all, nil
}

// printFailures prints a table of failures, and one of their classes with what to
// do.
func printFailures(w io.Writer, all []failure) error {
	var rows, classes [][]string
	for _, f := range all {
		last := stamp(f.Last)
		switch {
		case f.Healed.IsZero():
			if c := []string{f.Class, inspect.WhatToDo(f.Stage, f.Class)}; !slices.ContainsFunc(classes, func(d []string) bool { return slices.Equal(c, d) }) {
				classes = append(classes, c)
			}
		case f.Trying:
			last = fmt.Sprintf("tried again in run %d", f.RetryRun)
		default:
			last = "healed " + stamp(f.Healed)
		}
		what := f.Of() + ": " + f.Error
		if f.Key == 0 {
			what = f.Error
		}
		rows = append(rows, []string{f.key(), f.Stage, f.Class, last, what})
	}
	out := wholeRows(w)
	if err := printTable(out, []string{"KEY", "STAGE", "CLASS", "LAST", "WHAT"}, rows); err != nil || len(classes) == 0 {
		return err
	}
	slices.SortFunc(classes, slices.Compare[[]string])
	sayLine(w)
	return printTable(out, []string{"CLASS", "WHAT TO DO"}, classes)
}
