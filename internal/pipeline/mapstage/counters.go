package mapstage

import (
	_ "embed"
	"strings"
)

// counterPrefix is the prefix of the map stage's counters of a run. What the mapper
// counts (see mapping.CountTable) has the same prefix and its own names.
const counterPrefix = "map."

// CounterName explains one counter of a run.
type CounterName struct {
	Name string
	Text string
}

// counterNames has a line "name | text" for each counter.
//
//go:embed counters.txt
var counterNames string

// Counters lists the map stage's own counters of a run.
//
// Of the objects that come in, each ends in one place, so that over the life of
// a spool that was not reset
//
//	objects + taken_up + restricted_again
//	                   = merged + skipped_older + skipped_poorer + skipped_equal + older_conflict
//	                     + left_out + published + held + buried + those that wait
//	held + kept        = taken_up + superseded + expired_held + expired_kept + those held now
//
// where each whole copy that is kept beside its published object counts as held once.
func Counters() []CounterName {
	var all []CounterName
	for line := range strings.Lines(counterNames) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " | ")
		all = append(all, CounterName{name, text})
	}
	return all
}
