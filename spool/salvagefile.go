package spool

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"

	"threatmatch-connector/spool/internal/boltfile"
	"threatmatch-connector/spool/internal/encoding"
)

// asideFile is a set-aside file that is read row by row, as far as its pages can be read.
type asideFile struct {
	*boltfile.Tree
	ctx   context.Context
	id    []byte // hash of its contents
	state state
	epoch uint64 // of the spool that it comes back to
}

// openAside opens a set-aside file. owner is the id of the connector that it belonged to, if it does not say so itself.
func openAside(ctx context.Context, path, owner string) (*asideFile, error) {
	id, err := fileID(ctx, path)
	if err != nil {
		return nil, err
	}
	tree, err := boltfile.OpenTree(path)
	if err != nil {
		return nil, err
	}
	f := &asideFile{Tree: tree, ctx: ctx, id: id}
	if err := f.identify(owner); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), tree.Close())
	}
	return f, nil
}

// identify reads which connector the file belonged to, and its format.
func (f *asideFile) identify(owner string) error {
	if n, ok := cutSchema(f.Get(f.ctx, bktMeta, []byte(keySchema))); ok && n > schema {
		return schemaError(n)
	}
	if _, err := encoding.Open([]byte(keyState), f.Get(f.ctx, bktMeta, []byte(keyState)), &f.state); err == nil {
		return nil
	}
	var copied connectorRow
	_, err := encoding.Open([]byte(keyConnector), f.Get(f.ctx, bktMeta, []byte(keyConnector)), &copied)
	f.state = state{ConnectorID: copied.ID}
	if err != nil && owner != "" {
		f.state.ConnectorID, err = owner, nil
	}
	if err != nil {
		return cmp.Or(context.Cause(f.ctx), ErrNoOwner)
	}
	return nil
}

// fileID is the hash of all of a file's bytes.
func fileID(ctx context.Context, path string) ([]byte, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	h := sha256.New()
	for {
		n, err := io.CopyN(h, in, 16<<20)
		if errors.Is(err, io.EOF) {
			return h.Sum(nil)[:16], nil
		}
		if err == nil && n > 0 {
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
}

// rescued is what one row of a set-aside file gives.
type rescued struct {
	at      rowPlace // where to continue after
	kind    string
	n       int64 // objects of a bundle's block, else 1
	records []NewRecord
	letter  *DeadLetter
	setIDs  map[string]string // see MapCommit
}

// rowPlace is a row of a set-aside file.
type rowPlace struct {
	Bucket string `json:"bucket"`
	Key    []byte `json:"key"`
}

// rescuer says how the rows of a bucket are rescued.
type rescuer struct {
	bucket string
	prefix []byte
	length int // of a row's key; a longer one is a further fragment
	rescue func(f *asideFile, key, sealed []byte) (rescued, error)
}

// rescuers returns the buckets in the order in which they are brought back.
func rescuers() []rescuer {
	return []rescuer{
		{bktMeta, []byte(pfxSetID), len(pfxSetID + "intrusion-set--00000000-0000-0000-0000-000000000000"), (*asideFile).setID},
		{bktRecords, nil, 16, (*asideFile).record},
		{bktWaiting, nil, 16, (*asideFile).object},
		{bktHeld, []byte{pfxHeld}, 9, (*asideFile).object},
		{bktBundles, []byte{pfxBlock}, 21, (*asideFile).block},
		{bktDead, []byte{pfxDead}, 9, (*asideFile).letter},
	}
}

// each walks what can be rescued after the place, in order, and calls lost with what cannot be read. It ends early when
// the context does.
func (f *asideFile) each(from rowPlace, lost func(error)) iter.Seq[rescued] {
	return func(yield func(rescued) bool) {
		all := rescuers()
		if i := slices.IndexFunc(all, func(r rescuer) bool { return r.bucket == from.Bucket }); i >= 0 {
			all = all[i:]
		}
		for _, r := range all {
			begin := r.prefix
			if r.bucket == from.Bucket {
				begin = past(from.Key)
			}
			for key, sealed := range f.envelopes(r, begin, lost) {
				got, err := r.rescue(f, key, sealed)
				if err != nil {
					lost(fmt.Errorf("%s %x: %w", r.bucket, key, err))
					continue
				}
				got.at = rowPlace{r.bucket, key}
				if got.n > 0 && !yield(got) { // else nothing of it has to be brought back
					return
				}
			}
		}
	}
}

// envelopes walks the rows of a bucket, with their fragments joined.
func (f *asideFile) envelopes(r rescuer, begin []byte, lost func(error)) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, sealed []byte) bool) {
		var key, sealed []byte
		for k, v := range f.Rows(f.ctx, r.bucket, begin, lost) {
			if !bytes.HasPrefix(k, r.prefix) {
				if string(k) > string(r.prefix) {
					break
				}
				continue // a damaged key
			}
			if len(k) == r.length {
				if key != nil && !yield(key, sealed) {
					return
				}
				key, sealed = k, encoding.Clone(v)
			} else if key != nil && bytes.HasPrefix(k, key) {
				sealed = append(sealed, v...)
			}
		}
		if key != nil {
			yield(key, sealed)
		}
	}
}

