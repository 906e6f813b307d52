// Package inspect is the read access to a spool, of a running connector or a
// stopped one: its numbers, runs, entries, and where an object is. The views have
// JSON tags; their field names are stable. Reading never changes the spool.
package inspect

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"threatmatch-connector/spool"
)

// Stats is what `spool stats` prints. Field names are stable.
type Stats struct {
	ConnectorID string               `json:"connector_id"`
	Schema      int                  `json:"schema"`
	Epoch       uint64               `json:"epoch"`
	Created     time.Time            `json:"created"`
	Unclean     bool                 `json:"unclean_stop"`
	SetAside    string               `json:"set_aside,omitempty"`
	LiveBytes   int64                `json:"live_bytes"`
	FileBytes   int64                `json:"file_bytes"`
	MaxBytes    int64                `json:"max_bytes"`
	CapBytes    int64                `json:"cap_bytes"`
	Rejected    int64                `json:"rejected"` // of Dead
	Bytes       map[string]int64     `json:"payload_bytes,omitempty"`
	Oldest      map[string]time.Time `json:"oldest,omitempty"`
	Watermarks  []Watermark          `json:"watermarks"`
	Paused      []Paused             `json:"paused,omitempty"` // in the order of the data flow

	// Of Held: whole copies of published objects; nothing of them is missing in
	// OpenCTI.
	HeldPublished int64 `json:"held_published"`

	spool.Counts
}

// Paused is a stage that an operator has paused.
type Paused struct {
	Stage string    `json:"stage"`
	Since time.Time `json:"since"`
}

// Why says that the stage is paused and how to resume it.
func (p Paused) Why() string {
	return fmt.Sprintf("paused by an operator since %s; go on with: threatmatch-connector resume %s", p.Since.UTC().Format(time.RFC3339), p.Stage)
}

// PausedOf lists the stages that are paused according to the spool.
func PausedOf(m spool.Meta) []Paused {
	var all []Paused
	for _, st := range spool.Pausable() {
		if since, ok := m.Paused[st]; ok {
			all = append(all, Paused{string(st), since})
		}
	}
	return all
}

// IsPaused reports whether an operator has paused the stage.
func (s Stats) IsPaused(stage string) bool {
	return slices.ContainsFunc(s.Paused, func(p Paused) bool { return p.Stage == stage })
}

// Backlog says what is still to be done, "" if nothing is.
func (s Stats) Backlog() string {
	var all []string
	for _, w := range []struct {
		n    int64
		what string
	}{
		{s.Tasks, "request"}, {s.Queued, "queued entry"}, {s.Records, "record"}, {s.Waiting, "waiting object"}, {s.Held - s.HeldPublished, "held object"}, {s.Messages, "message"},
	} {
		if w.n > 0 {
			all = append(all, Count(w.n, w.what))
		}
	}
	return strings.Join(all, ", ")
}

// Watermark is the position of a dataset.
type Watermark struct {
	Dataset   string    `json:"dataset"`
	Fetched   time.Time `json:"fetched,omitzero"`
	Confirmed time.Time `json:"confirmed,omitzero"`
	Held      time.Time `json:"held_by_parked_item,omitzero"`
}

// Run is one import.
type Run struct {
	ID       uint64           `json:"id"`
	Reason   string           `json:"reason"`
	Resumed  bool             `json:"resumed"`
	Phase    string           `json:"phase"` // fetching, mapping, delivering, done, dropped
	Created  time.Time        `json:"created"`
	Start    time.Time        `json:"start,omitzero"`
	Fetched  time.Time        `json:"fetched,omitzero"`
	Mapped   time.Time        `json:"mapped,omitzero"`
	Done     time.Time        `json:"done,omitzero"`
	Datasets []DatasetRun     `json:"datasets"`
	Work     Work             `json:"work,omitzero"`
	Counters map[string]int64 `json:"counters"`
}

// DatasetRun is one dataset's part in a run.
type DatasetRun struct {
	Dataset string    `json:"dataset"`
	From    time.Time `json:"from,omitzero"`
	Status  string    `json:"status"`
	Detail  string    `json:"detail,omitempty"`
	Listed  int64     `json:"listed"`  // items named by its list
	Open    int       `json:"open"`    // pending requests
	Fetched int64     `json:"fetched"` // items, or IOC objects
	Mapped  int64     `json:"mapped"`  // records
	Parked  int64     `json:"parked"`
	Dead    int64     `json:"dead"`
}

// Work is a run's record on the platform.
type Work struct {
	ID     string `json:"id,omitempty"`
	Name   string `json:"name,omitempty"`
	Status string `json:"status,omitempty"`
	Told   int64  `json:"expectations,omitempty"`
	Sent   int64  `json:"sent,omitempty"`
}

// Task is one request that is pending or parked.
type Task struct {
	Dataset string    `json:"dataset"`
	Kind    string    `json:"kind"`
	Source  string    `json:"source_id,omitempty"`
	Run     uint64    `json:"run,omitempty"`   // the run that works on it; 0 while parked
	Parked  time.Time `json:"parked,omitzero"` // zero unless parked
	Error   string    `json:"error,omitempty"` // of the last try
	// Unreadable says why only the key is known; normally "".
	Unreadable string `json:"unreadable,omitempty"`
}

// Key is the task's key in the spool.
func (t Task) Key() spool.TaskKey {
	return spool.TaskKey{Dataset: spool.Dataset(t.Dataset), Kind: spool.TaskKind(t.Kind), Source: t.Source}
}

