package spool

import (
	"fmt"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// All keys of the file are built and taken apart here. Numbers are fixed-width
// big-endian, so that the order of bytes is the order of work.

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
)

// Buckets returns the names of all top-level buckets.
func Buckets() []string {
	return []string{
		bktMeta, bktRuns, bktTasks, bktRecords, bktWaiting, bktWaitingByID,
		bktHeld, bktBundles, bktCursors, bktIDs, bktDead, bktKept,
	}
}

// Sub-buckets of ids.
const (
	subEntries = "entries"
	subLog     = "log"
	subRuns    = "runs"
)

// Prefixes inside buckets that hold rows and their indices.
const (
	pfxRun  = 'r' // runs: r run → run
	pfxOpen = 'o' // runs: o run → nothing, while the run is not done

	pfxTask   = 't' // tasks: t key → task
	pfxDue    = 'd' // tasks: d run due seq → task key, while the task is in a run
	pfxParked = 'p' // tasks: p dataset seq → task key, while it is parked
	pfxBehind = 'b' // tasks: b dataset since seq → nothing, from the first parking on

	pfxByID  = 'i' // waiting_by_id: i run id → seq; held: i id → seq
	pfxWatch = 'w' // waiting_by_id: w run watched-id seq → nothing; held: w watched-id seq → nothing
	pfxHeld  = 'o' // held: o seq → object

	pfxHead  = 'h' // bundles: h run seq → header
	pfxBlock = 'c' // bundles: c run seq block → objects

	pfxDead   = 'd' // dead: d key → dead letter
	pfxOpenDL = 'u' // dead: u key → nothing, while it is not healed
	pfxSource = 's' // dead: s dataset source key → nothing
)

// Keys of the meta bucket.
const (
	keySchema     = "schema"
	keyState      = "state"
	keyWatermarks = "watermarks"
	keyPlatform   = "platform"
	keyCrash      = "crash"
	keyCounters   = "counters"
)

// MaxID is the greatest length in bytes of an id, a source id and other strings
// that become part of a key. Longer ones are refused with ErrInvalid.
const MaxID = 4096

// numKey is a prefix and one number.
func numKey(pfx byte, v uint64) []byte { return encoding.PutU64([]byte{pfx}, v) }

// pairKey is a prefix and two numbers.
func pairKey(pfx byte, run, seq uint64) []byte { return encoding.PutU64(numKey(pfx, run), seq) }

// blockKey is the key of a bundle's block.
func blockKey(run, seq uint64, block uint32) []byte {
	return encoding.PutU32(pairKey(pfxBlock, run, seq), block)
}

// taskKey is the key of a task inside its bucket, without prefix.
func taskKey(k TaskKey) []byte {
	return encoding.PutString(encoding.PutString(encoding.PutString(nil, string(k.Dataset)), string(k.Kind)), k.Source)
}

// cutTaskKey reads what taskKey wrote.
func cutTaskKey(b []byte) (TaskKey, bool) {
	dataset, b, ok1 := encoding.CutString(b)
	kind, b, ok2 := encoding.CutString(b)
	source, b, ok3 := encoding.CutString(b)
	ok := ok1 && ok2 && ok3 && len(b) == 0
	return TaskKey{Dataset: Dataset(dataset), Kind: TaskKind(kind), Source: source}, ok
}

func prefixed(pfx byte, key []byte) []byte {
	return append([]byte{pfx}, key...)
}

func dueKey(run uint64, due time.Time, seq uint64) []byte {
	return encoding.PutU64(encoding.PutTime(numKey(pfxDue, run), due), seq)
}

func parkedKey(d Dataset, seq uint64) []byte {
	return encoding.PutU64(encoding.PutString([]byte{pfxParked}, string(d)), seq)
}

func behindPrefix(d Dataset) []byte { return encoding.PutString([]byte{pfxBehind}, string(d)) }

func behindKey(d Dataset, since time.Time, seq uint64) []byte {
	return encoding.PutU64(encoding.PutTime(behindPrefix(d), since), seq)
}

func sourcePrefix(d Dataset, source string) []byte {
	return encoding.PutString(encoding.PutString([]byte{pfxSource}, string(d)), source)
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
