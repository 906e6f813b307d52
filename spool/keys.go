package spool

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"
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

func putU64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }
func putU32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

// u64 reads the number at offset off; 0 when the key is too short.
func u64(b []byte, off int) uint64 {
	if off < 0 || len(b) < off+8 {
		return 0
	}
	return binary.BigEndian.Uint64(b[off:])
}

func u32(b []byte, off int) uint32 {
	if off < 0 || len(b) < off+4 {
		return 0
	}
	return binary.BigEndian.Uint32(b[off:])
}

// num is a key of one number.
func num(v uint64) []byte { return putU64(nil, v) }

// numKey is a prefix and one number.
func numKey(pfx byte, v uint64) []byte { return putU64([]byte{pfx}, v) }

// pair is a key of two numbers: run and seq.
func pair(run, seq uint64) []byte { return putU64(num(run), seq) }

// pairKey is a prefix and two numbers.
func pairKey(pfx byte, run, seq uint64) []byte { return putU64(numKey(pfx, run), seq) }

// blockKey is the key of a bundle's block.
func blockKey(run, seq uint64, block uint32) []byte {
	return putU32(pairKey(pfxBlock, run, seq), block)
}

// The range of times that a key can hold; others are moved to its ends.
var (
	minKeyTime = time.UnixMilli(math.MinInt64 / 4)
	maxKeyTime = time.UnixMilli(math.MaxInt64 / 4)
)

// putTime appends t in milliseconds, rounded up so that nothing falls due too
// early. The zero time sorts before all others and comes back as the zero time.
func putTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return putU64(b, 0)
	}
	if t.Before(minKeyTime) {
		t = minKeyTime
	} else if t.After(maxKeyTime) {
		t = maxKeyTime
	}
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return putU64(b, uint64(ms)^(1<<63))
}

// timeAt reads what putTime wrote at offset off.
func timeAt(b []byte, off int) time.Time {
	v := u64(b, off)
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(v ^ (1 << 63))).UTC()
}

// putString appends s so that it ends itself and keeps its order whatever bytes
// it holds: 0 becomes 0 255, and 0 1 ends it.
func putString(b []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, 0)
		if i < 0 {
			break
		}
		b = append(b, s[:i]...)
		b = append(b, 0, 0xff)
		s = s[i+1:]
	}
	b = append(b, s...)
	return append(b, 0, 1)
}

// cutString reads what putString wrote at the start of b and returns the rest.
func cutString(b []byte) (s string, rest []byte, ok bool) {
	var out []byte
	for i := 0; i+1 < len(b); i++ {
		if b[i] != 0 {
			continue
		}
		switch b[i+1] {
		case 1:
			return string(append(out, b[:i]...)), b[i+2:], true
		case 0xff:
			out = append(append(out, b[:i]...), 0)
			b = b[i+2:]
			i = -1
		default:
			return "", nil, false
		}
	}
	return "", nil, false
}

// taskKey is the key of a task inside its bucket, without prefix.
func taskKey(k TaskKey) []byte {
	return putString(putString(putString(nil, string(k.Dataset)), string(k.Kind)), k.Source)
}

// cutTaskKey reads what taskKey wrote.
func cutTaskKey(b []byte) (TaskKey, bool) {
	dataset, b, ok1 := cutString(b)
	kind, b, ok2 := cutString(b)
	source, b, ok3 := cutString(b)
	ok := ok1 && ok2 && ok3 && len(b) == 0
	return TaskKey{Dataset: Dataset(dataset), Kind: TaskKind(kind), Source: source}, ok
}

func prefixed(pfx byte, key []byte) []byte {
	return append([]byte{pfx}, key...)
}

func dueKey(run uint64, due time.Time, seq uint64) []byte {
	return putU64(putTime(numKey(pfxDue, run), due), seq)
}

func parkedKey(d Dataset, seq uint64) []byte {
	return putU64(putString([]byte{pfxParked}, string(d)), seq)
}

func behindPrefix(d Dataset) []byte { return putString([]byte{pfxBehind}, string(d)) }

func behindKey(d Dataset, since time.Time, seq uint64) []byte {
	return putU64(putTime(behindPrefix(d), since), seq)
}

func sourcePrefix(d Dataset, source string) []byte {
	return putString(putString([]byte{pfxSource}, string(d)), source)
}

func keptKey(at time.Time, run, seq uint64) []byte {
	return putU64(putU64(putTime(nil, at), run), seq)
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
