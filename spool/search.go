package spool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// Query says what Search looks for: with STIX, an object by its id and what refers to it; else with Name, objects by
// name, alias or value, ignoring case; else what came from Source. An empty Dataset is any.
type Query struct {
	STIX    string
	Name    string
	Dataset Dataset
	Source  string
}

// Hit is an entry that Search found.
type Hit struct {
	Bucket, Key string // as Show takes them
	STIX        string // the object's id; "" if the entry is not a single object
	Refers      bool   // it only refers to the object of the query
	Run         uint64
	Dataset     Dataset
	Source      string
	Fetched     time.Time   // of records
	Kept        bool        // of held objects: the whole copy of one that was sent without a reference
	Dead        *DeadLetter // of dead letters
	// Of bundles: the object's index, and whether its message is confirmed or became a dead letter instead.
	Index     int
	Confirmed bool
	Skipped   bool
}

// Searchable returns the buckets that Search takes.
func Searchable() []string {
	return []string{bktRecords, bktWaiting, bktHeld, bktBundles, bktDead, bktKept}
}

// Search walks through a bucket after the entry named after ("" starts at the beginning) until it has read about
// budget bytes. It returns what it found and where to continue, "" at the end. Each call is one read transaction, so
// that a long search keeps no old pages in the file.
func (s *Spool) Search(bucket string, q Query, after string, budget int64) (hits []Hit, next string, err error) {
	if !slices.Contains(Searchable(), bucket) {
		return nil, "", fmt.Errorf("search %s: %w: not one of %v", bucket, ErrInvalid, Searchable())
	}
	err = s.view("search "+bucket, func(t *txn) error {
		return t.walkRows(bucket, after, budget, &next, func(tb *table, _ listing, name string, k, v []byte) int64 {
			found, size := t.match(tb, Hit{Bucket: bucket, Key: name}, k, v, q)
			hits = append(hits, found...)
			return size
		})
	})
	return hits, next, err
}

// walkRows calls visit for the rows of a bucket after the named one until its results add up to budget; next then
// names the last row that was visited.
func (t *txn) walkRows(bucket, after string, budget int64, next *string, visit func(tb *table, l listing, name string, k, v []byte) int64) error {
	tb, l, err := t.listing(bucket)
	if err != nil {
		return err
	}
	from := l.prefix
	if after != "" {
		k, err := l.key(after)
		if err != nil {
			return err
		}
		from = past(k)
	}
	last := ""
	for k, v := range tb.rowsFrom(l.prefix, from) {
		name, ok := l.name(k)
		if !ok {
			continue
		}
		if budget <= 0 {
			*next = last
			break
		}
		budget -= max(visit(tb, l, name, encoding.Clone(k), v), 1)
		last = name
	}
	return nil
}

// content reads what a row holds: a response, an object, or what became a dead letter.
func (t *txn) content(tb *table, h Hit, k, v []byte) (Hit, []byte, error) {
	switch h.Bucket {
	case bktRecords, bktKept:
		r := tb.record(k, v)
		h.Run, h.Dataset, h.Source, h.Fetched = r.Run, r.Dataset, r.Source, r.Fetched
		return h, r.Body, r.Err
	case bktDead:
		d, _ := t.dead().read(encoding.U64(k, 1))
		h.STIX, h.Run, h.Dataset, h.Source, h.Dead = d.STIX, d.Run, d.Dataset, d.Source, &d
		return h, d.Payload, d.Err
	}
	o := tb.object(k, v)
	if h.Bucket == bktWaiting {
		o.Run = encoding.U64(k, 0)
	}
	h.STIX, h.Run, h.Dataset, h.Source, h.Kept = o.STIX, o.Run, o.Dataset, o.Source, o.Kept
	return h, o.JSON, o.Err
}

// match compares one row with q; size is how many bytes that took.
func (t *txn) match(tb *table, h Hit, k, v []byte, q Query) (hits []Hit, size int64) {
	if h.Bucket == bktBundles {
		return t.matchBundle(h, k, q)
	}
	h, payload, _ := t.content(tb, h, k, v)
	return q.hits(h, payload), int64(len(payload))
}

// hits returns the hits in what an entry holds: one, or of a response one for each object of a name.
func (q Query) hits(h Hit, payload []byte) (hits []Hit) {
	switch {
	case q.STIX != "" && (h.STIX == q.STIX || h.STIX == "" && hasID(payload, q.STIX)):
	case q.STIX != "" && names(payload, q.STIX):
		h.Refers = true
	case q.STIX == "" && q.Name != "":
		for _, id := range named(payload, q.Name) {
			h.STIX = id
			hits = append(hits, h)
		}
		return hits
	case q.STIX == "" && q.isOf(h.Dataset, h.Source):
	default:
		return nil
	}
	return []Hit{h}
}

// matchBundle compares a bundle's objects with q. Blocks that cannot be read are left to Verify.
func (t *txn) matchBundle(h Hit, k []byte, q Query) (hits []Hit, size int64) {
	b, err := t.bundles().head(encoding.U64(k, 1), encoding.U64(k, 9))
	if err != nil {
		return nil, 0
	}
	first := 0
	for number, n := range b.Blocks {
		objects, _ := t.bundles().block(b, number, first)
		for i, o := range objects {
			h.Run, h.STIX, h.Dataset, h.Source, h.Index = b.Run, o.STIX, o.Dataset, o.Source, first+i
			h.Skipped = slices.Contains(b.Skipped, h.Index)
			h.Confirmed = h.Index < b.Confirmed && !h.Skipped
			hits = append(hits, q.hits(h, o.JSON)...)
		}
		first += n
	}
	return hits, b.Bytes
}

// names reports whether a JSON text contains the id as a string.
func names(payload []byte, id string) bool { return bytes.Contains(payload, []byte(`"`+id+`"`)) }

// isOf reports whether q looks for what came from the source, or from its details.
func (q Query) isOf(d Dataset, source string) bool {
	id, _ := CutDetails(source)
	return id == q.Source && (q.Dataset == "" || d == q.Dataset)
}

// named returns the ids of the objects with this name in a JSON text, which is one object or a response with several.
func named(payload []byte, name string) []string {
	type object struct {
		ID      string   `json:"id"`
		Name    string   `json:"name"`
		Value   string   `json:"value"`
		Aliases []string `json:"aliases"`
	}
	var text struct {
		object
		Objects []object `json:"objects"`
	}
	_ = json.Unmarshal(payload, &text) // fields of other types stay empty
	var ids []string
	for _, o := range append(text.Objects, text.object) {
		if o.ID != "" && slices.ContainsFunc(append(o.Aliases, o.Name, o.Value), func(s string) bool { return strings.EqualFold(s, name) }) {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

// hasID reports whether a JSON text has an object with this id, not only one that refers to it.
func hasID(payload []byte, id string) bool {
	quoted := []byte(`"` + id + `"`)
	for rest := payload; ; {
		i := bytes.Index(rest, quoted)
		if i < 0 {
			return false
		}
		before := bytes.TrimRight(rest[:i], " \t\r\n")
		if name, ok := bytes.CutSuffix(before, []byte(":")); ok && bytes.HasSuffix(bytes.TrimRight(name, " \t\r\n"), []byte(`"id"`)) {
			return true
		}
		rest = rest[i+len(quoted):]
	}
}
