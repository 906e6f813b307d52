package spool

import (
	"fmt"
	"slices"

	"threatmatch-connector/spool/internal/encoding"
)

// Exported is an entry that the spool still has and that is neither confirmed by the broker nor dropped.
type Exported struct {
	ExportedEntry
	Body []byte `json:"body"` // an object's JSON, or a record's response as it arrived
}

// ExportedEntry says what an exported body is.
type ExportedEntry struct {
	Key     string  `json:"key"`               // as Show takes it; of bundles followed by "/" and the object's index
	STIX    string  `json:"stix_id,omitempty"` // of objects
	Run     uint64  `json:"run,omitempty"`
	Dataset Dataset `json:"dataset,omitempty"`
	Source  string  `json:"source_id,omitempty"`
	Error   string  `json:"error,omitempty"` // it is damaged; the body is what can be read
}

// Exportable returns the buckets that Export takes, in the order of the data flow.
func Exportable() []string { return []string{bktRecords, bktWaiting, bktHeld, bktBundles, bktDead} }

// Export returns what a bucket holds after the entry named after ("" starts at the beginning), until the bodies
// exceed maxBytes (at least one entry), and the key to continue after, "" at the end. Of bundles it returns the
// objects whose messages are not confirmed. Each call is one read transaction.
func (s *Spool) Export(bucket, after string, maxBytes int64) (out []Exported, next string, err error) {
	if !slices.Contains(Exportable(), bucket) {
		return nil, "", fmt.Errorf("export %s: %w: not one of %v", bucket, ErrInvalid, Exportable())
	}
	err = s.view("export "+bucket, func(t *txn) error {
		if bucket == bktBundles {
			var err error
			out, next, err = t.exportBundles(after, maxBytes)
			return err
		}
		return t.walkRows(bucket, after, maxBytes, &next, func(tb *table, _ listing, name string, k, v []byte) int64 {
			h, body, err := t.content(tb, Hit{Bucket: bucket}, k, v)
			x := Exported{ExportedEntry{name, h.STIX, h.Run, h.Dataset, h.Source, ""}, body}
			if err != nil {
				x.Error = err.Error()
			}
			out = append(out, x)
			return int64(len(body))
		})
	})
	return out, next, err
}

// exportBundles returns objects of the bundles after the named object.
func (t *txn) exportBundles(after string, maxBytes int64) (out []Exported, next string, err error) {
	var run, seq, from uint64
	if after != "" {
		n, err := numbers(after, 3)
		if err != nil {
			return nil, "", err
		}
		run, seq, from = n[0], n[1], n[2]+1
	}
	for k := range t.bundles().entries([]byte{pfxHead}, pairKey(pfxHead, run, seq), 16) {
		b, err := t.bundles().head(encoding.U64(k, 1), encoding.U64(k, 9))
		if err != nil {
			continue // Verify reports it
		}
		start := b.Confirmed
		if b.Run == run && b.Seq == seq {
			start = max(start, int(from))
		}
		out = append(out, t.exportBundle(b, start, &maxBytes)...)
		if maxBytes <= 0 && len(out) > 0 {
			return out, out[len(out)-1].Key, nil
		}
	}
	return out, "", nil
}

// exportBundle returns the bundle's objects from index from on that are not skipped, until their bytes use up left.
func (t *txn) exportBundle(b storedBundle, from int, left *int64) (out []Exported) {
	for number, first := b.locate(from); number < len(b.Blocks); number++ {
		objects, err := t.bundles().block(b, number, first)
		if err != nil {
			key := fmt.Sprintf("%d/%d/%d", b.Run, b.Seq, first+b.Blocks[number]-1)
			out = append(out, Exported{ExportedEntry: ExportedEntry{Key: key, Run: b.Run, Error: err.Error()}})
		}
		for i, o := range objects {
			at := first + i
			if at < from || slices.Contains(b.Skipped, at) {
				continue
			}
			if *left <= 0 {
				return out
			}
			*left -= max(int64(len(o.JSON)), 1)
			key := fmt.Sprintf("%d/%d/%d", b.Run, b.Seq, at)
			out = append(out, Exported{ExportedEntry{key, o.STIX, b.Run, o.Dataset, o.Source, ""}, o.JSON})
		}
		first += b.Blocks[number]
	}
	return out
}
