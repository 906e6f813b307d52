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
func (s *Spool) List(bucket, after string, limit int) ([]Entry, error) {
	var out []Entry
	budget := int64(listBudget)
	err := s.view("list "+bucket, func(t *txn) error {
		var next string
		return t.walkRows(bucket, after, int64(limit), &next, func(tb *table, l listing, e Entry, k, v []byte) int64 {
			e, _ = t.entry(tb, l, bucket, e.Key, k, v)
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
			if seq := heldOf(t).seq(key); seq != 0 {
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
		l = numbered(pfxRun, runFields)
	case bktHeld:
		l = numbered(pfxHeld, heldFields)
	case bktDead:
		l = numbered(pfxDead, deadFields)
	case bktTasks:
		l = listing{prefix: []byte{pfxTask}, name: taskName, key: taskOfName, fields: taskFields}
	case bktRecords:
		l = paired(nil, recordFields)
	case bktWaiting:
		l = paired(nil, waitingFields)
	case bktBundles:
		l = paired([]byte{pfxHead}, bundleFields)
	case bktCursors:
		l = paired(nil, cursorFields)
	case bktKept:
		l = listing{name: keptName, key: keptOfName, fields: keptFields}
	case bktWaitingByID:
		l = listing{prefix: []byte{pfxByID}, name: byIDName, key: byIDOfName, fields: byIDFields}
	case bktItems:
		l = listing{name: itemName, key: itemOfName, fields: itemFields}
	case bktGone:
		l = listing{name: func(k []byte) (string, bool) { return strconv.FormatUint(encoding.U64(k, 0), 10), true }, key: numberKey, fields: goneFields}
	case bktMeta:
		l = listing{name: plainName, key: plainKey, fields: metaFields}
	default:
		return nil, l, fmt.Errorf("bucket %q: %w; there are %s", bucket, ErrNotFound, strings.Join(Buckets(), ", "))
	}
	return t.tab(bucket), l, nil
}

type fieldsOf = func(t *txn, key, v []byte) (map[string]any, []byte)

// numbered lists a bucket whose rows have a prefix and a number.
func numbered(pfx byte, fields fieldsOf) listing {
	return listing{
		prefix: []byte{pfx},
		name: func(k []byte) (string, bool) {
			return strconv.FormatUint(encoding.U64(k, 1), 10), len(k) == 9
		},
		key: func(name string) ([]byte, error) {
			n, err := strconv.ParseUint(name, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("key %q: %w: want a number", name, ErrInvalid)
			}
			return numKey(pfx, n), nil
		},
		fields: fields,
	}
}

// paired lists a bucket whose rows are named run/number.
func paired(prefix []byte, fields fieldsOf) listing {
	return listing{
		prefix: prefix,
		name: func(k []byte) (string, bool) {
			k = k[len(prefix):]
			return fmt.Sprintf("%d/%d", encoding.U64(k, 0), encoding.U64(k, 8)), len(k) == 16
		},
		key: func(name string) ([]byte, error) {
			n, err := numbers(name, 2)
			if err != nil {
				return nil, err
			}
			return append(encoding.Clone(prefix), encoding.Pair(n[0], n[1])...), nil
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
		if err != nil || len(parts) != n {
			return nil, fmt.Errorf("key %q: %w: want %d numbers between slashes", name, ErrInvalid, n)
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
		return TaskKey{}, fmt.Errorf("key %q: %w: want dataset/kind/source", s, ErrInvalid)
	}
	return TaskKey{Dataset: Dataset(parts[0]), Kind: TaskKind(parts[1]), Source: parts[2]}, nil
}

func keptName(k []byte) (string, bool) {
	return fmt.Sprintf("%d/%d/%d", encoding.TimeAt(k, 0).UnixMilli(), encoding.U64(k, 8), encoding.U64(k, 16)), len(k) == 24
}

func keptOfName(name string) ([]byte, error) {
	n, err := numbers(name, 3)
	if err != nil {
		return nil, err
	}
	return encoding.PutU64(encoding.PutU64(encoding.Num(n[0]^(1<<63)), n[1]), n[2]), nil
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
		return nil, fmt.Errorf("key %q: %w: want run/id", name, ErrInvalid)
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
		return nil, fmt.Errorf("key %q: %w: want dataset/source", name, ErrInvalid)
	}
	return itemKey(Dataset(d), source), nil
}

func numberKey(name string) ([]byte, error) {
	n, err := numbers(name, 1)
	if err != nil {
		return nil, err
	}
	return encoding.Num(n[0]), nil
}

func plainName(k []byte) (string, bool) { return string(k), true }

func plainKey(name string) ([]byte, error) { return []byte(name), nil }
