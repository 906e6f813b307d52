package inspect

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/spool"
)

// Found is what the spool knows of one id.
type Found struct {
	Query   string        `json:"query"`
	Objects []FoundObject `json:"objects"`
	Sources []FoundSource `json:"sources"`
	// Of an item without a trace: how far its datasets are confirmed. What
	// ThreatMatch listed as changed until then, and is not found, is delivered.
	Delivered []Delivered `json:"delivered_until,omitempty"`
}

// Delivered says until when everything of a dataset is confirmed by the broker,
// but for what is parked or a dead letter.
type Delivered struct {
	Dataset string    `json:"dataset"`
	Until   time.Time `json:"until"`
}

// FoundObject is the trace of one STIX object.
type FoundObject struct {
	ID        string         `json:"id"`
	Verdict   string         `json:"verdict"` // one sentence: where it is, or why not
	Published *Publication   `json:"published,omitempty"`
	Messages  []FoundMessage `json:"messages,omitempty"`
	Waiting   []FoundWaiting `json:"waiting,omitempty"`
	Held      *FoundWaiting  `json:"held,omitempty"`
	Dead      []FoundDead    `json:"dead,omitempty"`
	Records   []FoundRecord  `json:"records,omitempty"`

	// What it refers to, and what refers to it, as far as the spool still has
	// their contents: at most 100 of each.
	RefersTo   []Reference `json:"refers_to,omitempty"`
	ReferredBy []Reference `json:"referred_by,omitempty"`
}

// Publication is when an object was handed over to deliver, or known otherwise.
type Publication struct {
	Run      uint64    `json:"run"` // 0: found on the platform
	Work     string    `json:"work,omitempty"`
	At       time.Time `json:"at,omitzero"`
	Hash     string    `json:"hash,omitempty"`
	Modified time.Time `json:"modified,omitzero"`
	Kind     string    `json:"kind,omitempty"`
}

// FoundMessage is an object's message in a bundle that is still there.
type FoundMessage struct {
	Bundle    string `json:"bundle"` // run/number
	Index     int    `json:"index"`
	Confirmed bool   `json:"confirmed"`
	Skipped   bool   `json:"dead_letter"`
}

// FoundWaiting is an object that waits in a run, or is held, for another one.
type FoundWaiting struct {
	Run   uint64    `json:"run"`
	For   string    `json:"for"`
	Since time.Time `json:"since,omitzero"`
	Whole bool      `json:"whole_copy_of_published,omitempty"`
}

// FoundDead is a dead letter.
type FoundDead struct {
	Key    string `json:"key"`
	Stage  string `json:"stage"`
	Class  string `json:"class"`
	Error  string `json:"error"`
	Healed string `json:"healed,omitempty"`
}

// FoundRecord is an answer of ThreatMatch.
type FoundRecord struct {
	Bucket  string `json:"bucket"` // records: not mapped yet; kept: mapped
	Key     string `json:"key"`
	Dataset string `json:"dataset"`
	Source  string `json:"source_id"`
	Fetched string `json:"fetched"`
}

// FoundSource is the trace of one item of ThreatMatch.
type FoundSource struct {
	Dataset string        `json:"dataset"`
	Source  string        `json:"source_id"`
	Verdict string        `json:"verdict"`
	Task    *FoundTask    `json:"task,omitempty"`
	Records []FoundRecord `json:"records,omitempty"`
	Objects []string      `json:"objects,omitempty"` // that came of it and can still be told
	Dead    []FoundDead   `json:"dead,omitempty"`
}

// FoundTask is the request for an item that is still to be made.
type FoundTask struct {
	Run    uint64    `json:"run,omitempty"`
	Parked time.Time `json:"parked,omitzero"`
	Due    time.Time `json:"due,omitzero"`
	Tries  int       `json:"tries"`
	Runs   int       `json:"parked_in_runs"`
	Error  string    `json:"error,omitempty"`
}

// findBudget is about how many bytes one view of a search looks at.
const findBudget = 8 << 20

