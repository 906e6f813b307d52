package stix

// breakCycles cuts the references that lead back onto the path of a depth-first walk. If such a reference is
// essential, the last one on the path that is not essential is cut instead, and the walk returns to before it. The
// walk has its own stack: chains may be as long as memory allows. It computes deps and returns the nodes in post-order.
func (g *graph) breakCycles() []int {
	w := walk{g: g, depth: make([]int, len(g.nodes)), order: make([]int, 0, len(g.nodes))}
	for root := range g.nodes {
		w.run(root)
	}
	return w.order
}

type walk struct {
	g     *graph
	path  []frame
	depth []int // of a node on the path: its index there
	order []int // of the nodes that are done
}

type frame struct{ node, next int }

func (w *walk) push(i int) {
	w.g.nodes[i].state = onPath
	w.depth[i] = len(w.path)
	w.path = append(w.path, frame{node: i})
}

// done weighs a node: everything that it refers to is done.
func (w *walk) done(i int) {
	n := &w.g.nodes[i]
	n.state, n.deps = done, 1
	for _, e := range n.edges {
		if !e.cut {
			n.deps = addSaturating(n.deps, w.g.nodes[e.to].deps)
		}
	}
	w.order = append(w.order, i)
}

func (w *walk) run(root int) {
	if w.g.nodes[root].state != fresh {
		return
	}
	w.push(root)
	for len(w.path) > 0 {
		f := &w.path[len(w.path)-1]
		n := &w.g.nodes[f.node]
		if f.next == len(n.edges) {
			w.done(f.node)
			w.path = w.path[:len(w.path)-1]
			continue
		}
		e := &n.edges[f.next]
		f.next++
		if e.cut {
			continue
		}
		switch w.g.nodes[e.to].state {
		case fresh:
			w.push(e.to)
		case onPath:
			if e.hard {
				w.cutOnPath(w.depth[e.to])
			} else {
				e.cut = true
			}
		}
	}
}

// cutOnPath cuts the last reference on the path, from index from on, that is not essential. There is one: markCyclic
// has removed the cycles without.
func (w *walk) cutOnPath(from int) {
	for i := len(w.path) - 2; i >= from; i-- {
		f := w.path[i]
		e := &w.g.nodes[f.node].edges[f.next-1]
		if e.hard {
			continue
		}
		e.cut = true
		for _, gone := range w.path[i+1:] {
			w.g.nodes[gone.node].state = fresh // to be walked again: all before the root are done
		}
		w.path = w.path[:i+1]
		return
	}
}

// applyCuts removes the cut references from the object and returns them.
func (n *node) applyCuts() []Ref {
	var cut []Ref
	for _, e := range n.edges {
		if e.cut {
			cut = append(cut, e.ref)
		}
	}
	if cut == nil {
		return nil
	}
	gone := make(map[Ref]bool, len(cut))
	for _, r := range cut {
		gone[r] = true
	}
	n.obj.EditRefs(func(r Ref) (string, bool) { return r.ID, !gone[r] })
	return cut
}
