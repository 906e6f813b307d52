package config

import (
	"slices"
	"strings"
)

// nearest returns the candidate that text is most probably a misspelling of, "" if none is near: more than a third of
// text would be wrong.
func nearest(text string, candidates []string) string {
	plain := plainName(text)
	best, bestDistance := "", len(plain)/3+1
	section, rest, _ := strings.Cut(plain, "_")
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		limit := bestDistance
		if strings.HasPrefix(plainName(c), section+"_") { // a right section makes a wrong name no more likely
			limit = min(limit, len(rest)/3+1)
		}
		if d := distance(plain, plainName(c), limit); d < limit {
			best, bestDistance = c, d
		}
	}
	return best
}

// plainName makes names comparable regardless of case and separators.
func plainName(name string) string {
	return strings.NewReplacer("-", "_", ".", "_", " ", "").Replace(strings.ToLower(name))
}

// distance returns how many letters are inserted, removed, replaced or swapped with their neighbour between a and b,
// or limit if it is not below that.
func distance(a, b string, limit int) int {
	const longest = 128 // nobody misspells a longer name
	if a == b {
		return 0
	}
	if max(len(a), len(b)) > longest || max(len(a)-len(b), len(b)-len(a)) >= limit {
		return limit
	}
	var before []int
	last, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, make([]int, len(b)+1)
	}
	return min(last[len(b)], limit)
}
