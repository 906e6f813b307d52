package inspect

import (
	"context"
	"strings"
	"time"

	"threatmatch-connector/spool"
)

// Found is what the spool knows about one id.
type Found struct {
	Query   string        `json:"query"`
	Objects []FoundObject `json:"objects"`
	Sources []FoundSource `json:"sources"`
	ByName  bool          `json:"by_name,omitempty"` // Objects are those with this name whose id or bytes are still in the spool
}

// FoundObject is everything known about one STIX object.
type FoundObject struct {
	ID        string         `json:"id"`
	Verdict   string         `json:"verdict"` // one sentence: where it is, or why it is nowhere
	Published *Publication   `json:"published,omitempty"`
	Messages  []FoundMessage `json:"messages,omitempty"`
	Waiting   []FoundWaiting `json:"waiting,omitempty"`
	Held      *FoundWaiting  `json:"held,omitempty"`
	Dead      []FoundDead    `json:"dead,omitempty"`
	Records   []FoundRecord  `json:"records,omitempty"`
	NeededBy  []string       `json:"needed_by,omitempty"` // objects that wait or are held for it, at most 20

	// What it refers to and what refers to it, as far as the contents are still in
	// the spool: at most 100 of each.
	RefersTo   []Reference `json:"refers_to,omitempty"`
	ReferredBy []Reference `json:"referred_by,omitempty"`
}

// Publication is when an object was handed over to deliver, or became known
// otherwise.
type Publication struct {
	Run      uint64    `json:"run"` // 0: found on the platform
	Work     string    `json:"work,omitempty"`
	At       time.Time `json:"at,omitzero"`
	Hash     string    `json:"hash,omitempty"`
	Modified time.Time `json:"modified,omitzero"`
	Kind     string    `json:"kind,omitempty"`
}

// FoundMessage is an object's message in a bundle that still exists.
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
	Key    string    `json:"key"`
	Stage  string    `json:"stage"`
	Class  string    `json:"class"`
	Error  string    `json:"error"`
	Healed time.Time `json:"healed,omitzero"`
}

// FoundRecord is a response of ThreatMatch.
type FoundRecord struct {
	Bucket  string    `json:"bucket"` // records: not mapped yet; kept: mapped
	Key     string    `json:"key"`
	Dataset string    `json:"dataset"`
	Source  string    `json:"source_id"`
	Fetched time.Time `json:"fetched"`
}

// FoundSource is everything known about one item of ThreatMatch.
type FoundSource struct {
	Dataset string        `json:"dataset"`
	Source  string        `json:"source_id"`
	Verdict string        `json:"verdict"`
	Mapped  *FoundMapped  `json:"mapped,omitempty"` // the last time it was mapped
	Task    *FoundTask    `json:"task,omitempty"`
	Records []FoundRecord `json:"records,omitempty"`
	Objects []string      `json:"objects,omitempty"` // objects that came of it, as far as known
	Dead    []FoundDead   `json:"dead,omitempty"`
}

// FoundMapped is when an item was mapped, and in which run.
type FoundMapped struct {
	Run     uint64    `json:"run"`
	Work    string    `json:"work,omitempty"`
	At      time.Time `json:"at"`
	Objects int       `json:"objects"` // objects that came of it
	Sent    bool      `json:"sent"`    // its run is delivered
	Done    time.Time `json:"delivered,omitzero"`
}

// FoundTask is the pending request for an item.
type FoundTask struct {
	Run    uint64    `json:"run,omitempty"`
	Parked time.Time `json:"parked,omitzero"`
	Due    time.Time `json:"due,omitzero"`
	Tries  int       `json:"tries"`
	Runs   int       `json:"parked_in_runs"`
	Error  string    `json:"error,omitempty"`
}

// findBudget is roughly how many bytes one view of a search reads.
const findBudget = 8 << 20

// Find implements Inspector. A query with "--" is a STIX id; any other is a source
// id, optionally with its dataset and a slash in front, or a name.
func (d direct) Find(ctx context.Context, query string) (Found, error) {
	f := Found{Query: query, Objects: []FoundObject{}, Sources: []FoundSource{}}
	if strings.Contains(query, "--") {
		o, err := d.findObject(ctx, query)
		f.Objects = append(f.Objects, o)
		return f, err
	}
	if err := d.findItems(ctx, &f); err != nil || len(f.Sources) > 0 || !f.IsName() {
		return f, err
	}
	f.ByName = true
	ids, err := d.named(ctx, query)
	for _, id := range ids {
		if err != nil {
			break
		}
		var o FoundObject
		o, err = d.findObject(ctx, id)
		f.Objects = append(f.Objects, o)
	}
	return f, err
}

// IsName reports whether the query can be the name of an object: it is not a number
// and has no dataset in front.
func (f Found) IsName() bool {
	_, _, ok := itemOf(f.Query)
	return !ok && strings.Trim(f.Query, "0123456789") != "" && !strings.Contains(f.Query, "--")
}

// search goes through all buckets, in many short views.
func (d direct) search(ctx context.Context, q spool.Query) ([]spool.Hit, error) {
	var all []spool.Hit
	refer := 0
	for _, bucket := range spool.Searchable() {
		for after := ""; ; {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			hits, next, err := d.Spool.Search(bucket, q, after, findBudget)
			if err != nil {
				return nil, err
			}
			for _, h := range hits {
				if h.Refers {
					refer++
				}
				if !h.Refers || refer <= mostReferences {
					all = append(all, h)
				}
			}
			if next == "" {
				break
			}
			after = next
		}
	}
	return all, nil
}

func deadHit(h spool.Hit) FoundDead {
	return FoundDead{h.Key, string(h.Dead.Stage), h.Dead.Class, h.Dead.Error, h.Dead.Healed}
}

func recordHit(h spool.Hit) FoundRecord {
	return FoundRecord{h.Bucket, h.Key, string(h.Dataset), h.Source, h.Fetched}
}