// Name returns the item as dataset/id.
func (t Task) Name() string { return t.Dataset + "/" + t.Source }

// IsParked reports whether the task is an item that waits for a later run. A task
// that cannot be read does not count.
func (t Task) IsParked() bool {
	return t.Kind == string(spool.TaskItem) && t.Unreadable == "" && !t.Parked.IsZero()
}

// Held is an object that is sent when the object it needs arrives.
type Held struct {
	ID  string `json:"id"`
	For string `json:"for"` // the object that it needs
	// Unreadable says why its reference is unknown; normally "".
	Unreadable string `json:"unreadable,omitempty"`
}

// Dead is one dead letter, without its payload.
type Dead struct {
	Key      uint64    `json:"key"`
	Stage    string    `json:"stage"`
	Class    string    `json:"class"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	First    time.Time `json:"first,omitzero"`
	Last     time.Time `json:"last,omitzero"`
	Run      uint64    `json:"run"`
	Dataset  string    `json:"dataset,omitempty"`
	Source   string    `json:"source_id,omitempty"`
	STIX     string    `json:"stix_id,omitempty"`
	Bytes    int       `json:"bytes"`
	Healed   time.Time `json:"healed,omitzero"`
	Retried  time.Time `json:"retried,omitzero"`    // when an operator last took it back into a run
	RetryRun uint64    `json:"retry_run,omitempty"` // that run
	Trying   bool      `json:"trying,omitempty"`    // healed for now: that run has not finished
	NoRetry  string    `json:"no_retry,omitempty"`  // why it cannot be tried again
}

// Item returns the item that the letter is about, as dataset/id.
func (d Dead) Item() string {
	id, _ := spool.CutDetails(d.Source)
	return d.Dataset + "/" + id
}

func statsOf(s spool.Stats, marks map[spool.Dataset]spool.Watermark) Stats {
	v := Stats{
		ConnectorID: s.Meta.ConnectorID, Schema: s.Meta.Schema, Epoch: s.Meta.Epoch, Created: s.Meta.Created,
		Unclean: s.Meta.Unclean, SetAside: s.Meta.SetAside,
		LiveBytes: s.Room.Live, FileBytes: s.Room.File, MaxBytes: s.Room.Max, CapBytes: s.Room.Cap,
		Counts: s.Counts, HeldPublished: s.HeldPublished, Rejected: s.Rejected, Bytes: s.Bytes, Oldest: s.Oldest, Paused: PausedOf(s.Meta),
	}
	for _, d := range spool.Datasets() {
		if m, ok := marks[d]; ok {
			v.Watermarks = append(v.Watermarks, Watermark{string(d), m.Fetched, m.Confirmed, m.Held})
		}
	}
	return v
}

// RunOf returns the view of a run.
func RunOf(r spool.Run) Run {
	v := Run{
		ID: r.ID, Reason: string(r.Reason), Resumed: r.Resumed, Phase: phaseOf(r), Created: r.Created, Start: r.Start,
		Fetched: r.FetchedAt, Mapped: r.MappedAt, Done: r.DoneAt, Counters: r.Counters,
		Work: Work{ID: r.Work.ID, Name: r.Work.Name, Status: string(r.Work.Status), Told: r.Work.Told, Sent: r.Work.Sent},
	}
	for _, d := range spool.Datasets() {
		if dr, ok := r.Datasets[d]; ok {
			v.Datasets = append(v.Datasets, datasetRun(d, dr, r.Counters))
		}
	}
	return v
}

// datasetRun returns a dataset's part, with the counters that carry its name.
func datasetRun(d spool.Dataset, dr spool.DatasetRun, counters map[string]int64) DatasetRun {
	of := func(name string) int64 { return counters[name+"_"+string(d)] }
	return DatasetRun{
		Dataset: string(d), From: dr.From, Status: string(cmp.Or(dr.Status, spool.DatasetOpen)), Detail: dr.Detail,
		Listed: of("fetch.listed"), Fetched: of("fetch.items") + of("fetch.objects"), Mapped: of("map.records"),
		Parked: of("fetch.parked"), Dead: of("fetch.dead"),
	}
}

func phaseOf(r spool.Run) string {
	switch {
	case r.Dropped:
		return "dropped"
	case !r.DoneAt.IsZero():
		return "done"
	case r.FetchedAt.IsZero():
		return "fetching"
	case r.MappedAt.IsZero():
		return "mapping"
	}
	return "delivering"
}

func deadOf(d spool.DeadLetter) Dead {
	return Dead{
		Key: d.Key, Stage: string(d.Stage), Class: d.Class, Error: d.Error, Attempts: d.Attempts,
		First: d.First, Last: d.Last, Run: d.Run, Dataset: string(d.Dataset), Source: d.Source, STIX: d.STIX,
		Bytes: len(d.Payload), Healed: d.Healed, Retried: d.Retried, RetryRun: d.RetryRun, NoRetry: d.NoRetry,
	}
}

func heldOf(o spool.Object) Held {
	if o.Err != nil {
		return Held{ID: o.STIX, Unreadable: o.Err.Error()}
	}
	return Held{ID: o.STIX, For: o.Watch}
}

// Name returns the letter's key as commands take it.
func (d Dead) Name() string { return strconv.FormatUint(d.Key, 10) }

// Of returns what the letter is about: an object, an item, or a dataset.
func (d Dead) Of() string {
	switch {
	case d.STIX != "":
		return d.STIX
	case d.Source != "":
		return d.Item()
	}
	return d.Dataset
}