func (f *asideFile) setID(key, sealed []byte) (rescued, error) {
	var row setIDRow
	_, err := encoding.Open(key, sealed, &row)
	return rescued{kind: "set_ids", n: 1, setIDs: map[string]string{string(key[len(pfxSetID):]): row.Original}}, err
}

func (f *asideFile) record(key, sealed []byte) (rescued, error) {
	var rec NewRecord
	var err error
	rec.Body, err = encoding.Open(key, sealed, &rec)
	return rescued{kind: "records", n: 1, records: []NewRecord{rec}}, err
}

func (f *asideFile) object(key, sealed []byte) (rescued, error) {
	var o Object
	body, err := encoding.Open(key, sealed, &o)
	kind := bktWaiting
	if key[0] == pfxHeld && len(key) == 9 {
		kind = bktHeld
	}
	return rescued{kind: kind, n: 1, records: []NewRecord{{Dataset: o.Dataset, Source: o.Source, Body: answer(body), Mapped: true}}}, err
}

// block rescues the objects of a bundle's block that are neither confirmed nor dead letters. Without the header their
// indices are counted from the blocks before; if those cannot be read, more objects than necessary come again.
func (f *asideFile) block(key, sealed []byte) (rescued, error) {
	run, seq, number := encoding.U64(key, 1), encoding.U64(key, 9), int(encoding.U32(key, 17))
	raw, err := encoding.Open(key, sealed, nil)
	if err != nil {
		return rescued{}, err
	}
	objects, err := encoding.CutBlock(raw, -1)
	if err != nil {
		return rescued{}, err
	}
	var h storedBundle
	headKey := pairKey(pfxHead, run, seq)
	first := 0
	if _, err := encoding.Open(headKey, f.blob(bktBundles, headKey), &h); err == nil && number < len(h.Blocks) {
		for _, n := range h.Blocks[:number] {
			first += n
		}
	} else {
		for i := range number {
			k := blockKey(run, seq, uint32(i))
			if raw, err := encoding.Open(k, f.blob(bktBundles, k), nil); err == nil {
				before, _ := encoding.CutBlock(raw, -1)
				first += len(before)
			}
		}
	}
	at := encoding.Pair(run, seq)
	cur, _ := encoding.DecodeCursor(at, f.Get(f.ctx, bktCursors, at)) // a damaged one repeats the bundle
	out := rescued{kind: "objects"}
	for i, o := range objects {
		if first+i < cur.Confirmed || slices.Contains(cur.Skipped, first+i) {
			continue
		}
		out.n++
		out.records = append(out.records, NewRecord{Dataset: o.Dataset, Source: o.Source, Body: o.JSON})
	}
	out.records = together(out.records)
	return out, nil
}

// together joins consecutive objects that one item brought into one record.
func together(objects []NewRecord) []NewRecord {
	var out []NewRecord
	for i := 0; i < len(objects); {
		n := i
		var body []byte
		for ; n < len(objects) && objects[n].Dataset == objects[i].Dataset && objects[n].Source == objects[i].Source; n++ {
			if n > i {
				body = append(body, ',')
			}
			body = append(body, objects[n].Body...)
		}
		out = append(out, NewRecord{Dataset: objects[i].Dataset, Source: objects[i].Source, Body: answer(body), Mapped: true})
		i = n
	}
	return out
}

// answer wraps objects in the form of ThreatMatch's responses.
func answer(objects []byte) []byte {
	return append(append([]byte(`{"objects":[`), objects...), "]}"...)
}

// letter rescues a dead letter that is not healed. Schema 1 had the payload in the same row.
func (f *asideFile) letter(key, sealed []byte) (rescued, error) {
	var d DeadLetter
	body, err := encoding.Open(key, sealed, &d)
	if err != nil || !d.Healed.IsZero() {
		return rescued{}, err
	}
	payload := numKey(pfxPayload, encoding.U64(key, 1))
	if sealed := f.blob(bktDead, payload); sealed != nil || len(body) == 0 {
		if body, err = encoding.Open(payload, sealed, nil); err != nil {
			return rescued{}, fmt.Errorf("payload: %w", err)
		}
	}
	d.Payload = body
	return rescued{kind: "dead_letters", n: 1, letter: &d}, nil
}

// blob returns the envelope under a key with its fragments; nil if there is none.
func (f *asideFile) blob(bucket string, key []byte) (out []byte) {
	for k, v := range f.Rows(f.ctx, bucket, key, func(error) {}) {
		if !bytes.HasPrefix(k, key) {
			break
		}
		if out = append(out, v...); len(v) != fragmentSize {
			break
		}
	}
	return out
}

// parked counts the items that were parked. They are not brought back: they held last_run back, so the lists name
// them again.
func (f *asideFile) parked(lost func(error)) (n int64) {
	for k, v := range f.Rows(f.ctx, bktTasks, []byte{pfxParked}, lost) {
		if k[0] != pfxParked {
			break
		}
		if _, ok := cutTaskKey(v); ok {
			n++
		}
	}
	return n
}
