package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/spool"
)

// itemOf splits dataset/id.
func itemOf(text string) (set spool.Dataset, id string, ok bool) {
	before, id, ok := strings.Cut(text, "/")
	set = spool.Dataset(before)
	return set, id, ok && slices.Contains(spool.Datasets(), set)
}

// findItems collects what is known about the query as an item of each dataset that
// it may belong to.
func (d direct) findItems(ctx context.Context, f *Found) error {
	q := spool.Query{Source: f.Query}
	if set, id, ok := itemOf(f.Query); ok {
		q = spool.Query{Dataset: set, Source: id}
	}
	hits, err := d.search(ctx, q)
	if err != nil {
		return err
	}
	for _, set := range spool.Datasets() {
		if q.Dataset != "" && q.Dataset != set {
			continue
		}
		if s, ok := d.sourceOf(set, q.Source, hits); ok {
			f.Sources = append(f.Sources, s)
		}
	}
	return nil
}

// sourceOf collects what is known about one dataset's item.
func (d direct) sourceOf(set spool.Dataset, source string, hits []spool.Hit) (FoundSource, bool) {
	s := FoundSource{Dataset: string(set), Source: source}
	if t, err := d.Spool.Task(spool.TaskKey{Dataset: set, Kind: spool.TaskItem, Source: source}); err == nil {
		s.Task = &FoundTask{t.Run, t.Parked, t.Due, t.Tries + t.Waived, t.Runs, t.LastError}
	}
	pending := 0
	for _, h := range hits {
		switch {
		case h.Bucket == "bundles":
			if b, err := d.objectAt(h); err == nil && b.Dataset == set {
				s.Objects = append(s.Objects, h.STIX)
				if !h.Confirmed && !h.Skipped {
					pending++
				}
			}
		case h.Dataset != set:
		case h.Bucket == "dead":
			s.Dead = append(s.Dead, deadHit(h))
		case h.Bucket == "waiting" || h.Bucket == "held":
			s.Objects = append(s.Objects, h.STIX)
			if !h.Kept { // a whole copy of a published object is not pending
				pending++
			}
		default:
			s.Records = append(s.Records, recordHit(h))
			for _, o := range d.objectsOf(h) {
				s.Objects = append(s.Objects, idOf(o))
			}
		}
	}
	slices.Sort(s.Objects)
	s.Objects = slices.DeleteFunc(slices.Compact(s.Objects), func(id string) bool { return id == "" })
	s.Mapped = d.mapped(set, source)
	s.Verdict = s.verdict(pending)
	return s, s.Task != nil || s.Mapped != nil || len(s.Records)+len(s.Objects)+len(s.Dead) > 0
}

// mapped returns what is kept about an item after it was mapped; nil for nothing.
func (d direct) mapped(set spool.Dataset, source string) *FoundMapped {
	items, err := d.Spool.Items(set, source)
	if err != nil || len(items) == 0 {
		return nil
	}
	m := &FoundMapped{Run: items[0].Run, At: items[0].At, Objects: items[0].Objects}
	switch run, err := d.Spool.Run(m.Run); {
	case err == nil:
		m.Work, m.Done = run.Work.ID, run.DoneAt
		m.Sent = !run.DoneAt.IsZero() && !run.Dropped
	case errors.Is(err, spool.ErrNotFound):
		m.Sent = true // only finished runs leave the list
	}
	return m
}

func (m FoundMapped) verdict() string {
	text := fmt.Sprintf("mapped to %s at %s in run %d", Count(m.Objects, "object"), m.At.UTC().Format(time.RFC3339), m.Run)
	switch {
	case !m.Sent:
		return text + ", which is not delivered yet"
	case m.Done.IsZero():
		return text + ", which is delivered"
	}
	return text + ", which was delivered at " + m.Done.UTC().Format(time.RFC3339)
}

// objectAt reads the object of a hit in a bundle.
func (d direct) objectAt(h spool.Hit) (spool.BundleObject, error) {
	var run, seq uint64
	if _, err := fmt.Sscanf(h.Key, "%d/%d", &run, &seq); err != nil {
		return spool.BundleObject{}, err
	}
	objects, err := d.Spool.BundleObjects(run, seq, h.Index, 1)
	if err != nil || len(objects) == 0 {
		return spool.BundleObject{}, spool.ErrNotFound
	}
	return objects[0], nil
}

func (s FoundSource) verdict(pending int) string {
	open := slices.IndexFunc(s.Dead, func(d FoundDead) bool { return d.Healed.IsZero() })
	switch {
	case s.Task != nil && !s.Task.Parked.IsZero():
		return fmt.Sprintf("parked since %s, tried again in the next run: %s", s.Task.Parked.UTC().Format(time.RFC3339), s.Task.Error)
	case s.Task != nil && s.Task.Tries > 0:
		return fmt.Sprintf("to be fetched in run %d; %d tries failed: %s", s.Task.Run, s.Task.Tries, s.Task.Error)
	case s.Task != nil:
		return fmt.Sprintf("to be fetched in run %d", s.Task.Run)
	case slices.ContainsFunc(s.Records, func(r FoundRecord) bool { return r.Bucket == "records" }):
		return "fetched, not mapped yet"
	case pending > 0:
		return fmt.Sprintf("fetched and mapped; %d of its objects are not delivered yet", pending)
	case open >= 0:
		return fmt.Sprintf("dead letter %s (%s, %s): %s", s.Dead[open].Key, s.Dead[open].Stage, s.Dead[open].Class, s.Dead[open].Error)
	case s.Mapped != nil:
		return s.Mapped.verdict()
	case len(s.Records) > 0:
		return "fetched and mapped; its response is kept"
	case len(s.Objects) > 0:
		return "fetched and mapped"
	}
	return "an old dead letter that is healed"
}
