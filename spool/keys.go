package spool

import (
	"fmt"
	"time"
	"unicode/utf8"

	"threatmatch-connector/spool/internal/encoding"
)

// All keys of the file are built and parsed here. Numbers have a fixed width and are big-endian, so that the order of
// bytes is the order of work.

// The top-level buckets. FORMAT.md describes each.
const (
	bktMeta        = "meta"
	bktRuns        = "runs"
	bktTasks       = "tasks"
	bktRecords     = "records"
	bktWaiting     = "waiting"
	bktWaitingByID = "waiting_by_id"
	bktHeld        = "held"
	bktBundles     = "bundles"
	bktCursors     = "cursors"
	bktIDs         = "ids"
	bktDead        = "dead"
	bktKept        = "kept"
	bktItems       = "items"
	bktGone        = "gone"
)

// Buckets returns the names of all top-level buckets.
func Buckets() []string {
	return []string{
		bktMeta, bktRuns, bktTasks, bktRecords, bktWaiting, bktWaitingByID,
		bktHeld, bktBundles, bktCursors, bktIDs, bktDead, bktKept, bktItems, bktGone,
	}
}

// Sub-buckets of ids.
const (
	subEntries   = "entries"
	subLog       = "log"
	subForgotten = "forgotten"
)

// Prefixes inside buckets that hold rows and their indices.
const (
	pfxRun     = 'r' // runs: r run → run
	pfxOpen    = 'o' // runs: o run → nothing, while the run is not done
	pfxWork    = 'v' // runs: v run → the run's work, while its errors are to be read
	pfxSalvage = 's' // runs: s hash of a file → what came back of it

	pfxTask   = 't' // tasks: t key → task
	pfxDue    = 'd' // tasks: d run due seq → task key, while the task is in a run
	pfxParked = 'p' // tasks: p dataset seq → task key, while it is parked
	pfxBehind = 'b' // tasks: b dataset since seq → checksum, from the first parking on
	pfxQueued = 'q' // tasks: q key, or q 0 or 255 dead letter → reason; in no run yet

	pfxByID  = 'i' // waiting_by_id: i run id → seq; held: i id → seq
	pfxWatch = 'w' // waiting_by_id: w run watched-id seq → nothing; held: w watched-id seq → nothing
	pfxHeld  = 'o' // held: o seq → object

	pfxHead  = 'h' // bundles: h run seq → header
	pfxBlock = 'c' // bundles: c run seq block → objects

	pfxDead    = 'd' // dead: d key → head of a dead letter
	pfxPayload = 'p' // dead: p key → its payload
	pfxOpenDL  = 'u' // dead: u key → nothing, while it is not healed
	pfxSource  = 's' // dead: s dataset source id key → nothing
	pfxEqual   = 'e' // dead: e hash → key
	pfxRetried = 'r' // dead: r run key → nothing, from when the run took it back; see FORMAT.md
)

// Keys of the meta bucket.
const (
	keySchema     = "schema"
	keyConnector  = "connector"
	keyState      = "state"
	keyWatermarks = "watermarks"
	keyPlatform   = "platform"
	keyCrash      = "crash"
	keyCounters   = "counters"
	keyPaused     = "paused"
	keyLimit      = "message_limit"
	pfxSetID      = "set " // and the id of an intrusion set
)

// MaxID is the greatest length in bytes of an id, a source id and other strings that become part of a key. Longer
// ones are refused with ErrInvalid.
const MaxID = 4096

// numKey returns a prefix followed by one number.
func numKey(pfx byte, v uint64) []byte { return encoding.PutU64([]byte{pfx}, v) }

// pairKey returns a prefix followed by two numbers.
func pairKey(pfx byte, run, seq uint64) []byte { return encoding.PutU64(numKey(pfx, run), seq) }

// blockKey returns the key of a bundle's block.
func blockKey(run, seq uint64, block uint32) []byte {
	return encoding.PutU32(pairKey(pfxBlock, run, seq), block)
}

// taskKey returns the key of a task inside its bucket, without prefix.
func taskKey(k TaskKey) []byte {
	return encoding.PutString(encoding.PutString(encoding.PutString(nil, string(k.Dataset)), string(k.Kind)), k.Source)
}

// cutTaskKey parses a key of taskKey. A run counts its tasks in JSON, so what is not UTF-8 cannot be read.
func cutTaskKey(b []byte) (TaskKey, bool) {
	dataset, b, ok1 := encoding.CutString(b)
	kind, b, ok2 := encoding.CutString(b)
	source, b, ok3 := encoding.CutString(b)
	ok := ok1 && ok2 && ok3 && len(b) == 0 && utf8.ValidString(dataset+kind)
	return TaskKey{Dataset: Dataset(dataset), Kind: TaskKind(kind), Source: source}, ok
}

func prefixed(pfx byte, key []byte) []byte {
	return append([]byte{pfx}, key...)
}

func dueKey(run uint64, due time.Time, seq uint64) []byte {
	return encoding.PutU64(encoding.PutTime(numKey(pfxDue, run), due), seq)
}

func parkedPrefix(d Dataset) []byte { return encoding.PutString([]byte{pfxParked}, string(d)) }

func parkedKey(d Dataset, seq uint64) []byte { return encoding.PutU64(parkedPrefix(d), seq) }

func behindPrefix(d Dataset) []byte { return encoding.PutString([]byte{pfxBehind}, string(d)) }

// holdBack writes the row with which a task holds its dataset's last_run back. Its value is a checksum.
func (tb taskBucket) holdBack(st *storedTask) {
	k := st.behind()
	tb.put(k, encoding.Sum(k, nil))
}

// behindIntact reports whether a row of holdBack can be read.
func behindIntact(k, v []byte) bool {
	_, rest, ok := encoding.CutString(k[1:])
	value, sound := encoding.CutSum(k, v)
	return ok && len(rest) == 16 && sound && len(value) == 0
}

func behindKey(d Dataset, since time.Time, seq uint64) []byte {
	return encoding.PutU64(encoding.PutTime(behindPrefix(d), since), seq)
}

func sourcePrefix(d Dataset, source, stix string) []byte {
	k := append(make([]byte, 0, len(d)+len(source)+len(stix)+16), pfxSource)
	k = encoding.PutString(k, string(d))
	k = encoding.PutString(k, source[:min(len(source), MaxID)])
	return encoding.PutString(k, stix[:min(len(stix), MaxID)])
}

func keptKey(at time.Time, run, seq uint64) []byte {
	return encoding.PutU64(encoding.PutU64(encoding.PutTime(nil, at), run), seq)
}

// checkLen refuses strings that are too long for a key.
func checkLen(what string, all ...string) error {
	for _, s := range all {
		if len(s) > MaxID {
			return fmt.Errorf("%s of %d bytes: %w: longer than %d", what, len(s), ErrInvalid, MaxID)
		}
	}
	return nil
}
