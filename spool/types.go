package spool

import (
	"strings"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// Dataset names one of ThreatMatch's collections.
type Dataset = encoding.Dataset

// The datasets in listing order.
const (
	Profiles Dataset = "profiles"
	Alerts   Dataset = "alerts"
	Reports  Dataset = "reports"
	IOCs     Dataset = "iocs"
)

// Datasets returns all datasets in listing order. A new one goes at the end: the ids store a dataset's place here, see
// origins.
func Datasets() []Dataset { return []Dataset{Profiles, Alerts, Reports, IOCs} }

// Reason says why a run was started.
type Reason string

// The reasons for a run.
const (
	ReasonSchedule Reason = "schedule"
	ReasonOnce     Reason = "once"
	ReasonTrigger  Reason = "trigger"
	ReasonRepull   Reason = "repull"
	ReasonRetry    Reason = "retry"
	ReasonReset    Reason = "reset"
)

// MovesWatermarks reports whether a run of this reason advances its datasets'
// watermarks and skips what earlier runs published. Repulls and retries do neither.
func (r Reason) MovesWatermarks() bool { return r != ReasonRepull && r != ReasonRetry }

// DatasetStatus is how far a dataset has got in one run.
type DatasetStatus string

// The states of a dataset in a run.
const (
	DatasetOpen    DatasetStatus = "open"    // its list or pages are still to come
	DatasetListed  DatasetStatus = "listed"  // every item is known; some may still be open
	DatasetOK      DatasetStatus = "ok"      // every item is spooled or parked
	DatasetFailed  DatasetStatus = "failed"  // list or page failed; the watermark stays
	DatasetSkipped DatasetStatus = "skipped" // not offered to this account; does not hold last_run
	DatasetOff     DatasetStatus = "off"     // switched off while the run was open
)

// goesOn reports whether more of the dataset may come in its run.
func (s DatasetStatus) goesOn() bool { return s == DatasetOpen || s == DatasetListed || s == "" }

// DatasetRun is one dataset's part in a run.
type DatasetRun struct {
	From   time.Time     // absolute start of the window, overlap already subtracted
	Status DatasetStatus // zero value: DatasetOpen
	Detail string        // why it failed or was skipped
}

// Run is one import.
type Run struct {
	ID        uint64
	Epoch     uint64 // in which it was started; runs of earlier epochs are history only
	Reason    Reason
	Resumed   bool      // continued after a restart
	Created   time.Time // when it was committed, local clock
	Start     time.Time // end of its window: the earlier of Created and the first list response's Date
	Datasets  map[Dataset]DatasetRun
	Counters  map[string]int64 // by stage and kind, e.g. "fetch.items", "map.skipped_equal"
	FetchedAt time.Time        // zero while tasks are ready or backing off
	MappedAt  time.Time        // zero while records or waiting objects are left
	DoneAt    time.Time        // zero while bundles are left or the work is open
	Dropped   bool             // ended by a reset
	Work      Work
}

// Work is what the spool remembers of OpenCTI's record of a run. The zero value means that none was opened yet.
// Deliver defines its meaning.
type Work struct {
	Name     string // ends in the run id, so that a work of unknown fate can be found
	ID       string // empty while only the intention is stored
	Status   WorkStatus
	Told     int64   // expectations that the platform has certainly counted
	Intent   *Intent // an addExpectations call of unknown fate
	Sent     int64   // messages certainly enqueued under this work, repeats included
	Repeats  int64   // of these, sent more than once
	Replaced int     // works that vanished on the platform before this one

	From      Place   // the first message that goes out under this work; zero: none did yet
	ToldIn    []Range // messages that were told under this work, those of removed bundles aside
	Ahead     int64   // how many were told of bundles that are not removed yet
	SettledIn []Place // of the oldest bundle: skipped messages that were told, and were settled
	Owed      int64   // messages certainly enqueued that go out once more, still to be told in addition
	Unsure    bool    // more may be processed than is expected: something of unknown fate was repeated
	Retold    bool    // more may be expected than was told: a tell of unknown fate was repeated
	Doubt     bool    // there may be a second work of this name: its opening was repeated
	Quiet     bool    // nothing was in flight when the process stopped

	// Of versions that told bundle by bundle, and read by deliver alone: the latest bundle that was told and its
	// cursor then, which of its skipped messages were settled, and the latest bundle that Sent counts.
	ToldBundle uint64 `json:",omitempty"`
	ToldFrom   int    `json:",omitempty"`
	Settled    []int  `json:",omitempty"`
	SentBundle uint64 `json:",omitempty"`
}

// Place is a message's position in a run: the bundle's seq and its index in it.
type Place struct {
	Bundle uint64 `json:"b"`
	Index  int    `json:"i"`
}

func (p Place) before(q Place) bool {
	return p.Bundle < q.Bundle || p.Bundle == q.Bundle && p.Index < q.Index
}

// Range is the messages of a run from From up to, not including, Through.
type Range struct {
	From    Place `json:"from"`
	Through Place `json:"through"`
}

// Has reports whether the message at p is in the range.
func (r Range) Has(p Place) bool { return !p.before(r.From) && p.before(r.Through) }

// WorkStatus is how far a work has got; "" means that none was opened.
type WorkStatus string

// The statuses of a work.
const (
	WorkIntended  WorkStatus = "intended"  // about to be opened; its fate is unknown after a crash
	WorkOpen      WorkStatus = "open"      // opened, messages may go out under it
	WorkClosing   WorkStatus = "closing"   // everything is confirmed; OpenCTI is being told so
	WorkProcessed WorkStatus = "processed" // told, or left to its last report
	WorkDeleted   WorkStatus = "deleted"   // nothing was sent under it
)

// Intent is written before expectations are told, and removed afterwards.
type Intent struct {
	N      int64 // what is being added
	Before int64 // the platform's count before
	In     Range // the messages that are told; empty: only messages that go out once more

	// Of versions that told bundle by bundle: the bundle and its cursor.
	Bundle uint64 `json:",omitempty"`
	From   int    `json:",omitempty"`
}

// TaskKind is the kind of request that a task stands for.
type TaskKind string

// The kinds of tasks.
const (
	TaskList TaskKind = "list"
	TaskItem TaskKind = "item"
	TaskPage TaskKind = "page"
)

// TaskKey identifies a task. It is unique in the spool.
type TaskKey struct {
	Dataset Dataset
	Kind    TaskKind
	Source  string // source id of an item; "" for a list; group and type of a page
}

// detailsSuffix ends the source id of an item's details: what the portal shows of it.
const detailsSuffix = "/edit"

// DetailsOf returns the source id of an item's details, which have a task and a record beside those of the item.
func DetailsOf(id string) string { return id + detailsSuffix }

// CutDetails returns the item's own id, and whether source is that of its details.
func CutDetails(source string) (id string, details bool) {
	return strings.CutSuffix(source, detailsSuffix)
}

// spanPrefix begins the source id of a list task of IOCs that asks only for what was modified at one time.
const spanPrefix = "retry "

// SpanOf returns the source id of the task that asks again for the IOCs that were modified at the given time, which
// is its Since, too.
func SpanOf(at time.Time) string { return spanPrefix + at.UTC().Format(time.RFC3339Nano) }

// IsSpan reports whether a task is one of SpanOf, or a page of one.
func IsSpan(k TaskKey) bool { return k.Dataset == IOCs && strings.HasPrefix(k.Source, spanPrefix) }

// Task is one request to make.
type Task struct {
	TaskKey   `json:"-"`
	Run       uint64    `json:"run,omitempty"`   // the run that works on it; 0 while parked
	Seq       uint64    `json:"seq"`             // order of arrival
	Since     time.Time `json:"since"`           // window start of the run that first listed it: last_run must not pass it while the task is parked
	Parked    time.Time `json:"parked,omitzero"` // zero unless parked
	Anew      bool      `json:"anew,omitempty"`  // an operator asked for it: what earlier runs published is sent again
	TaskState `json:"state"`
}

// TaskState is the part of a task that changes with each try. Fetch defines its meaning.
type TaskState struct {
	Due        time.Time // not to be tried before; zero means at once
	Tries      int       // counted tries in this run
	Refused    int       // of these, refusals without another outcome in between
	Waived     int       `json:",omitempty"` // failed tries in this run that are blamed on the account, the network or the server
	Runs       int       // runs that parked it
	FirstTry   time.Time
	LastTry    time.Time
	LastClass  string
	LastError  string // redacted
	LastAnswer []byte // redacted snippet of the last response
	Cursor     []byte // of pages: where to continue; of lists: some of what it names has tasks already
}

// NewTask is a task to add. If a task of this key exists it joins that: a parked one is taken into the run with its
// tries reset to zero, an open one stays where it is.
type NewTask struct {
	TaskKey
	Since  time.Time
	Cursor []byte
	Anew   bool // what earlier runs published is sent again
}

// NewRecord is what a task brought.
type NewRecord struct {
	Dataset Dataset   `json:"dataset"`
	Source  string    `json:"source"`
	Fetched time.Time `json:"fetched"`
	Body    []byte    `json:"-"`
	Anew    bool      `json:"anew,omitempty"`   // set for the record of a task that is Anew
	Mapped  bool      `json:"mapped,omitempty"` // its objects were mapped before: what map fills in counts as absent
}

// Outcome is the result of one try of a task. Its parts are committed together.
type Outcome struct {
	Task   TaskKey
	Run    uint64
	Record *NewRecord  // to spool, or nil
	Add    []NewTask   // tasks that it brought
	Keep   *TaskState  // the task stays with this state; nil removes it as done
	Park   bool        // with Keep: it leaves the run and waits for a later one (the caller counts Runs)
	Dead   *DeadLetter // with Keep nil: it is given up
	Note   *DeadLetter // a dead letter beside the outcome, e.g. a gap in what the API gives
	Status *DatasetRun // new Status and Detail of its dataset in the run (From is kept)
	Start  time.Time   // lowers the run's Start if it is earlier; zero leaves it
	Count  map[string]int64
}

// RunSpec describes a run to start.
type RunSpec struct {
	Reason   Reason
	Start    time.Time
	Datasets map[Dataset]time.Time // window starts, overlap subtracted
	Tasks    []NewTask
	Parked   bool // take in the parked items of these datasets
}

// Watermark is how far a dataset has got.
type Watermark struct {
	Fetched   time.Time `json:"fetched,omitzero"`   // every item up to here is spooled or parked; zero: never ran
	Previous  time.Time `json:"previous,omitzero"`  // Fetched before the last move
	Confirmed time.Time `json:"confirmed,omitzero"` // every run up to here is fully confirmed
	Held      time.Time `json:"-"`                  // window start of the oldest parked item; zero if none
}

// Record is a spooled response.
type Record struct {
	Run uint64
	Seq uint64
	NewRecord
	Err error // ErrCorrupt if the checksum fails; Body is then what can be read
}

// ID is what the spool knows of an object that was handed to deliver, or found on the platform.
type ID = encoding.ID

// IDPut stores or replaces one entry of ids.
type IDPut struct {
	STIX string
	ID
}

// Object is a mapped object that waits or is held.
type Object struct {
	STIX    string               `json:"id"`
	Run     uint64               `json:"run,omitempty"`    // the run it waits in; of a held object, the run that held it
	Seq     uint64               `json:"-"`                // order of arrival; kept when a newer copy replaces it; 0 lets the spool assign one
	Watch   string               `json:"watch"`            // the id it waits for, under which it is found
	Since   time.Time            `json:"since,omitzero"`   // of held objects: when it was first held
	Stamps  map[string]time.Time `json:"stamps,omitempty"` // by name of property, if its modified is not the object's
	Kept    bool                 `json:"kept,omitempty"`   // of held objects: a whole copy of an object that was published without some entries
	Dataset Dataset              `json:"dataset,omitempty"`
	Source  string               `json:"source,omitempty"`
	JSON    []byte               `json:"-"`
	Err     error                `json:"-"` // ErrCorrupt if the checksum fails; JSON is then what can be read. Ignored when stored
}

// NewBundle is an ordered batch of objects of one run. A BundlePacker makes it piece by piece.
type NewBundle struct {
	Objects []BundleObject

	// What a BundlePacker made of them: then they are without JSON.
	blocks []block
	bytes  int64
	large  []string // see Run.Large
}

// BundleObject is one object of a bundle; it becomes one message.
type BundleObject = encoding.Object

// Bundle is the header of a spooled bundle with its cursor.
type Bundle struct {
	Run       uint64    `json:"-"`
	Seq       uint64    `json:"-"`
	Created   time.Time `json:"created"`
	Objects   int       `json:"objects"`
	Bytes     int64     `json:"bytes"` // of the objects' JSON
	Confirmed int       `json:"-"`     // so many messages from the first on are confirmed, or in Skipped
	Skipped   []int     `json:"-"`     // indices of the messages that became dead letters instead, ascending
}

// MapCommit is one hand-over of the map stage: everything in it is committed together.
type MapCommit struct {
	Run     uint64
	Records []uint64    // seqs of the run's records that are consumed
	Bundles []NewBundle // appended in order; an empty one is an error
	IDs     []IDPut
	Wait    []Object // stored, replacing a waiting copy of the same id in the same run
	Unwait  []string // ids that no longer wait in this run
	Hold    []Object // stored, replacing a held copy of the same id; Since of the older is kept
	Unhold  []string // ids no longer held
	Dead    []DeadLetter
	SetIDs  map[string]string // by id of an intrusion set: the id of the source's object that has it
	Items   []Item            // what became of the items of Records
	Count   map[string]int64
}

// Item is what the spool remembers of an item or page that was mapped, so that it can be found after it was
// delivered. The latest run counts.
type Item struct {
	Dataset Dataset
	Source  string
	Run     uint64    // its work tells whether it arrived
	Objects int       // number of objects made of it, summed over its records of one run
	At      time.Time // when it was mapped, in seconds
}

// Stage names a stage in dead letters and metrics.
type Stage string

// The stages.
const (
	StageFetch   Stage = "fetch"
	StageMap     Stage = "map"
	StageDeliver Stage = "deliver"
	// StagePlatform: OpenCTI's workers refused what the broker had confirmed.
	StagePlatform Stage = "platform"
)

// DeadLetter is what a stage gave up on, kept whole until an operator drops it by name.
type DeadLetter struct {
	Key      uint64    `json:"-"` // assigned by the spool
	Stage    Stage     `json:"stage"`
	Class    string    `json:"class"` // "refused", "invalid", "panic", "crash", "cycle", "unresolved", "too_large", "dependency", "gap", "rejected", …
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Run      uint64    `json:"run"`
	Dataset  Dataset   `json:"dataset"`
	Source   string    `json:"source"`              // source id
	STIX     string    `json:"stix,omitempty"`      // id of the object, if it is one
	Payload  []byte    `json:"-"`                   // the bytes: last response, record, or object
	Healed   time.Time `json:"healed,omitzero"`     // zero, or when its source id later succeeded
	Retried  time.Time `json:"retried,omitzero"`    // zero, or when an operator last took it back into a run
	RetryRun uint64    `json:"retry_run,omitempty"` // that run
	Err      error     `json:"-"`                   // ErrCorrupt if the checksum fails; Payload is then what can be read. Ignored when stored
	NoRetry  string    `json:"-"`                   // why it cannot be tried again; "" if it can. Ignored when stored
}
