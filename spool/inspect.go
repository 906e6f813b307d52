package spool

import (
	"fmt"
	"strconv"
	"strings"

	"threatmatch-connector/spool/internal/encoding"
)

// Entry is one row of a listing, with stable JSON names.
type Entry struct {
	Bucket string         `json:"bucket"`
	Key    string         `json:"key"`
	Fields map[string]any `json:"fields"`
	Bytes  int            `json:"bytes"`
}

// listing says how the rows of one bucket are found, named and described.
type listing struct {
	prefix []byte                                               // of the rows, as opposed to indices
	name   func(key []byte) (string, bool)                      // false: not a row (a further fragment)
	key    func(name string) ([]byte, error)                    // the reverse of name, with prefix
	fields func(t *txn, key, v []byte) (map[string]any, []byte) // description and payload
}

// List returns up to limit entries of a bucket after the given key, in key order; after "" starts at the beginning.
// It returns fewer if they are large, but at least one while there are any. Keys are written as Show takes them:
//
//	runs, dead, held         number
//	records, waiting,        run/number
//	  bundles, cursors
//	kept                     milliseconds/run/number
//	tasks                    dataset/kind/source
//	ids                      STIX id
//	items                    dataset/source
//	gone                     epoch
//	waiting_by_id            run/STIX id
//	meta                     name
func (s *Spool) List(bucket, after string, limit int) (out []Entry, err error) {
	budget := int64(listBudget)
	err = s.view("list "+bucket, func(t *txn) error {
		var next string
		return t.walkRows(bucket, after, int64(limit), &next, func(tb *table, l listing, name string, k, v []byte) int64 {
			e, _ := t.entry(tb, l, bucket, name, k, v)
			out = append(out, e)
			if budget -= int64(e.Bytes); budget <= 0 {
				return int64(limit)
			}
			return 1
		})
	})
	return out, err
}

// listBudget bounds the bytes that one listing reads: large entries are decompressed to be described, and no read
// transaction should be long.
const listBudget = 16 << 20

// Show returns one entry with its payload, decompressed. Held objects are found by STIX id, too. With ErrCorrupt the
// payload is what can be read.
func (s *Spool) Show(bucket, key string) (Entry, []byte, error) {
	var e Entry
	var payload []byte
	err := s.view("show "+bucket+" "+key, func(t *txn) error {
		tb, l, err := t.listing(bucket)
		if err != nil {
			return err
		}
		if bucket == bktHeld {
			if seq := t.objects(Held).seq(key); seq != 0 {
				key = strconv.FormatUint(seq, 10)
			} else if strings.Contains(key, "--") {
				return ErrNotFound
			}
		}
		k, err := l.key(key)
		if err != nil {
			return err
		}
		v := tb.get(k)
		if v == nil {
			return ErrNotFound
		}
		e, payload = t.entry(tb, l, bucket, key, k, v)
		if msg, bad := e.Fields["error_reading"]; bad {
			return fmt.Errorf("%w: %v", ErrCorrupt, msg)
		}
		return nil
	})
	return e, payload, err
}

func (t *txn) entry(tb *table, l listing, bucket, name string, k, v []byte) (Entry, []byte) {
	sealed := tb.blob(k, v)
	fields, payload := l.fields(t, k, sealed)
	size := len(sealed)
	if bucket == bktDead {
		size += len(tb.blob(numKey(pfxPayload, encoding.U64(k, 1)), nil))
	}
	return Entry{Bucket: bucket, Key: name, Fields: fields, Bytes: size}, payload
}

// listing returns the table of a bucket, and how it is listed.
func (t *txn) listing(bucket string) (*table, listing, error) {
	if bucket == bktIDs {
		return t.sub(subEntries), listing{name: idName, key: idOfName, fields: idFields}, nil
	}
	var l listing
	switch bucket {
	case bktRuns:
		l = numbered([]byte{pfxRun}, 1, runFields)
	case bktHeld:
		l = numbered([]byte{pfxHeld}, 1, objectFields)
	case bktDead:
		l = numbered([]byte{pfxDead}, 1, deadFields)
	case bktTasks:
		l = listing{prefix: []byte{pfxTask}, name: taskName, key: taskOfName, fields: taskFields}
	case bktRecords:
		l = numbered(nil, 2, recordFields)
	case bktWaiting:
		l = numbered(nil, 2, objectFields)
	case bktBundles:
		l = numbered([]byte{pfxHead}, 2, bundleFields)
	case bktCursors:
		l = numbered(nil, 2, cursorFields)
	case bktKept:
		l = numbered(nil, 3, keptFields)
	case bktWaitingByID:
		l = listing{prefix: []byte{pfxByID}, name: byIDName, key: byIDOfName, fields: byIDFields}
	case bktItems:
		l = listing{name: itemName, key: itemOfName, fields: itemFields}
	case bktGone:
		l = numbered(nil, 1, metaFields) // it has buckets, which are not listed; any row is damage
	case bktMeta:
		l = listing{name: plainName, key: plainKey, fields: metaFields}
	default:
		return nil, l, fmt.Errorf("bucket %q: %w; there are %s", bucket, ErrNotFound, strings.Join(Buckets(), ", "))
	}
	return t.tab(bucket), l, nil
}

