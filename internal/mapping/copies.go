package mapping

import (
	"slices"

	"threatmatch-connector/internal/stix"
)

// lacking is an object that lacks something OpenCTI requires.
type lacking struct {
	raw    []byte
	reason string
}

// merge keeps one object per id, at the position of the first copy. If no copy of
// an object has what OpenCTI requires, all of them become dead letters.
func (r *record) merge() {
	r.byID = make(map[string]int, len(r.Objects))
	kept := r.Objects[:0]
	copies := map[int][]*stix.Object{}
	for _, o := range r.Objects {
		if i, ok := r.byID[o.ID()]; ok {
			copies[i] = append(copies[i], o)
			continue
		}
		r.byID[o.ID()] = len(kept)
		kept = append(kept, o)
	}
	for i := range kept {
		if list := copies[i]; list != nil {
			kept[i] = r.mergeAll(append([]*stix.Object{kept[i]}, list...))
		}
	}
	if r.Objects = kept; len(r.lacking) > 0 {
		r.Objects = slices.DeleteFunc(kept, func(o *stix.Object) bool { return r.addDeadIfLacking(o) })
		r.index()
	}
}

// index finds the objects by their ids again after some were removed.
func (r *record) index() {
	clear(r.byID)
	for i, o := range r.Objects {
		r.byID[o.ID()] = i
	}
}

// addDeadIfLacking makes a dead letter of an object that still lacks something.
func (r *record) addDeadIfLacking(o *stix.Object) bool {
	l, dead := r.lacking[o]
	if dead {
		r.addDeadObject(l.raw, o, DeadIncomplete, l.reason)
	}
	return dead
}

// mergeAll merges copies of one object. Incomplete copies are merged if the result
// is complete; otherwise they become dead letters, and what restricts them
// restricts the others too.
func (r *record) mergeAll(copies []*stix.Object) *stix.Object {
	var whole, parts []*stix.Object
	for _, o := range copies {
		if r.lacking[o].reason == "" {
			whole = append(whole, o)
		} else {
			parts = append(parts, o)
		}
	}
	if len(parts) == 0 {
		return mergePairs(whole, r.mergeTwo)
	}
	all := mergePairs(slices.Clone(parts), stix.Merge)
	var merged *stix.Object
	merges := len(parts) - 1
	if len(whole) > 0 {
		merges++
		merged = mergePairs(whole, r.mergeTwo)
		all = stix.Merge(merged, all)
	}
	if all.TooMuch() == nil && missing(all) == "" {
		r.count("duplicates_merged", merges)
		return all
	}
	if merged == nil {
		merged, parts = parts[0], parts[1:] // merge makes a dead letter of the first
	}
	for _, o := range parts {
		r.addDeadIfLacking(o)
		restrictBy(merged, o)
	}
	return merged
}

// restrictBy makes o as strict as a copy of it that becomes a dead letter.
func restrictBy(o, dead *stix.Object) {
	if rank := dead.SourceRank(); rank > o.SourceRank() {
		o.Restrict(rank)
		o.Set("object_marking_refs", unite(o.Strings("object_marking_refs"), dead.Strings("object_marking_refs")))
	}
}

// mergePairs merges in pairs, so that a growing list is not sorted once per copy.
// It changes the list.
func mergePairs(copies []*stix.Object, merge func(a, b *stix.Object) *stix.Object) *stix.Object {
	for len(copies) > 1 {
		half := copies[:0]
		for pair := range slices.Chunk(copies, 2) {
			merged := pair[0]
			if len(pair) == 2 {
				merged = merge(pair[0], pair[1])
			}
			half = append(half, merged)
		}
		copies = half
	}
	return copies[0]
}

// mergeTwo merges complete copies. A copy that would make the object too much
// becomes a dead letter.
func (r *record) mergeTwo(a, b *stix.Object) *stix.Object {
	both, err := stix.MergeBounded(a, b)
	if err != nil {
		restrictBy(a, b)
		r.addDeadObject(b.AppendJSON(nil), b, DeadElement, "with the other copies of it in the response it would have "+err.Error())
		return a
	}
	r.count("duplicates_merged", 1)
	return both
}
