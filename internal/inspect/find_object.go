package inspect

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"threatmatch-connector/spool"
)

func (d direct) findObject(ctx context.Context, id string) (FoundObject, error) {
	o := FoundObject{ID: id}
	tr, err := d.Spool.Trace(id)
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
		if run, err := d.Spool.Run(k.Run); err == nil {
			o.Published.Work = run.Work.ID
		}
	}
	o.RefersTo, o.ReferredBy = few(refsOf(own)), few(o.ReferredBy)
	if o.NeededBy, err = d.neededBy(id); err != nil {
		return o, err
	}
	o.Verdict = o.verdict()
	return o, nil
}

// neededBy returns the first objects that wait, or are held, for the id.
func (d direct) neededBy(id string) ([]string, error) {
	const most = 20
	var all []string
	held, err := d.Spool.Watchers(spool.Held, id, 0, most)
	for _, o := range held {
		all = append(all, o.STIX)
	}
	runs, rerr := d.Spool.OpenRuns()
	if err = errors.Join(err, rerr); err != nil {
		return nil, err
	}
	for _, r := range runs {
		if len(all) >= most {
			break
		}
		waiting, err := d.Spool.Watchers(r.ID, id, 0, most-len(all))
		if err != nil {
			return nil, err
		}
		for _, o := range waiting {
			all = append(all, o.STIX)
		}
	}
	return all, nil
}

// verdict says in one sentence where the object is.
func (o FoundObject) verdict() string {
	pending := slices.IndexFunc(o.Messages, func(m FoundMessage) bool { return !m.Confirmed && !m.Skipped })
	open := slices.IndexFunc(o.Dead, func(d FoundDead) bool { return d.Healed.IsZero() })
	switch {
	case pending >= 0:
		m := o.Messages[pending]
		return fmt.Sprintf("mapped, and on its way: message %d of bundle %s is not confirmed by the broker yet", m.Index+1, m.Bundle)
	case len(o.Waiting) > 0:
		return fmt.Sprintf("mapped; waits in run %d for %s", o.Waiting[0].Run, o.Waiting[0].For)
	case o.Held != nil && o.Held.Whole:
		return "published without a reference to " + o.Held.For + "; the whole object is sent when that arrives"
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
	if n := len(o.NeededBy); n > 0 {
		return "unknown: it has not arrived yet; needed by " + Count(n, "object")
	}
	return "unknown: it has not arrived, or was forgotten"
}
