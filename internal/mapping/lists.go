package mapping

import (
	"iter"
	"regexp"
	"strings"
)

// sureBreak certainly separates entries of a list; listBreak may also be part of a
// name, as in "Korea, Republic of" or "Bosnia & Herzegovina".
var (
	sureBreak = regexp.MustCompile(`[;；\n\r]+`)
	listBreak = regexp.MustCompile(`(?i)\s*(?:[,，、/|&+]|\band\b|\bor\b)\s*`)
)

// maxName is the number of pieces between breaks in the longest name.
const maxName = 6

// parts yields the entries of a list that are certainly separate.
func parts(list string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, part := range sureBreak.Split(list, -1) {
			if part = strings.TrimSpace(part); part != "" && !yield(part) {
				return
			}
		}
	}
}

// segment splits a list into names that lookup knows, longest first. The unknown
// text between them is returned unchanged. bound says whether a piece belongs to
// the name before it, which is then not that name alone.
func segment[T any](list string, lookup func(name string) (T, bool), bound func(name, piece string) binding) (found []T, left []string) {
	starts, ends := pieces(list)
	// longest returns the longest name that starts with piece i, and the index of
	// the piece after it.
	longest := func(i int) (v T, next int, ok bool) {
		for next = min(len(starts), i+maxName); next > i; next-- {
			if v, ok = lookup(list[starts[i]:ends[next-1]]); ok {
				return v, next, true
			}
		}
		return v, i, false
	}
	for i := 0; i < len(starts); {
		v, next, ok := longest(i)
		if !ok {
			left = append(left, list[starts[i]:ends[i]])
			i++
			continue
		}
		if next < len(starts) && strings.ContainsAny(list[ends[next-1]:starts[next]], ",，") {
			if _, _, known := longest(next); !known {
				switch bound(list[starts[i]:ends[next-1]], list[starts[next]:ends[next]]) {
				case changes:
					left = append(left, list[starts[i]:ends[next]])
					i = next + 1
					continue
				case repeats:
					next++
				}
			}
		}
		found = append(found, v)
		i = next
	}
	return found, left
}

// binding is how a piece belongs to the name before it.
type binding uint8

const (
	apart   binding = iota // it does not
	repeats                // it repeats it: "Iran, Islamic Rep. of"
	changes                // it makes it a different name: "Korea, Dem. Rep."
)

func never(string, string) binding { return apart }

// pieces returns where the pieces between breaks start and end.
func pieces(list string) (starts, ends []int) {
	start := 0
	add := func(end int) {
		if strings.TrimSpace(list[start:end]) != "" {
			starts, ends = append(starts, start), append(ends, end)
		}
	}
	for _, b := range listBreak.FindAllStringIndex(list, -1) {
		add(b[0])
		start = b[1]
	}
	add(len(list))
	return starts, ends
}
