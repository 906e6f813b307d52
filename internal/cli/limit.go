package cli

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"
)

// pageSize is how many entries one query reads, so that views of the spool stay
// short.
const pageSize = 1000

// limitFlag adds --limit, which must be 1 or more.
func limitFlag(c *cobra.Command, most int) *int {
	n := limit(most)
	c.Flags().Var(&n, "limit", "how many, 1 or more")
	return (*int)(&n)
}

type limit int

func (l *limit) String() string { return strconv.Itoa(int(*l)) }
func (l *limit) Type() string   { return "int" }

// Set implements pflag.Value.
func (l *limit) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return errors.New("want a number, 1 or more")
	}
	*l = limit(n)
	return nil
}

// collect reads as many pages as are needed for up to most entries; each page
// starts after last.
func collect[K, T any](last K, most int, page func(last K, n int) ([]T, error), key func(T) K) ([]T, error) {
	all := []T{}
	for len(all) < most {
		next, err := page(last, min(most-len(all), pageSize))
		if err != nil || len(next) == 0 {
			return all, err
		}
		all = append(all, next...)
		last = key(next[len(next)-1])
	}
	return all, nil
}