// numbered lists a bucket whose rows have a prefix and n numbers, written with slashes. The first of three is a time.
func numbered(prefix []byte, n int, fields func(t *txn, key, v []byte) (map[string]any, []byte)) listing {
	var flip uint64 // of a time
	if n == 3 {
		flip = 1 << 63
	}
	return listing{
		prefix: prefix,
		name: func(k []byte) (string, bool) {
			k = k[len(prefix):]
			name := strconv.FormatUint(encoding.U64(k, 0)^flip, 10)
			for i := 1; i < n; i++ {
				name += "/" + strconv.FormatUint(encoding.U64(k, i*8), 10)
			}
			return name, len(k) == n*8
		},
		key: func(name string) ([]byte, error) {
			all, err := numbers(name, n)
			if err != nil {
				return nil, err
			}
			all[0] ^= flip
			key := encoding.Clone(prefix)
			for _, v := range all {
				key = encoding.PutU64(key, v)
			}
			return key, nil
		},
		fields: fields,
	}
}

// numbers parses n numbers separated by slashes.
func numbers(name string, n int) ([]uint64, error) {
	parts := strings.Split(name, "/")
	out := make([]uint64, len(parts))
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 64)
		switch {
		case (err != nil || len(parts) != n) && n == 1:
			return nil, fmt.Errorf("%w %q: want a number", ErrKey, name)
		case err != nil || len(parts) != n:
			return nil, fmt.Errorf("%w %q: want %d numbers between slashes", ErrKey, name, n)
		}
		out[i] = v
	}
	return out, nil
}

func taskName(k []byte) (string, bool) {
	key, ok := cutTaskKey(k[1:])
	return key.String(), ok
}

func taskOfName(name string) ([]byte, error) {
	key, err := ParseTaskKey(name)
	return prefixed(pfxTask, taskKey(key)), err
}

// ParseTaskKey reads what TaskKey.String writes.
func ParseTaskKey(s string) (TaskKey, error) {
	parts := strings.SplitN(s, "/", 3)
	if len(parts) < 3 {
		return TaskKey{}, fmt.Errorf("%w %q: want dataset/kind/source", ErrKey, s)
	}
	return TaskKey{Dataset: Dataset(parts[0]), Kind: TaskKind(parts[1]), Source: parts[2]}, nil
}

func idName(k []byte) (string, bool) {
	id, rest, ok := encoding.CutID(k)
	return id, ok && len(rest) == 0
}

func idOfName(name string) ([]byte, error) { return encoding.IDKey(name), nil }

func byIDName(k []byte) (string, bool) {
	if len(k) < 9 {
		return "", false
	}
	id, rest, ok := encoding.CutID(k[9:])
	return fmt.Sprintf("%d/%s", encoding.U64(k, 1), id), ok && len(rest) == 0
}

func byIDOfName(name string) ([]byte, error) {
	run, id, ok := strings.Cut(name, "/")
	n, err := strconv.ParseUint(run, 10, 64)
	if err != nil || !ok {
		return nil, fmt.Errorf("%w %q: want run/id", ErrKey, name)
	}
	return encoding.AppendID(numKey(pfxByID, n), id), nil
}

func itemName(k []byte) (string, bool) {
	d, rest, ok1 := encoding.CutString(k)
	source, _, ok2 := encoding.CutString(rest)
	return d + "/" + source, ok1 && ok2
}

func itemOfName(name string) ([]byte, error) {
	d, source, ok := strings.Cut(name, "/")
	if !ok {
		return nil, fmt.Errorf("%w %q: want dataset/source", ErrKey, name)
	}
	return itemKey(Dataset(d), source), nil
}

func plainName(k []byte) (string, bool) { return string(k), true }

func plainKey(name string) ([]byte, error) { return []byte(name), nil }
