package cli

import (
	"errors"
	"iter"
	"strconv"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
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

// each yields the entries after last, reading pages of size entries.
func each[K, T any](last K, size int, page func(last K, n int) ([]T, error), key func(T) K) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			next, err := page(last, size)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, v := range next {
				if last = key(v); !yield(v, nil) {
					return
				}
			}
			if len(next) == 0 {
				return
			}
		}
	}
}

// collect reads up to most entries; see each.
func collect[K, T any](last K, most int, page func(last K, n int) ([]T, error), key func(T) K) ([]T, error) {
	all := []T{}
	for v, err := range each(last, min(most, pageSize), page, key) {
		if err != nil {
			return all, err
		}
		if all = append(all, v); len(all) == most {
			break
		}
	}
	return all, nil
}

func deadKey(d inspect.Dead) uint64 { return d.Key }

func taskKey(t inspect.Task) string { return t.Key().String() }
