package spool

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A run of a million objects needs as much time per object and as much memory as a run of ten thousand. SPOOL_OBJECTS
// lists the sizes, for example "10000,100000,1000000"; without it a small size shows that the test works.
func TestManyObjects(t *testing.T) {
	sizes := []int{6_000}
	if v := os.Getenv("SPOOL_OBJECTS"); v != "" {
		sizes = nil
		for f := range strings.SplitSeq(v, ",") {
			sizes = append(sizes, must(strconv.Atoi(f)))
		}
	}
	var table strings.Builder
	table.WriteString("objects | ids | µs an object: fetch   map deliver |  all  (cpu) | file MiB | most RssAnon MiB\n")
	for _, n := range sizes {
		for _, ids := range []bool{false, true} {
			f := &flow{t: t, n: n, r: rand.New(rand.NewPCG(1, uint64(n))), withIDs: ids}
			debug.FreeOSMemory() // so that each flow shows its own memory
			f.run()
			us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(n) }
			fmt.Fprintf(&table, "%7d | %-3s | %19.1f %5.1f %7.1f | %5.1f %5.1f | %8d | %d\n", n, map[bool]string{true: "yes", false: "no"}[ids],
				us(f.fetch), us(f.mapped), us(f.deliver), us(f.fetch+f.mapped+f.deliver), us(f.cpu), f.file>>20, f.rss>>10)
		}
	}
	t.Log("\n" + table.String())
}

// flow pushes objects through a spool: pages in, bundles, confirms.
type flow struct {
	t                           *testing.T
	n                           int
	r                           *rand.Rand
	s                           *Spool
	withIDs                     bool
	fetch, mapped, deliver, cpu time.Duration
	file, rss                   int64
}

const pageObjects = 1000

func (f *flow) timed(d *time.Duration, fn func() error) {
	f.t.Helper()
	start, cpu := time.Now(), cpuTime()
	if err := fn(); err != nil {
		f.t.Fatal(err)
	}
	*d += time.Since(start)
	f.cpu += cpuTime() - cpu
}

// cpuTime is the processor time of this process and its children so far, all threads.
func cpuTime() time.Duration {
	var sum int64
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err == nil {
			sum += u.Utime.Nano() + u.Stime.Nano()
		}
	}
	return time.Duration(sum)
}

func (f *flow) run() {
	t := f.t
	f.s = must(Open(t.Context(), Options{Dir: t.TempDir(), ConnectorID: "c"}))
	defer closeVerified(t, f.s)
	page := TaskKey{IOCs, TaskPage, "g/indicator"}
	run := must(f.s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{IOCs: t0}, Tasks: []NewTask{{TaskKey: page}}}))
	for done := 0; done < f.n; done += pageObjects {
		f.spool(run.ID, page, f.objects(min(pageObjects, f.n-done)))
		// map takes five pages at once, which makes a bundle of 5000 objects
		if done/pageObjects%5 == 4 || done+pageObjects >= f.n {
			f.mapPages(run.ID)
		}
		f.sample()
	}
	ok(t, f.s.SettleTasks(1, t0, []Outcome{{Task: page, Run: run.ID}}))
	ok(t, f.s.FinishFetch(1, run.ID, t0))
	ok(t, f.s.FinishMap(1, run.ID, t0))
	f.file = f.s.Room().File
	for f.deliverOne() {
		f.sample()
	}
	ok(t, f.s.FinishRun(1, run.ID, t0))
	st := must(f.s.Stats())
	if f.withIDs && int(st.IDs) != f.n || st.Messages != 0 {
		t.Fatalf("%d ids, %d messages left", st.IDs, st.Messages)
	}
}

