package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// selection is what a command is about to change.
type selection struct {
	admin.Names
	lines []string       // one per entry, for display
	kinds map[string]int // number of each kind
	taken map[any]bool   // by key: an entry may be named both by its number and by its item

	skipped int // dead letters that cannot be retried
}

// add adds an entry to a list of names, unless it is in the selection already.
func add[K comparable](s *selection, names *[]K, key K, kind, line string) {
	if s.taken[key] {
		return
	}
	if s.taken == nil {
		s.taken, s.kinds = map[any]bool{}, map[string]int{}
	}
	s.taken[key] = true
	s.kinds[kind]++
	s.lines = append(s.lines, line)
	*names = append(*names, key)
}

func (s *selection) addDead(d inspect.Dead) {
	add(s, &s.Dead, d.Key, fmt.Sprintf("dead letters of %s, %s", d.Stage, d.Class),
		fmt.Sprintf("dead letter %d  %s %s  %s  %s", d.Key, d.Stage, d.Class, d.Of(), clip(d.Error, 80)))
}

func (s *selection) addParked(t inspect.Task) {
	add(s, &s.Parked, t.Key(), "parked items of "+t.Dataset, fmt.Sprintf("parked item %s  %s", t.Name(), clip(t.Error, 80)))
}

// print shows the selection: every entry if there are few, otherwise the number of
// each kind.
func (s *selection) print(w io.Writer) {
	const few = 20
	for _, line := range s.lines[:min(len(s.lines), few)] {
		sayLine(w, line)
	}
	if len(s.lines) > few {
		say(w, "… and %d more; altogether:\n", len(s.lines)-few)
		for _, k := range slices.Sorted(maps.Keys(s.kinds)) {
			say(w, "  %d %s\n", s.kinds[k], k)
		}
	}
}

// batches splits the names into pieces that suit one transaction.
func (s *selection) batches() []admin.Names {
	const piece = 1000
	var all []admin.Names
	for dead := range slices.Chunk(s.Dead, piece) {
		all = append(all, admin.Names{Dead: dead})
	}
	for parked := range slices.Chunk(s.Parked, piece) {
		all = append(all, admin.Names{Parked: parked})
	}
	for held := range slices.Chunk(s.Held, piece) {
		all = append(all, admin.Names{Held: held})
	}
	if s.Len() <= piece && len(all) > 0 {
		return []admin.Names{s.Names} // all or nothing
	}
	return all
}

// pick looks up the named entries. A key is the number of a dead letter, dataset/id
// of an item that is parked or has dead letters, or the STIX id of a held object.
func pick(i inspect.Inspector, keys []string) (selection, error) {
	var s selection
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	for _, key := range keys {
		var err error
		switch n, nerr := strconv.ParseUint(key, 10, 64); {
		case nerr == nil:
			err = s.pickDead(i, n)
		case strings.Contains(key, "--"):
			err = s.pickHeld(i, key)
		case isItem(key):
			err = s.pickParked(i, key)
		default: // no such dataset, or nothing after the slash
			err = errUsage{fmt.Errorf("key %q is neither the number of a dead letter, nor dataset/id of an item, nor the STIX id of a held object", key)}
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// isItem reports whether a key is dataset/id.
func isItem(key string) bool {
	dataset, id, _ := strings.Cut(key, "/")
	return id != "" && slices.Contains(datasetNames, dataset)
}

func (s *selection) pickDead(i inspect.Inspector, key uint64) error {
	if key == 0 {
		return fmt.Errorf("dead letter 0: %w", spool.ErrNotFound)
	}
	page, err := i.Dead(key-1, 1)
	if err != nil {
		return err
	}
	if len(page) == 0 || page[0].Key != key {
		return fmt.Errorf("dead letter %d: %w", key, spool.ErrNotFound)
	}
	s.addDead(page[0])
	return nil
}

func (s *selection) pickHeld(i inspect.Inspector, id string) error {
	h, err := i.HeldObject(id)
	if errors.Is(err, spool.ErrNotFound) {
		return fmt.Errorf("no such held object: %s", id)
	}
	if err != nil {
		return err
	}
	add(s, &s.Held, id, "held objects", fmt.Sprintf("held object %s  for %s", id, cmp.Or(h.For, h.Unreadable)))
	return nil
}

func (s *selection) pickParked(i inspect.Inspector, key string) error {
	dataset, id, _ := strings.Cut(key, "/")
	id = strings.TrimPrefix(id, string(spool.TaskItem)+"/") // spool ls tasks prints it with this prefix
	t, err := i.Task(spool.TaskKey{Dataset: spool.Dataset(dataset), Kind: spool.TaskItem, Source: id})
	if errors.Is(err, spool.ErrNotFound) || err == nil && !t.IsParked() && t.Unreadable == "" {
		if found, derr := s.pickDeadOf(i, dataset, id); found || derr != nil {
			return derr
		}
	}
	switch {
	case errors.Is(err, spool.ErrNotFound):
		return fmt.Errorf("neither a parked item nor a dead letter: %s", key)
	case err != nil:
		return err
	case t.Unreadable != "":
		return fmt.Errorf("%s cannot be read: %s", key, t.Unreadable)
	case !t.IsParked():
		return fmt.Errorf("%s is not parked: it is still to be fetched in run %d", key, t.Run)
	}
	s.addParked(t)
	return nil
}

// pickDeadOf selects the dead letters of an item.
func (s *selection) pickDeadOf(i inspect.Inspector, dataset, id string) (found bool, err error) {
	for d, err := range each(0, pageSize, i.Dead, deadKey) {
		if err != nil {
			return found, err
		}
		if d.Healed.IsZero() && d.Item() == dataset+"/"+id {
			found = true
			s.addDead(d)
		}
	}
	return found, nil
}

// filter narrows down a selection of everything.
type filter struct {
	stage, class string
	healed       bool
}

func (f filter) takes(d inspect.Dead) bool {
	return (f.stage == "" || f.stage == d.Stage) && (f.class == "" || f.class == d.Class) && d.Healed.IsZero() != f.healed
}

// pickAll selects all dead letters that match the filter and, unless it names a
// stage, a class or healed letters, all parked items. With retry it leaves out dead
// letters that name nothing that could be fetched again.
func pickAll(i inspect.Inspector, f filter, retry bool) (selection, error) {
	var s selection
	for d, err := range each(0, pageSize, i.Dead, deadKey) {
		switch {
		case err != nil:
			return s, err
		case !f.takes(d):
		case retry && d.NoRetry != "":
			s.skipped++
		default:
			s.addDead(d)
		}
	}
	if f != (filter{}) {
		return s, nil
	}
	for t, err := range each("", pageSize, i.Tasks, taskKey) {
		if err != nil {
			return s, err
		}
		if t.IsParked() {
			s.addParked(t)
		}
	}
	return s, nil
}
