package data

import (
	"iter"
	"slices"
	"sort"
	"time"
)

// shelf keeps what changes about the items of one dataset: how many there are,
// which were changed when, which are gone. The items themselves are made on request.
type shelf struct {
	initial   int
	from      time.Time // time of the first initial item
	span      time.Duration
	precision time.Duration
	tieEvery  int // every so many items a block of equal times begins
	tieSize   int
	added     []time.Time // items after the initial ones
	changed   map[int]change
	gone      map[int]bool
	// skipped are the initial items that changed or are gone, ascending: they
	// have left their place in the sequence by time.
	skipped []int
	// moves are additions and changes in order of time: the sequence's end.
	moves []move
}

type change struct {
	version int
	at      time.Time
	listed  time.Time // as lists have it: not later for an insignificant update
}

type move struct {
	index, version int
	at             time.Time
}

func (s *shelf) count() int { return s.initial + len(s.added) }

// created is when item index was first published; ascending by index.
func (s *shelf) created(index int) time.Time {
	if index >= s.initial {
		return s.added[index-s.initial]
	}
	if s.tieSize > 1 && index%s.tieEvery < s.tieSize {
		index -= index % s.tieEvery
	}
	step := float64(s.span) / float64(max(s.initial, 1))
	return s.from.Add(time.Duration(float64(index) * step)).Truncate(s.precision)
}

// listed is when item index changed last as lists have it.
func (s *shelf) listed(index int) time.Time {
	if c, ok := s.changed[index]; ok {
		return c.listed
	}
	return s.created(index)
}

// updated is when item index changed last, with the number of changes.
func (s *shelf) updated(index int) (time.Time, int) {
	if c, ok := s.changed[index]; ok {
		return c.at, c.version
	}
	return s.created(index), 0
}

// length and at are the sequence by time: initial items that are as they were,
// then whatever came or changed later.
func (s *shelf) length() int { return s.initial - len(s.skipped) + len(s.moves) }

func (s *shelf) at(i int) (index int, at time.Time, version int) {
	if rest := i - (s.initial - len(s.skipped)); rest >= 0 {
		m := s.moves[rest]
		return m.index, m.at, m.version
	}
	index = i + sort.Search(len(s.skipped), func(k int) bool { return s.skipped[k]-k > i })
	return index, s.created(index), 0
}

// leave takes item index out of the sequence by time.
func (s *shelf) leave(index int) {
	if k, found := slices.BinarySearch(s.skipped, index); index < s.initial && !found {
		s.skipped = slices.Insert(s.skipped, k, index)
	}
	s.moves = slices.DeleteFunc(s.moves, func(m move) bool { return m.index == index })
}

func (s *shelf) publish(at time.Time) (id int) {
	s.added = append(s.added, at)
	index := s.count() - 1
	s.moves = append(s.moves, move{index: index, at: at})
	return index + 1
}

func (s *shelf) has(id int) bool { return id >= 1 && id <= s.count() && !s.gone[id-1] }

func (s *shelf) republish(id int, at time.Time, significant bool) {
	if !s.has(id) {
		return
	}
	index := id - 1
	c := change{version: s.changed[index].version + 1, at: at, listed: at}
	if !significant {
		c.listed = s.listed(index)
	}
	v := c.version
	s.leave(index)
	s.changed[index] = c
	s.moves = append(s.moves, move{index: index, version: v, at: at})
}

func (s *shelf) withdraw(id int) {
	if s.has(id) {
		s.leave(id - 1)
		s.gone[id-1] = true
	}
}

// ids are the item numbers that are not withdrawn.
func (s *shelf) ids() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range s.count() {
			if !s.gone[i] && !yield(i+1) {
				return
			}
		}
	}
}