// Find implements Inspector. A query with "--" is a STIX id, any other one a
// source id, with or without its dataset and a slash before it.
func (d direct) Find(ctx context.Context, query string) (Found, error) {
	f := Found{Query: query, Objects: []FoundObject{}, Sources: []FoundSource{}}
	if strings.Contains(query, "--") {
		o, err := d.findObject(ctx, query)
		f.Objects = append(f.Objects, o)
		return f, err
	}
	q := spool.Query{Source: query}
	if set, rest, ok := strings.Cut(query, "/"); ok && slices.Contains(spool.Datasets(), spool.Dataset(set)) {
		q = spool.Query{Dataset: spool.Dataset(set), Source: rest}
	}
	hits, err := d.search(ctx, q)
	if err != nil {
		return f, err
	}
	for _, set := range spool.Datasets() {
		if q.Dataset != "" && q.Dataset != set {
			continue
		}
		if s, ok := d.sourceOf(set, q.Source, hits); ok {
			f.Sources = append(f.Sources, s)
		}
	}
	if len(f.Sources) == 0 {
		f.Delivered, err = d.delivered(q.Dataset)
	}
	return f, err
}

// delivered says how far a dataset, or each of them, is confirmed.
func (d direct) delivered(only spool.Dataset) ([]Delivered, error) {
	marks, err := d.s.Watermarks()
	var all []Delivered
	for _, set := range spool.Datasets() {
		if m := marks[set]; !m.Confirmed.IsZero() && (only == "" || only == set) {
			all = append(all, Delivered{string(set), m.Confirmed})
		}
	}
	return all, err
}

// search walks through all buckets, in many short views.
func (d direct) search(ctx context.Context, q spool.Query) ([]spool.Hit, error) {
	var all []spool.Hit
	refer := 0
	for _, bucket := range spool.Searchable() {
		for after := ""; ; {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			hits, next, err := d.s.Search(bucket, q, after, findBudget)
			if err != nil {
				return nil, err
			}
			for _, h := range hits {
				if h.Refers {
					if refer++; refer > mostReferences {
						continue
					}
				}
				all = append(all, h)
			}
			if next == "" {
				break
			}
			after = next
		}
	}
	return all, nil
}

func (d direct) findObject(ctx context.Context, id string) (FoundObject, error) {
	o := FoundObject{ID: id}
	tr, err := d.s.Trace(id)
	if err != nil {
		return o, err
	}
	hits, err := d.search(ctx, spool.Query{STIX: id})
	if err != nil {
		return o, err
	}
	var own json.RawMessage
	for _, h := range hits {
		if single := h.Bucket != "records" && h.Bucket != "kept"; !single || h.Refers || own == nil {
			for _, x := range d.objectsOf(h) {
				switch {
				case idOf(x) != id:
					o.ReferredBy = append(o.ReferredBy, referrals(x, id)...)
				case own == nil:
					own = x
				}
			}
		}
		if h.Refers {
			continue
		}
		switch h.Bucket {
		case "bundles":
			o.Messages = append(o.Messages, FoundMessage{h.Key, h.Index, h.Confirmed, h.Skipped})
		case "dead":
			o.Dead = append(o.Dead, deadHit(h))
		case "records", "kept":
			o.Records = append(o.Records, recordHit(h))
		}
	}
	for _, w := range tr.Waiting {
		o.Waiting = append(o.Waiting, FoundWaiting{Run: w.Run, For: w.Watch})
	}
	if h := tr.Held; h != nil {
		o.Held = &FoundWaiting{Run: h.Run, For: h.Watch, Since: h.Since, Whole: h.Kept}
	}
	if k := tr.Known; k != nil && !tr.Forgotten {
		o.Published = &Publication{Run: k.Run, At: k.At, Modified: k.Modified, Kind: k.Kind}
		if k.Hash != [16]byte{} {
			o.Published.Hash = hex.EncodeToString(k.Hash[:])
		}
		if run, err := d.s.Run(k.Run); err == nil {
			o.Published.Work = run.Work.ID
		}
	}
	o.RefersTo, o.ReferredBy = refersTo(own), few(o.ReferredBy)
	o.Verdict = o.verdict()
	return o, nil
}

