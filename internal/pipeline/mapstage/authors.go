package mapstage

import (
	"slices"
	"strings"
)

// authorsMax bounds the waiting objects that one commit reads to find cycles of
// authors and markings. The drain finds the rest.
const authorsMax = 1000

// cutAuthors cuts the cycles that this batch closed and that consist only of
// identities and markings: nearly everything waits for those, and nothing still to
// come would release them.
func (b *batch) cutAuthors() error {
	for left := authorsMax; ; {
		g, err := b.authorGraph(&left)
		if err != nil {
			return err
		}
		stuck, err := b.turnOutward(g)
		if err != nil {
			return err
		}
		cut, err := b.cutStuck(stuck)
		if b.m.at = ""; err != nil || !cut {
			return err
		}
		if err := b.spread(); err != nil {
			return err
		}
	}
}

// authorGraph is how identities and markings wait for each other.
type authorGraph struct {
	ids   []string // those that wait, in the order they were found
	watch map[string]string
	users map[string][]string // by id: which of ids have an open reference to it
	open  []string            // ids that do not wait, or are something else: they may still arrive
}

// authorGraph follows the open references of the identities and markings whose wait
// this batch changed. left is how many more objects may be read.
func (b *batch) authorGraph(left *int) (*authorGraph, error) {
	g := &authorGraph{watch: map[string]string{}, users: map[string][]string{}}
	var next []string
	seen := map[string]bool{}
	for _, it := range b.order {
		if it.state == itemPending && it.changed && isAuthorOrMarking(it.id) {
			next, seen[it.id] = append(next, it.id), true
		}
	}
	for ; len(next) > 0; next = next[1:] {
		id := next[0]
		it, err := b.waitingAuthor(id, left)
		if err != nil {
			return nil, err
		}
		if it == nil {
			g.open = append(g.open, id)
			continue
		}
		if err := b.learnRefs(it); err != nil {
			return nil, err
		}
		g.ids = append(g.ids, id)
		g.watch[id] = it.watch
		for _, r := range b.open(it) {
			g.users[r.ID] = append(g.users[r.ID], id)
			if !seen[r.ID] {
				next, seen[r.ID] = append(next, r.ID), true
			}
		}
	}
	return g, nil
}

func isAuthorOrMarking(id string) bool { return strings.HasPrefix(id, "identity--") || isMarking(id) }

func isMarking(id string) bool { return strings.HasPrefix(id, "marking-definition--") }

// waitingAuthor returns a waiting identity or marking, nil for anything else.
func (b *batch) waitingAuthor(id string, left *int) (*item, error) {
	if !isAuthorOrMarking(id) {
		return nil, nil
	}
	if it := b.items[id]; it != nil {
		if it.state != itemPending {
			return nil, nil
		}
		return it, nil
	}
	if !b.hasWaiting || *left <= 0 {
		return nil, nil
	}
	*left--
	return b.peek(id)
}

// turnOutward returns those of the graph that wait only for each other. The others
// wait for something that may still arrive. If one of them watches another in a
// cycle, it is made to watch the way out of the cycle, so that it is checked again
// when that arrives.
func (b *batch) turnOutward(g *authorGraph) (stuck []string, err error) {
	ways := slices.Clone(g.open) // each comes after one that it waits for
	rank := map[string]int{}
	for i, id := range ways {
		rank[id] = i
	}
	for i := 0; i < len(ways); i++ {
		for _, id := range g.users[ways[i]] {
			if _, done := rank[id]; done {
				continue
			}
			rank[id] = len(ways)
			ways = append(ways, id)
			if at, out := rank[g.watch[id]]; out && at < rank[id] {
				continue
			}
			it, err := b.pendingItem(id)
			if err != nil {
				return nil, err
			}
			if it != nil {
				b.watch(it, ways[i])
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(g.ids), func(id string) bool { _, out := rank[id]; return out }), nil
}

// cutStuck cuts the cycles among objects that wait only for each other.
func (b *batch) cutStuck(stuck []string) (cut bool, err error) {
	items := make([]*item, 0, len(stuck))
	for _, id := range stuck {
		it, err := b.pendingItem(id)
		if err != nil {
			return false, err
		}
		if it != nil {
			items = append(items, it)
		}
	}
	if err := b.settle(items...); err != nil {
		return false, err
	}
	for _, it := range items {
		for it.state == itemPending {
			on, length, err := b.findCycle(it.id, new(int))
			if err != nil {
				return cut, err
			}
			victim, err := b.authorVictim(on, length)
			if err != nil {
				return cut, err
			}
			if victim == nil {
				break
			}
			b.tally("cycles", 1)
			if err := b.goWithout(victim, b.open(victim)); err != nil {
				return cut, err
			}
			cut = true
		}
	}
	return cut, nil
}

// authorVictim picks, from a cycle of the batch's items, a marking that one of them
// needs: a marking can do without an author and is not marked itself, while an
// author without its marking would count as TLP:RED. If only authors need each
// other, it picks as the drain does.
func (b *batch) authorVictim(on string, length int) (*item, error) {
	id := on
	for range length {
		it := b.items[id]
		for _, r := range b.open(it) {
			if isMarking(r.ID) {
				return b.items[r.ID], nil
			}
		}
		id = it.watch
	}
	return b.victim(on, length)
}
