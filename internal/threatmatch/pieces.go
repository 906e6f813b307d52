package threatmatch

import (
	"bytes"
	"slices"
)

// The most that one piece of a response holds, unless a single object is larger.
const (
	pieceBytes   = largeBody
	pieceObjects = 5000
	// pieceMarkings bounds the marking definitions that each piece repeats.
	pieceMarkings = 256 << 10
	// deepest is how deep nested bundles are looked into.
	deepest = 10
)

// Pieces are a response cut into bodies of bounded size.
type Pieces struct {
	whole []byte // the response, if it is one piece
	head  []byte // the beginning of each piece; nil: see whole
	walk  objectWalk
	ahead []byte // the next object; nil if there is none
}

// Pieces cuts the body. Each piece has a copy of the response's marking definitions, since an object with an unknown
// marking counts as TLP:RED.
func (b *Body) Pieces() *Pieces {
	objects, err := b.list()
	if err != nil || len(b.Bytes) <= pieceBytes && few(objects) {
		return &Pieces{whole: b.Bytes}
	}
	p := cut(objects, nil)
	if p.ahead == nil {
		return &Pieces{whole: []byte(`{"objects":[]}`)}
	}
	rest := objectWalk{within: slices.Clone(p.walk.within)}
	if _, more := rest.next(); !more && len(b.Bytes) <= len(p.ahead)+pieceBytes { // one large object: not copied
		return &Pieces{whole: b.Bytes}
	}
	return p
}

// Pieces cuts the page, without the objects for which fresh returns false. fresh gets the index of the object, from
// 0; nil takes all.
func (p *Page) Pieces(fresh func(i int) bool) *Pieces {
	objects, err := p.list()
	if err != nil || fresh == nil && len(p.Bytes) <= pieceBytes && few(objects) {
		return &Pieces{whole: p.Bytes}
	}
	return cut(objects, fresh)
}

// list returns the array of the response's objects.
func (b *Body) list() ([]byte, error) {
	if b.objects != nil {
		return b.objects, nil
	}
	found, _, err := decodeObjects(b.Bytes)
	return found["objects"], err
}

// Next returns the next piece and whether it is the last. If no object is fresh, the piece is nil.
func (p *Pieces) Next() (body []byte, last bool) {
	if p.head == nil {
		return p.whole, true
	}
	if p.ahead == nil {
		return nil, true
	}
	least := len(p.head) + len(p.ahead) + len("]}")
	b := append(make([]byte, 0, max(least, min(least+p.walk.left(), pieceBytes))), p.head...)
	for n := 0; p.ahead != nil && (n == 0 || n < pieceObjects && len(b)+len(p.ahead) < pieceBytes); n++ {
		if n > 0 {
			b = append(b, ',')
		}
		b = append(b, p.ahead...)
		p.ahead, _ = p.walk.next()
	}
	if b = append(b, "]}"...); cap(b) > 2*len(b) { // it is kept until its commit, so no memory is wasted
		b = bytes.Clone(b)
	}
	return b, p.ahead == nil
}

// few reports whether a list fits a piece by its number of objects.
func few(list []byte) bool {
	if bytes.Count(list, []byte("{")) <= pieceObjects && bytes.Count(list, []byte(",")) < pieceObjects {
		return true
	}
	n := 0
	w := walkObjects(list, nil)
	for _, ok := w.next(); ok && n <= pieceObjects; _, ok = w.next() {
		n++
	}
	return n <= pieceObjects
}

func cut(list []byte, fresh func(i int) bool) *Pieces {
	p := &Pieces{head: []byte(`{"objects":[`), walk: walkObjects(list, fresh)}
	if len(list) > pieceBytes || !few(list) {
		w := walkObjects(list, nil)
		for e, ok := w.next(); ok; e, ok = w.next() {
			if typ, _ := kindOfObject(e); typ == "marking-definition" && len(p.head)+len(e) < pieceMarkings {
				p.head = append(append(p.head, e...), ',')
			}
		}
	}
	p.ahead, _ = p.walk.next()
	return p
}

// objectWalk walks a list of objects, and those of bundles in it.
type objectWalk struct {
	within []arrayWalk
	fresh  func(i int) bool // for the outermost list; nil: all
	at     int
}

func walkObjects(list []byte, fresh func(i int) bool) objectWalk {
	return objectWalk{within: []arrayWalk{walkArray(list)}, fresh: fresh}
}

func (w *objectWalk) next() ([]byte, bool) {
	for len(w.within) > 0 {
		depth := len(w.within)
		e, ok := w.within[depth-1].next()
		if !ok {
			w.within = w.within[:depth-1]
			continue
		}
		if depth == 1 {
			if w.at++; w.fresh != nil && !w.fresh(w.at-1) {
				continue
			}
		}
		if !bytes.Contains(e, []byte("bundle")) && !bytes.Contains(e, []byte(`\u`)) {
			return e, true
		}
		if typ, inner := kindOfObject(e); typ == "bundle" && isArray(inner) && depth <= deepest {
			w.within = append(w.within, walkArray(inner))
			continue
		}
		return e, true
	}
	return nil, false
}

// left returns the most that the objects take which next has not returned yet.
func (w *objectWalk) left() (n int) {
	for _, list := range w.within {
		n += len(list.raw) - list.at
	}
	return n
}

// kindOfObject returns the type of an object and its "objects".
func kindOfObject(raw []byte) (typ string, objects []byte) {
	for key, value := range members(raw) {
		switch string(key) {
		case "type":
			typ = text(value)
		case "objects":
			objects = value
		}
	}
	return typ, objects
}
