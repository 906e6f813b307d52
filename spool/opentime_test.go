package spool

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"threatmatch-connector/spool/internal/encoding"
)

// The time from start to ready with a large file left behind, and the cost of a commit on it, for both ways of
// keeping the free list. SPOOL_OPEN_MB sets the size; FORMAT.md cites 2048. Without it a small file shows that the
// test works.
func TestOpenTime(t *testing.T) {
	mb := 12
	if v := os.Getenv("SPOOL_OPEN_MB"); v != "" {
		mb = must(strconv.Atoi(v))
	}
	dir := t.TempDir()
	o := Options{Dir: dir, ConnectorID: "c", NoCompact: true, noReserve: true}
	fillFile(t, o, mb)
	var table strings.Builder
	table.WriteString("file     | state   | after a clean stop | after kill -9 (cpu)  | commit: list in memory, list written\n")
	for _, state := range []string{"full", "drained"} {
		if state == "drained" {
			drain(t, o)
		}
		clean, _ := openTime(t, o)
		s := must(Open(t.Context(), o))
		commit := commitTime(t, s)
		crash(t, s)
		unclean, cpu := openTime(t, o)
		fmt.Fprintf(&table, "%4d MiB | %-7s | %18s | %9s (%7s) | %s, %s\n", mb, state, clean.Round(time.Millisecond),
			unclean.Round(time.Millisecond), cpu.Round(time.Millisecond), commit.Round(10*time.Microsecond), syncedCommitTime(t, o).Round(10*time.Microsecond))
	}
	t.Log("\n" + table.String())
}

// fillFile fills a spool with records of about 4 KB that do not compress.
func fillFile(t *testing.T, o Options, mb int) {
	s := must(Open(t.Context(), o))
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0}, Tasks: []NewTask{{TaskKey: list(Alerts)}}}))
	r := rand.New(rand.NewPCG(1, 1))
	body := make([]byte, 4000)
	for range mb << 20 / (1000 * 4300) {
		err := s.update("fill", frees(), func(t *txn) error {
			for i := range 1000 {
				for j := 0; j < len(body); j += 8 {
					copy(body[j:], encoding.Num(r.Uint64()))
				}
				rec := NewRecord{Dataset: Alerts, Source: strconv.Itoa(i), Body: body}
				if err := t.records().add(&storedRun{Run: run}, rec, encoding.Pack(body)); err != nil {
					return err
				}
			}
			return nil
		})
		ok(t, err)
	}
	ok(t, s.Close())
}

func drain(t *testing.T, o Options) {
	s := must(Open(t.Context(), o))
	for {
		recs := must(s.Records(1, 0, 5000, 1<<30))
		if len(recs) == 0 {
			break
		}
		c := MapCommit{Run: 1}
		for _, r := range recs {
			c.Records = append(c.Records, r.Seq)
		}
		ok(t, s.CommitMap(1, t0, c))
	}
	ok(t, s.Close())
}

// openTime opens and closes the spool; cpu is that of this process and its children.
func openTime(t *testing.T, o Options) (wall, cpu time.Duration) {
	start, before := time.Now(), cpuTime()
	s := must(Open(t.Context(), o))
	wall, cpu = time.Since(start), cpuTime()-before
	ok(t, s.Close())
	return wall, cpu
}

// syncedCommitTime is the cost of a commit if each one writes the free list.
func syncedCommitTime(t *testing.T, o Options) time.Duration {
	bo := o.withDefaults().bolt()
	bo.NoFreelistSync = false
	db := must(bolt.Open(o.Dir+"/"+fileName, 0o600, bo))
	defer func() { ok(t, db.Close()) }()
	return commitTime(t, &Spool{db: db, path: o.Dir + "/" + fileName, room: newRoom(o.withDefaults(), db)})
}

func commitTime(t *testing.T, s *Spool) time.Duration {
	const n = 50
	start := time.Now()
	for i := range n {
		err := s.update("commit", frees(), func(t *txn) error {
			return t.records().add(&storedRun{Run: Run{ID: 1}}, NewRecord{Dataset: Alerts, Source: strconv.Itoa(i)}, encoding.Pack([]byte("x")))
		})
		ok(t, err)
	}
	return time.Since(start) / n
}
