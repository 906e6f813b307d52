package spool

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with; a fixture only where there is none")

// Files of older versions can be opened, hold what they held, and work. There is one for each schema number; they are
// never changed.
func TestFixtures(t *testing.T) {
	for n := 1; n <= schema; n++ {
		t.Run(fmt.Sprint("schema ", n), func(t *testing.T) {
			name := filepath.Join("testdata", fmt.Sprintf("schema-%d.db.gz", n))
			if _, err := os.Stat(name); os.IsNotExist(err) && *update && n == schema {
				writeFixture(t, name)
			}
			zr := must(gzip.NewReader(must(os.Open(name))))
			o := putFile(t, must(io.ReadAll(zr)))
			if n == schema {
				compareListing(t, o.Dir, strings.TrimSuffix(name, ".db.gz")+".txt")
			}
			s := must(Open(t.Context(), o))
			defer closeVerified(t, s)
			if m := must(s.Meta()); m.Schema != schema || m.ConnectorID != "c" || m.SetAside != "" {
				t.Fatalf("got meta %+v, want our schema, connector c and nothing set aside", m)
			}
			workOn(t, s)
		})
	}
}

// writeFixture makes the fixture of the current schema.
func writeFixture(t *testing.T, name string) {
	o := Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true, KeepRecords: time.Hour, MaxSize: 1 << 20, slack: 1 << 20, Now: func() time.Time { return t0 }}
	s := must(Open(t.Context(), o))
	prepare(t, s)
	ok(t, s.MarkCrash(&CrashMark{Run: 2, Seq: 3, Starts: 1}))
	ok(t, s.SavePlatform(1, []byte(`{"echoed":"2026"}`)))
	ok(t, s.Close())
	_, _, err := Compact(t.Context(), o.Dir)
	ok(t, err)
	var b bytes.Buffer
	zw := must(gzip.NewWriterLevel(&b, gzip.BestCompression))
	must(zw.Write(must(os.ReadFile(s.path))))
	ok(t, zw.Close())
	ok(t, os.MkdirAll(filepath.Dir(name), 0o755))
	ok(t, os.WriteFile(name, b.Bytes(), 0o644))
}

// compareListing compares all rows with a golden file.
func compareListing(t *testing.T, dir, golden string) {
	t.Helper()
	s := must(Open(t.Context(), Options{Dir: dir, ReadOnly: true}))
	defer func() { ok(t, s.Close()) }()
	var b strings.Builder
	for _, bucket := range Buckets() {
		for _, e := range must(s.List(bucket, "", 1000)) {
			_, payload, err := s.Show(bucket, e.Key)
			ok(t, err)
			fmt.Fprintf(&b, "%s %s %s %08x\n", bucket, e.Key, asJSON(t, e.Fields), crc32.Checksum(append(payload, 0, 0), crc32.MakeTable(crc32.Castagnoli)))
		}
	}
	if *update {
		ok(t, os.WriteFile(golden, []byte(b.String()), 0o644))
	}
	if want := must(os.ReadFile(golden)); string(want) != b.String() {
		t.Errorf("the fixture reads as\n%s\nwant\n%s", b.String(), want)
	}
}

// workOn works off what the fixture holds.
func workOn(t *testing.T, s *Spool) {
	t.Helper()
	run := must(s.OpenRuns())[1]
	tasks, _, err := s.ReadyTasks(run.ID, t0, 100, nil)
	ok(t, err)
	for _, task := range tasks {
		ok(t, s.SettleTasks(1, t0, []Outcome{{Task: task.TaskKey, Run: run.ID}}))
	}
	c := MapCommit{Run: run.ID}
	for _, r := range must(s.Records(run.ID, 0, 100, 1<<30)) {
		ok(t, r.Err)
		c.Records = append(c.Records, r.Seq)
	}
	for _, o := range must(s.Objects(run.ID, 0, 100)) {
		ok(t, o.Err)
		c.Unwait = append(c.Unwait, o.STIX)
		c.Bundles = append(c.Bundles, NewBundle{Objects: []BundleObject{{STIX: o.STIX, JSON: o.JSON}}})
	}
	ok(t, s.CommitMap(1, t0, c))
	f := filler{s: s}
	ok(t, f.deliverAll())
	finish(t, s, run)
	if len(tasks) != 4 || len(c.Records) != 2 || len(c.Unwait) != 1 {
		t.Errorf("worked on %d tasks, %d records, %d waiting objects", len(tasks), len(c.Records), len(c.Unwait))
	}
}