// verdict says in one sentence where the object is.
func (o FoundObject) verdict() string {
	pending := slices.IndexFunc(o.Messages, func(m FoundMessage) bool { return !m.Confirmed && !m.Skipped })
	open := slices.IndexFunc(o.Dead, func(d FoundDead) bool { return d.Healed == "" })
	switch {
	case pending >= 0:
		m := o.Messages[pending]
		return fmt.Sprintf("mapped, and on its way: message %d of bundle %s is not confirmed by the broker yet", m.Index+1, m.Bundle)
	case len(o.Waiting) > 0:
		return fmt.Sprintf("mapped; waits in run %d for %s", o.Waiting[0].Run, o.Waiting[0].For)
	case o.Held != nil && o.Held.Whole:
		return "published without a reference to " + o.Held.For + "; the whole object goes out when that comes"
	case o.Held != nil:
		return "mapped; held until " + o.Held.For + " comes"
	case open >= 0 && o.Dead[open].Stage == string(spool.StagePlatform):
		return fmt.Sprintf("published, and refused by OpenCTI: dead letter %s: %s", o.Dead[open].Key, o.Dead[open].Error)
	case open >= 0:
		return fmt.Sprintf("not published: dead letter %s (%s, %s): %s", o.Dead[open].Key, o.Dead[open].Stage, o.Dead[open].Class, o.Dead[open].Error)
	case o.Published != nil && o.Published.Run == 0:
		return "known on the platform; this spool did not publish it"
	case o.Published != nil:
		return fmt.Sprintf("published in run %d at %s", o.Published.Run, o.Published.At.UTC().Format(time.RFC3339))
	case slices.ContainsFunc(o.Records, func(r FoundRecord) bool { return r.Bucket == "records" }):
		return "fetched, not mapped yet"
	case len(o.Records) > 0:
		return "fetched and mapped, but not published under this id"
	}
	return "unknown: it did not come, or it was forgotten"
}

func str(fields map[string]any, name string) string { s, _ := fields[name].(string); return s }

func deadHit(h spool.Hit) FoundDead {
	f := h.Fields
	return FoundDead{h.Key, str(f, "stage"), str(f, "class"), str(f, "error"), str(f, "healed")}
}

func recordHit(h spool.Hit) FoundRecord {
	f := h.Fields
	return FoundRecord{h.Bucket, h.Key, str(f, "dataset"), str(f, "source"), str(f, "fetched")}
}

// sourceOf gathers what concerns one dataset's item.
func (d direct) sourceOf(set spool.Dataset, source string, hits []spool.Hit) (FoundSource, bool) {
	s := FoundSource{Dataset: string(set), Source: source}
	if t, err := d.s.Task(spool.TaskKey{Dataset: set, Kind: spool.TaskItem, Source: source}); err == nil {
		s.Task = &FoundTask{t.Run, t.Parked, t.Due, t.Tries, t.Runs, t.LastError}
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
		case str(h.Fields, "dataset") != string(set):
		case h.Bucket == "dead":
			s.Dead = append(s.Dead, deadHit(h))
		case h.Bucket == "waiting" || h.Bucket == "held":
			s.Objects = append(s.Objects, h.STIX)
			if again, _ := h.Fields["kept"].(bool); !again { // a whole copy of a published object is no backlog
				pending++
			}
		default:
			s.Records = append(s.Records, recordHit(h))
			s.Objects = append(s.Objects, d.idsIn(h)...)
		}
	}
	slices.Sort(s.Objects)
	s.Objects = slices.Compact(s.Objects)
	s.Verdict = s.verdict(pending)
	return s, s.Task != nil || len(s.Records)+len(s.Objects)+len(s.Dead) > 0
}

// objectAt reads the object of a hit in a bundle.
func (d direct) objectAt(h spool.Hit) (spool.BundleObject, error) {
	var run, seq uint64
	if _, err := fmt.Sscanf(h.Key, "%d/%d", &run, &seq); err != nil {
		return spool.BundleObject{}, err
	}
	objects, err := d.s.BundleObjects(run, seq, h.Index, 1)
	if err != nil || len(objects) == 0 {
		return spool.BundleObject{}, spool.ErrNotFound
	}
	return objects[0], nil
}

// idsIn returns the ids of the objects in a record.
func (d direct) idsIn(h spool.Hit) []string {
	_, body, err := d.s.Show(h.Bucket, h.Key)
	if err != nil {
		return nil
	}
	var answer struct {
		Objects []struct {
			ID string `json:"id"`
		} `json:"objects"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return nil
	}
	var ids []string
	for _, o := range answer.Objects {
		if o.ID != "" {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

func (s FoundSource) verdict(pending int) string {
	open := slices.IndexFunc(s.Dead, func(d FoundDead) bool { return d.Healed == "" })
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
	case len(s.Records) > 0:
		return "fetched, mapped and delivered; its answer is kept"
	case len(s.Objects) > 0:
		return "fetched, mapped and delivered"
	}
	return "an old dead letter that is healed"
}
