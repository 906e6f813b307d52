package stix

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// Ordered is one object in the order of sending.
type Ordered struct {
	Object *Object
	// Deps is nb_deps as OpenCTI's splitter computes it: 1, plus the Deps of every referenced object of the set, each
	// time it is referenced, up to the greatest uint32. An object's Deps exceed those of what it needs.
	Deps uint32
	// Cut lists the references that were removed from Object to break cycles.
	Cut []Ref
	// Cyclic marks an object that cannot be sent: relationships or sightings that need each other in a circle, and
	// those that need such a one. They come last, unchanged.
	Cyclic bool
}

// Order sorts objects behind everything of the set that they refer to, by rising Deps; those with equal Deps stay in
// the splitter's depth-first order. Copies with the same id are merged as by Merge, in the place of the first.
//
// References that close a cycle are removed from the objects, self-references too, so that none points at a later
// object; pycti leaves such references in cycles of more than two. The ends of a relationship, and what a sighting is
// about and who saw it, are never removed: another reference of the cycle is removed instead. Repeated entries of a
// list are removed. References to objects outside the set stay.
func Order(objs []*Object) []Ordered {
	g := newGraph(objs)
	g.markCyclic()
	out := make([]Ordered, 0, len(g.nodes))
	var cyclic []Ordered
	for _, i := range g.breakCycles() {
		n := &g.nodes[i]
		if n.cyclic {
			cyclic = append(cyclic, Ordered{Object: n.obj, Deps: n.deps, Cyclic: true})
			continue
		}
		out = append(out, Ordered{Object: n.obj, Deps: n.deps, Cut: n.applyCuts()})
		n.obj.dedupeRefs()
	}
	slices.SortStableFunc(out, func(a, b Ordered) int { return cmp.Compare(a.Deps, b.Deps) })
	return append(out, cyclic...)
}

type graph struct{ nodes []node }

type node struct {
	obj    *Object
	edges  []edge
	deps   uint32
	state  state
	cyclic bool
}

type edge struct {
	ref  Ref
	to   int
	hard bool // never cut
	cut  bool
}

type state uint8

const (
	fresh state = iota
	onPath
	done
)

func newGraph(objs []*Object) *graph {
	g := &graph{nodes: make([]node, 0, len(objs))}
	at := make(map[string]int, len(objs))
	for _, o := range objs {
		if i, ok := at[o.ID()]; ok {
			g.nodes[i].obj = Merge(g.nodes[i].obj, o)
			continue
		}
		at[o.ID()] = len(g.nodes)
		g.nodes = append(g.nodes, node{obj: o})
	}
	for i := range g.nodes {
		n := &g.nodes[i]
		for f, id := range n.obj.refs() {
			if to, ok := at[string(id)]; ok {
				r := Ref{f.key, g.nodes[to].obj.id, strings.HasSuffix(f.key, "_refs")}
				n.edges = append(n.edges, edge{ref: r, to: to, hard: Essential(n.obj.Type(), r.Key)})
			}
		}
	}
	return g
}

// Essential reports whether an object of this type is meaningless without the reference: the ends of a relationship,
// what a sighting is about, who saw it.
func Essential(typ, key string) bool {
	switch typ {
	case "relationship":
		return key == "source_ref" || key == "target_ref"
	case "sighting":
		return key == "sighting_of_ref" || key == "where_sighted_refs"
	}
	return false
}

// markCyclic finds what no cut can free. It repeatedly takes away the nodes that need no remaining node; those that
// remain need each other. References to them are cut.
func (g *graph) markCyclic() {
	needs := make([]int, len(g.nodes))
	neededBy := make(map[int][]int)
	for i := range g.nodes {
		for _, e := range g.nodes[i].edges {
			if e.hard && g.links(e.to) {
				needs[i]++
				neededBy[e.to] = append(neededBy[e.to], i)
			}
		}
	}
	if len(neededBy) == 0 {
		return
	}
	var free []int
	for i := range needs {
		if needs[i] == 0 {
			free = append(free, i)
		}
	}
	left := len(g.nodes)
	for ; len(free) > 0; left-- {
		i := free[len(free)-1]
		free = free[:len(free)-1]
		for _, j := range neededBy[i] {
			if needs[j]--; needs[j] == 0 {
				free = append(free, j)
			}
		}
	}
	if left == 0 {
		return
	}
	for i := range g.nodes {
		g.nodes[i].cyclic = needs[i] > 0
	}
	for i := range g.nodes {
		for k := range g.nodes[i].edges {
			e := &g.nodes[i].edges[k]
			e.cut = g.nodes[i].cyclic || g.nodes[e.to].cyclic
		}
	}
}

// links reports whether the node has essential references at all.
func (g *graph) links(i int) bool {
	t := g.nodes[i].obj.Type()
	return t == "relationship" || t == "sighting"
}

func addSaturating(a, b uint32) uint32 {
	if a > math.MaxUint32-b {
		return math.MaxUint32
	}
	return a + b
}
