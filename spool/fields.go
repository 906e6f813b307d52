package spool

import (
	"encoding/hex"
	"encoding/json"

	"threatmatch-connector/spool/internal/encoding"
)

// What listings show of a row. Names are stable; times are RFC 3339 in UTC.

// headFields opens an envelope and returns the fields of its head, and its payload.
func headFields(key, v []byte) (map[string]any, []byte) {
	f := map[string]any{}
	payload, err := encoding.Open(key, v, &f)
	renamed, _ := snake(f).(map[string]any) // never nil
	return withError(renamed, err), payload
}

// withError adds why a row cannot be read.
func withError(f map[string]any, err error) map[string]any {
	if err != nil {
		f["error_reading"] = err.Error()
	}
	return f
}

// snake renames the fields of JSON that was made from Go structs to the names of listings: lower case, with
// underscores.
func snake(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[snakeName(k)] = snake(e)
		}
		return out
	case []any:
		for i, e := range v {
			v[i] = snake(e)
		}
	}
	return v
}

// snakeName turns FetchedAt into fetched_at and ID into id; other names stay.
func snakeName(s string) string {
	if s == "" || s[0] < 'A' || s[0] > 'Z' {
		return s
	}
	var out []byte
	for i := range len(s) {
		c := s[i]
		upper := c >= 'A' && c <= 'Z'
		if upper && i > 0 && (s[i-1] < 'A' || s[i-1] > 'Z') {
			out = append(out, '_')
		}
		if upper {
			c += 'a' - 'A'
		}
		out = append(out, c)
	}
	return string(out)
}

func runFields(_ *txn, key, v []byte) (map[string]any, []byte) {
	f, _ := headFields(key, v)
	if open, ok := f["open"]; ok {
		f["open_tasks"] = open
		delete(f, "open")
	}
	payload, _ := json.Marshal(f)
	return f, payload
}

func taskFields(t *txn, key, _ []byte) (map[string]any, []byte) {
	st, err := t.tasks().byKey(key[1:])
	if err != nil {
		return withError(map[string]any{}, err), nil
	}
	s := st.TaskState
	return map[string]any{
		"dataset": st.Dataset, "kind": st.Kind, "source": st.Source,
		"run": st.Run, "seq": st.Seq, "since": st.Since, "parked": st.Parked, "due": s.Due,
		"tries": s.Tries, "refused": s.Refused, "runs": s.Runs, "first_try": s.FirstTry,
		"last_try": s.LastTry, "last_class": s.LastClass, "last_error": s.LastError,
		"cursor": string(s.Cursor),
	}, s.LastAnswer
}

func recordFields(_ *txn, key, v []byte) (map[string]any, []byte) {
	f, payload := headFields(key, v)
	f["run"], f["seq"], f["size"] = encoding.U64(key, 0), encoding.U64(key, 8), len(payload)
	return f, payload
}

func keptFields(t *txn, key, v []byte) (map[string]any, []byte) {
	f, payload := recordFields(t, key[8:], v)
	f["mapped"] = encoding.TimeAt(key, 0)
	return f, payload
}

func objectFields(_ *txn, key, v []byte) (map[string]any, []byte) {
	f, payload := headFields(key, v)
	f["seq"], f["size"] = encoding.U64(key, len(key)-8), len(payload)
	return f, payload
}

func deadFields(t *txn, key, v []byte) (map[string]any, []byte) {
	f, _ := headFields(key, v)
	d, _ := t.dead().read(encoding.U64(key, 1))
	f["key"], f["size"] = d.Key, len(d.Payload)
	return withError(f, d.Err), d.Payload
}

func bundleFields(t *txn, key, v []byte) (map[string]any, []byte) {
	run, seq := encoding.U64(key, 1), encoding.U64(key, 9)
	b, err := t.bundles().head(run, seq)
	f := map[string]any{
		"run": run, "seq": seq, "created": b.Created, "objects": b.Objects, "size": b.Bytes,
		"blocks": len(b.Blocks), "confirmed": b.Confirmed, "skipped": b.Skipped,
	}
	return withError(f, err), nil
}

func cursorFields(_ *txn, key, v []byte) (map[string]any, []byte) {
	c, err := encoding.DecodeCursor(key, v)
	f := map[string]any{"run": encoding.U64(key, 0), "seq": encoding.U64(key, 8), "confirmed": c.Confirmed, "skipped": c.Skipped}
	return withError(f, err), nil
}

func idFields(t *txn, key, v []byte) (map[string]any, []byte) {
	e, err := decodeEntry(key, v)
	f := map[string]any{
		"hash": hex.EncodeToString(e.Hash[:]), "modified": e.Modified, "properties": e.Properties,
		"kind": e.Kind, "run": e.Run, "at": e.At, "names": e.Names, "lists": len(e.Lists),
		"earlier": len(e.Earlier), "marking": e.Marking,
	}
	if err == nil && t.ids().forgets(e) {
		f["forgotten"] = true
	}
	return withError(f, err), nil
}

func byIDFields(_ *txn, key, v []byte) (map[string]any, []byte) {
	return map[string]any{"run": encoding.U64(key, 1), "seq": encoding.U64(v, 0)}, nil
}

func metaFields(_ *txn, key, v []byte) (map[string]any, []byte) {
	if string(key) == keySchema {
		return map[string]any{"schema": encoding.U32(v, 0)}, nil
	}
	if string(key) == keyPlatform {
		payload, err := encoding.Open(key, v, nil)
		f := map[string]any{"size": len(payload)}
		return withError(f, err), payload
	}
	return headFields(key, v)
}

func itemFields(_ *txn, key, v []byte) (map[string]any, []byte) {
	it, err := decodeItem(key, v)
	f := map[string]any{"dataset": it.Dataset, "source": it.Source, "run": it.Run, "objects": it.Objects, "at": it.At}
	return withError(f, err), nil
}
