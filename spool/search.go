package spool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"threatmatch-connector/spool/internal/encoding"
)

// Query says what Search looks for: with STIX, an object by its id and what refers to it; else with Name, objects by
// name, alias or value, in any case of letters; else what came from Source. An empty Dataset is any.
type Query struct {
	STIX    string
	Name    string
	Dataset Dataset
	Source  string
}

// Hit is an entry that Search found.
type Hit struct {
	Entry
	STIX    string // the object's id; "" if the entry is not a single object
	Refers  bool   // it only refers to the object of the query
	Dataset Dataset
	Source  string
	Fetched string // of records
	Kept    bool   // of held objects: the whole copy of one that was sent without a reference
	// Of dead letters; Healed is "" for one that is open.
	Stage, Class, Error, Healed string
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
		return t.walkRows(bucket, after, budget, &next, func(tb *table, l listing, e Entry, k, v []byte) int64 {
			found, size := t.match(tb, l, e, k, v, q)
			hits = append(hits, found...)
			return size
		})
	})
	return hits, next, err
}

// walkRows calls visit for the rows of a bucket after the named one until its results add up to budget; next then
// names the last row that was visited.
func (t *txn) walkRows(bucket, after string, budget int64, next *string, visit func(tb *table, l listing, e Entry, k, v []byte) int64) error {
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
		from = append(k, 0)
	}
	last := ""
	return tb.scan(l.prefix, from, func(k, v []byte) (bool, error) {
		name, ok := l.name(k)
		if !ok {
			return true, nil
		}
		if budget <= 0 {
			*next = last
			return false, nil
		}
		budget -= max(visit(tb, l, Entry{Bucket: bucket, Key: name}, encoding.Clone(k), v), 1)
		last = name
		return true, nil
	})
}

// match compares one row with q; size is how many bytes that took.
func (t *txn) match(tb *table, l listing, e Entry, k, v []byte, q Query) (hits []Hit, size int64) {
	if e.Bucket == bktBundles {
		return t.matchBundle(l, e, k, v, q)
	}
	sealed := tb.blob(k, v)
	fields, payload := l.fields(t, k, sealed)
	e.Fields, e.Bytes = fields, len(sealed)
	h := hitOf(e)
	size = int64(len(payload))
	switch {
	case q.STIX != "" && (h.STIX == q.STIX || h.STIX == "" && hasID(payload, q.STIX)):
	case q.STIX != "" && names(payload, q.STIX):
		h.Refers = true
	case q.STIX == "" && q.Name != "":
		for _, id := range named(payload, q.Name) {
			h.STIX = id
			hits = append(hits, h)
		}
		return hits, size
	case q.STIX == "" && q.isOf(h.Dataset, h.Source):
	default:
		return nil, size
	}
	return []Hit{h}, size
}

// hitOf returns the entry with what a search may need of its fields.
func hitOf(e Entry) Hit {
	text := func(name string) string { s, _ := e.Fields[name].(string); return s }
	kept, _ := e.Fields["kept"].(bool)
	return Hit{
		Entry: e, STIX: map[string]string{bktWaiting: text("id"), bktHeld: text("id"), bktDead: text("stix")}[e.Bucket],
		Dataset: Dataset(text("dataset")), Source: text("source"), Fetched: text("fetched"), Kept: kept,
		Stage: text("stage"), Class: text("class"), Error: text("error"), Healed: text("healed"),
	}
}

// matchBundle compares a bundle's objects with q. Blocks that cannot be read are left to Verify.
func (t *txn) matchBundle(l listing, e Entry, k, v []byte, q Query) (hits []Hit, size int64) {
	run, seq := encoding.U64(k, 1), encoding.U64(k, 9)
	b, h, err := t.bundles().head(run, seq)
	if err != nil {
		return nil, 0
	}
	e.Fields, _ = l.fields(t, k, v)
	first := 0
	for number, n := range h.Blocks {
		objects, err := t.bundles().block(run, seq, h, number, first)
		for i, o := range objects {
			wanted := o.STIX == q.STIX || q.STIX != "" && names(o.JSON, q.STIX)
			switch {
			case q.STIX != "":
			case q.Name != "":
				wanted = len(named(o.JSON, q.Name)) > 0
			default:
				wanted = q.isOf(o.Dataset, o.Source)
			}
			if err != nil || !wanted {
				continue
			}
			at := first + i
			hits = append(hits, Hit{
				Entry: e, STIX: o.STIX, Index: at, Refers: q.STIX != "" && o.STIX != q.STIX,
				Confirmed: at < b.Confirmed && !slices.Contains(b.Skipped, at), Skipped: slices.Contains(b.Skipped, at),
			})
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

// named returns the ids of the objects with this name in a JSON text, which is one object or an answer with several.
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