// objects makes objects of about 1.3 KB that compress like real ones.
func (f *flow) objects(n int) []BundleObject {
	out := make([]BundleObject, n)
	for i := range out {
		id := fmt.Sprintf("indicator--%08x-%04x-4%03x-8%03x-%012x", f.r.Uint32(), f.r.Uint32()&0xffff, f.r.Uint32()&0xfff, f.r.Uint32()&0xfff, f.r.Uint64()&0xffffffffffff)
		json := fmt.Sprintf(`{"type":"indicator","spec_version":"2.1","id":%q,"created":"2025-01-01T00:00:00.000Z","modified":"2025-01-01T00:00:00.000Z",`+
			`"name":"%x.example","pattern":"[domain-name:value = '%x.example']","pattern_type":"stix","valid_from":"2025-01-01T00:00:00Z","labels":["malicious-activity"],`+
			`"description":"%x %s","object_marking_refs":["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"],"created_by_ref":"identity--7b82b010-b1c0-4dae-981f-7756374a17df"}`,
			id, f.r.Uint64(), f.r.Uint64(), f.r.Uint64(), strings.Repeat("seen in the traffic of several customers; ", 16))
		out[i] = BundleObject{STIX: id, JSON: []byte(json)}
	}
	return out
}

func (f *flow) spool(run uint64, page TaskKey, objects []BundleObject) {
	var body bytes.Buffer
	for _, o := range objects {
		body.WriteString(o.STIX)
		body.WriteByte('\n')
		body.Write(o.JSON)
		body.WriteByte('\n')
	}
	rec := &NewRecord{Dataset: IOCs, Source: page.Source, Fetched: t0, Body: body.Bytes()}
	f.timed(&f.fetch, func() error {
		return f.s.SettleTasks(1, t0, []Outcome{{
			Task: page, Run: run, Record: rec, Keep: &TaskState{Cursor: []byte("2025-01-01T00:00:00Z")},
			Count: map[string]int64{"fetch.pages": 1},
		}})
	})
}

func (f *flow) mapPages(run uint64) {
	c := MapCommit{Run: run, Count: map[string]int64{"map.objects": pageObjects}}
	var b NewBundle
	f.timed(&f.mapped, func() error {
		recs, err := f.s.Records(run, 0, 5, 1<<30)
		for _, r := range recs {
			c.Records = append(c.Records, r.Seq)
			lines := bytes.Split(bytes.TrimSuffix(r.Body, []byte("\n")), []byte("\n"))
			for pair := range slices.Chunk(lines, 2) {
				b.Objects = append(b.Objects, BundleObject{STIX: string(pair[0]), JSON: pair[1]})
			}
		}
		return err
	})
	c.Bundles = []NewBundle{b}
	var ids []string
	for _, o := range b.Objects {
		ids = append(ids, o.STIX)
		h := [16]byte([]byte(o.STIX)[11:27])
		c.IDs = append(c.IDs, IDPut{STIX: o.STIX, ID: ID{Hash: h, Modified: t0, Properties: 12, Kind: "indicator", Run: run, At: t0}})
	}
	f.timed(&f.mapped, func() error {
		if !f.withIDs {
			c.IDs = nil
			return f.s.CommitMap(1, t0, c)
		}
		if _, err := f.s.LookupIDs(ids); err != nil {
			return err
		}
		return f.s.CommitMap(1, t0, c)
	})
}

func (f *flow) deliverOne() bool {
	b, err := f.s.NextBundle()
	if err != nil {
		return false
	}
	f.timed(&f.deliver, func() error {
		for at := 0; at < b.Objects; {
			objects, err := f.s.BundleObjects(b.Run, b.Seq, at, 1<<20)
			if err != nil {
				return err
			}
			if at += min(len(objects), 512); at > b.Objects {
				at = b.Objects
			}
			if err := f.s.SaveCursor(1, b.Run, b.Seq, at); err != nil {
				return err
			}
		}
		return f.s.EndBundle(1, b.Run, b.Seq, Work{}, nil)
	})
	return true
}

// sample stores the largest anonymous memory of the process, in KiB.
func (f *flow) sample() {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			f.rss = max(f.rss, n)
		}
	}
}
