package pipelinetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/opencti"
)

// API is how OpenCTI handles bundles that are pushed to it.
type API struct {
	Limit  int             // bytes of a bundle; 0: none
	Poison map[string]bool // objects whose bundles it refuses to queue
	Full   bool            // it queues nothing, because its broker accepts nothing
	Pushes [][]string      // the objects of each bundle that was queued
	Untold bool            // a single object may come unannounced: an answer or a process was lost
	// Part is how many messages of the next bundles a splitting platform queues
	// before its broker fails, one entry per bundle.
	Part []int
}

var errNotTaken = fault.Mark(fault.Transient, fmt.Errorf("push: %w", opencti.ErrNotTaken))

// PushBundle implements deliver.WorkClient: the bundle is queued unchanged, after
// checks that are stricter than OpenCTI's.
func (f *OpenCTI) PushBundle(ctx context.Context, workID string, bundle []byte) error {
	return f.call(ctx, "push", func() error {
		b, err := pushed(bundle)
		switch {
		case err != nil:
			f.wrong("push: %v", err)
			return errNotTaken
		case f.API.Limit > 0 && len(bundle) > f.API.Limit:
			return fault.Mark(fault.Permanent, opencti.ErrTooLarge)
		case !f.known || f.API.Full:
			return errNotTaken
		}
		var ids []string
		for _, o := range b.objects {
			if f.API.Poison[o.id] {
				return errNotTaken
			}
			ids = append(ids, o.id)
		}
		f.API.Pushes = append(f.API.Pushes, ids)
		if f.splits {
			return f.splitPushed(workID, b)
		}
		f.pushed(workID, b)
		f.onPush([]delivery.Envelope{{WorkID: workID, BundleID: b.id, Object: bundle}}, ids)
		return nil
	})
}

// pushed checks and counts the bundle's objects under their work.
func (f *OpenCTI) pushed(workID string, b pushedBundle) {
	w := f.find(workID)
	if w == nil {
		return // just deleted by someone
	}
	if w.Closed {
		f.wrong("bundle of %d under the processed work %q", len(b.objects), w.Name)
	}
	for _, o := range b.objects {
		w.seen[o.id]++
	}
	if len(b.objects) == 1 && !f.splits {
		if w.alone++; w.alone > w.Expected && !f.API.Untold {
			f.wrong("object %s alone under work %q before its expectation: %d expected", b.objects[0].id, w.Name, w.Expected)
		}
	}
}

// splitPushed announces the bundle's messages and queues each.
func (f *OpenCTI) splitPushed(workID string, b pushedBundle) error {
	if w := f.find(workID); w != nil {
		w.Expected += int64(len(b.objects))
	}
	var err error
	if len(f.API.Part) > 0 {
		b.objects, f.API.Part, err = b.objects[:min(f.API.Part[0], len(b.objects))], f.API.Part[1:], errNotTaken
	}
	f.pushed(workID, b)
	var ids []string
	for _, o := range b.objects {
		ids = append(ids, o.id)
	}
	f.onPush(b.messages(workID), ids)
	return err
}

// messages returns what a splitter makes of the bundle.
func (b pushedBundle) messages(workID string) []delivery.Envelope {
	var out []delivery.Envelope
	for i, o := range b.objects {
		out = append(out, delivery.Envelope{WorkID: workID, BundleID: b.id, Sequence: i + 1, Object: o.text})
	}
	return out
}

type pushedBundle struct {
	id      string
	objects []pushedObject
}

type pushedObject struct {
	id   string
	text json.RawMessage
}

// pushed decodes a bundle.
func pushed(text []byte) (pushedBundle, error) {
	var in struct {
		Type, ID string
		Spec     string `json:"spec_version"`
		Objects  []json.RawMessage
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return pushedBundle{}, err
	}
	if in.Type != "bundle" || in.ID == "" || in.Spec != "2.1" || len(in.Objects) == 0 {
		return pushedBundle{}, fmt.Errorf("bundle of type %q, id %q, version %q, %d objects", in.Type, in.ID, in.Spec, len(in.Objects))
	}
	out := pushedBundle{id: in.ID}
	seen := map[string]bool{}
	for _, o := range in.Objects {
		var head struct{ ID string }
		if err := json.Unmarshal(o, &head); err != nil || head.ID == "" || seen[head.ID] {
			return out, errors.Join(err, fmt.Errorf("object %q", head.ID))
		}
		seen[head.ID] = true
		out.objects = append(out.objects, pushedObject{head.ID, o})
	}
	return out, nil
}

// pushed queues what OpenCTI made of a bundle.
func (b *Broker) pushed(messages []delivery.Envelope, ids []string) {
	b.Mu.Lock()
	defer b.Mu.Unlock()
	b.Queue = append(b.Queue, messages...)
	for _, id := range ids {
		if b.All[id]++; b.All[id] == 1 {
			b.order = append(b.order, id)
		}
	}
}

// split does what a worker does with a pushed bundle of several objects: it
// announces and queues each of them. It returns false for a bundle that is imported
// as it is, or whose work is gone, which Consume finds out.
func (b *Broker) split(e delivery.Envelope) bool {
	if e.Sequence > 0 {
		return false
	}
	in, err := pushed(e.Object)
	if err != nil || len(in.objects) == 1 {
		return false
	}
	b.cti.Mu.Lock()
	w := b.cti.find(e.WorkID)
	alive := w != nil && w.Alive
	if alive {
		w.Expected += int64(len(in.objects))
	}
	b.cti.Mu.Unlock()
	if !alive {
		return false
	}
	b.Mu.Lock()
	defer b.Mu.Unlock()
	b.Queue = append(b.Queue, in.messages(e.WorkID)...)
	return true
}

// Waiting returns the size of the queue as OpenCTI reports it.
func (b *Broker) Waiting() opencti.QueueSize {
	b.Mu.Lock()
	defer b.Mu.Unlock()
	return opencti.QueueSize{Messages: int64(len(b.Queue))}
}

// CheckPushed is CheckAll for tests in which it is uncertain whether a single
// object was announced: a work may then have processed more than it expects and end
// with its last report, but nothing is left over or lost.
func (w *World) CheckPushed() {
	w.t.Helper()
	w.checkObjects()
	w.OpenCTI.Mu.Lock()
	defer w.OpenCTI.Mu.Unlock()
	for _, k := range w.OpenCTI.works {
		copies := int64(len(k.Reports))
		for _, n := range k.seen {
			copies += int64(n)
		}
		if !k.Deleted && (!k.Complete || k.Expected > copies || k.Processed != copies) {
			w.Fail("work %q: complete %v, expected %d, processed %d of %d\n%s", k.Name, k.Complete, k.Expected, k.Processed, copies, w.Logs.Tail(60))
		}
	}
}
