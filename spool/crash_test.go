package spool

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/spool/internal/boltfile"
)

// crashPoints are the named points at which the child is killed.
func crashPoints() []string {
	var out []string
	for _, op := range []string{
		"mark as open", "mark runs as resumed", "start run", "settle tasks", "finish fetch", "commit map",
		"finish map", "skip message", "save cursor", "end bundle", "finish run",
	} {
		out = append(out, op+":before", op+":inside", op+":after")
	}
	return append(out, "commit map:between", "compact:copied", "compact:renamed")
}

// TestCrashPoints: the names of the points are those of operations.
func TestCrashPoints(t *testing.T) {
	var source strings.Builder
	for _, name := range must(filepath.Glob("*.go")) {
		if !strings.HasSuffix(name, "_test.go") {
			source.Write(must(os.ReadFile(name)))
		}
	}
	for _, p := range crashPoints() {
		op, _, _ := strings.Cut(p, ":")
		if !strings.Contains(source.String(), `"`+op+`"`) && !strings.Contains(source.String(), `"`+p+`"`) {
			t.Errorf("nothing has the point %q", p)
		}
	}
}

// The child is killed with SIGKILL at random and at named points, again and again on the same file: what it said it
// did is there, what it said it would do is there completely or not at all, and nothing else is there.
func TestCrash(t *testing.T) {
	t.Parallel()
	rounds := 8
	if v := os.Getenv("SPOOL_CRASH_ROUNDS"); v != "" {
		rounds = must(strconv.Atoi(v))
	}
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("SPOOL_CRASH_SEED"); v != "" {
		seed = must(strconv.ParseUint(v, 10, 64))
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 3))
	l := &ledger{t: t, dir: t.TempDir(), items: itemsPerRun, will: map[int]int{}, did: map[int]int{}, pubs: map[int]int{}}
	points := crashPoints()
	r.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	var table strings.Builder
	table.WriteString("round | killed                    | did | tasks parked rec wait held msg dead | KiB\n")
	for round := range rounds {
		c := kill{after: time.Duration(50+r.IntN(700)) * time.Millisecond}
		if round%2 == 0 {
			c.point, c.count = points[round/2%len(points)], r.IntN(12)
			if strings.HasPrefix(c.point, "mark ") || strings.HasPrefix(c.point, "compact") {
				c.count = 0
			}
		}
		where := l.round(c)
		st := l.check()
		fmt.Fprintf(&table, "%5d | %-25s | %3d | %5d %6d %3d %4d %4d %3d %4d | %d\n", round+1, where, l.lines,
			st.Tasks, st.Parked, st.Records, st.Waiting, st.Held, st.Messages, st.Dead, st.Room.File>>10)
		if t.Failed() {
			break
		}
	}
	t.Log("\n" + table.String())
	l.finish(rounds)
}

// kill says when a child is killed: the count-th time that it passes the point, or after a while.
type kill struct {
	point string
	count int
	after time.Duration
}

// How far an item has got. The numbers also give the meaning of the child's lines.
const (
	atTask = 1 + iota
	atRecord
	atMapped
	atConfirmed
)

// ledger is what the parent knows from the child's lines, over all rounds.
type ledger struct {
	t       *testing.T
	dir     string
	items   int         // of each run
	will    map[int]int // how far an item may have come
	did     map[int]int // how far it must have come
	pubs    map[int]int // how often it was published
	repeats int
	lines   int
	kills   int
}

func (l *ledger) command(extra ...string) *exec.Cmd {
	exe := must(os.Executable())
	cmd := exec.CommandContext(l.t.Context(), exe, l.dir)
	cmd.Env = append(os.Environ(), append(extra, childEnv+"="+childWork)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// round runs a child until it is killed, and returns where that was.
func (l *ledger) round(k kill) string {
	cmd := l.command(pointEnv+"="+k.point, countEnv+"="+strconv.Itoa(k.count))
	out := must(cmd.StdoutPipe())
	ok(l.t, cmd.Start())
	after := k.after
	if k.point != "" {
		after = 2 * time.Second // only if it does not get there
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	where := "random, " + k.after.String()
	l.read(out, func(at string) {
		where = at
		_ = cmd.Process.Kill()
	})
	timer.Stop()
	if err := cmd.Wait(); err == nil {
		l.t.Error("the child ended by itself")
	}
	l.kills++
	return where
}

// read processes the child's lines. A line without its end does not count.
func (l *ledger) read(out io.Reader, at func(string)) {
	l.lines = 0
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "at":
			at(rest)
		case "will":
			l.note(l.will, rest)
		case "did":
			l.lines++
			l.note(l.did, rest)
		case "pub":
			n := must(strconv.Atoi(rest))
			if l.pubs[n]++; l.pubs[n] > 1 {
				l.repeats++
			}
		case "ready":
			if !strings.Contains(rest, `aside=""`) {
				l.t.Errorf("a killed child left a file that was set aside: %s", rest)
			}
		case "end":
		default:
			l.t.Errorf("child: %s", line)
		}
	}
}

// note processes one step of the child.
func (l *ledger) note(far map[int]int, step string) {
	verb, rest, _ := strings.Cut(step, " ")
	reach := func(names string, to int) {
		for name := range strings.SplitSeq(names, ",") {
			if n, err := strconv.Atoi(name); err == nil {
				far[n] = max(far[n], to)
			}
		}
	}
	switch verb {
	case "settle":
		run, names, _ := strings.Cut(rest, " ")
		for name := range strings.SplitSeq(names, ",") {
			kind, source, _ := strings.Cut(name, ":")
			n, _ := strconv.Atoi(source)
			id := must(strconv.ParseUint(run, 10, 64))
			switch {
			case kind == string(TaskList):
				for k := range l.items {
					far[itemNumber(id, k)] = max(far[itemNumber(id, k)], atTask)
				}
			case isParked(n) && n/1000 == int(id):
				// parked: still a task
			default:
				reach(source, atRecord)
			}
		}
	case "map":
		reach(rest, atMapped)
	case "confirm":
		reach(rest, atConfirmed)
	}
}

// found is where the items are.
type found map[int][]string

func (f found) add(n int, where string) { f[n] = append(f[n], where) }

// look reads the file as a killed process left it, without changing it.
func (l *ledger) look() (found, Stats) {
	l.t.Helper()
	ctx := context.WithoutCancel(l.t.Context())
	path := l.dir + "/" + fileName
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return found{}, Stats{} // killed before the file was created
	}
	if err := boltfile.Check(ctx, path); err != nil {
		l.t.Fatalf("after the kill: %v", err)
	}
	s := must(Open(ctx, Options{Dir: l.dir, ReadOnly: true}))
	defer func() { ok(l.t, s.Close()) }()
	for _, b := range must(s.Verify(ctx)) {
		l.t.Error(b)
	}
	f := found{}
	l.lookInput(s, f)
	l.lookOutput(s, f)
	return f, must(s.Stats())
}

func (l *ledger) lookInput(s *Spool, f found) {
	for _, e := range must(s.List(bktTasks, "", 100_000)) {
		key := must(ParseTaskKey(e.Key))
		if key.Kind == TaskItem {
			f.add(must(strconv.Atoi(key.Source)), "task")
		}
	}
	runs := must(s.OpenRuns())
	for _, r := range runs {
		for _, rec := range must(s.Records(r.ID, 0, 100_000, 1<<40)) {
			n := must(strconv.Atoi(rec.Source))
			if string(rec.Body) != string(bodyOf(n)) {
				l.t.Errorf("record of %d has other bytes", n)
			}
			f.add(n, "record")
		}
		for _, o := range must(s.Objects(r.ID, 0, 100_000)) {
			f.add(numberOf(o.STIX), "waiting")
		}
	}
}

func (l *ledger) lookOutput(s *Spool, f found) {
	for _, o := range must(s.Objects(Held, 0, 100_000)) {
		f.add(numberOf(o.STIX), "held")
	}
	for _, e := range must(s.List(bktBundles, "", 100_000)) {
		n := must(numbers(e.Key, 2))
		confirmed, _ := e.Fields["confirmed"].(int)
		objects := must(s.BundleObjects(n[0], n[1], 0, 1<<40))
		skipped, _ := e.Fields["skipped"].([]int)
		gone := map[int]bool{}
		for _, i := range skipped {
			gone[i] = true
		}
		for i, o := range objects {
			if i >= confirmed && !gone[i] {
				f.add(numberOf(o.STIX), "bundle")
			}
		}
	}
	for _, d := range allDead(l.t, s) {
		n := numberOf(d.STIX)
		if d.Stage == StageFetch {
			n = must(strconv.Atoi(d.Source))
		}
		if string(d.Payload) != string(bodyOf(n)) {
			l.t.Errorf("dead letter of %d has other bytes", n)
		}
		f.add(n, "dead in "+string(d.Stage))
	}
}

// check compares the file with what the child said.
func (l *ledger) check() Stats {
	l.t.Helper()
	f, st := l.look()
	stage := map[string]int{
		"task": atTask, "record": atRecord, "dead in fetch": atRecord,
		"waiting": atMapped, "held": atMapped, "bundle": atMapped, "dead in deliver": atConfirmed,
	}
	for n, where := range f {
		if l.will[n] == 0 {
			l.t.Errorf("item %d is in %v, and nobody put it there", n, where)
		}
		if len(where) > 1 {
			l.t.Errorf("item %d is in several places: %v", n, where)
		}
	}
	for n, will := range l.will {
		at := atConfirmed // gone: delivered
		where := f[n]
		switch {
		case len(where) > 0:
			at = stage[where[0]]
		case l.did[n] == 0:
			at = 0 // its list was not settled
		case l.pubs[n] == 0:
			l.t.Errorf("item %d is gone and was never published", n)
		}
		if at < l.did[n] || at > will {
			l.t.Errorf("item %d is at step %d %v; done were %d, begun %d", n, at, where, l.did[n], will)
		}
	}
	return st
}

// finish lets the last child work to the end, and checks the totals.
func (l *ledger) finish(rounds int) {
	if l.t.Failed() {
		return
	}
	cmd := l.command(finishEnv + "=1")
	out := must(cmd.StdoutPipe())
	ok(l.t, cmd.Start())
	l.read(out, func(string) {})
	ok(l.t, cmd.Wait())
	f, st := l.look()
	if st.Tasks+st.Records+st.Waiting+st.Held+st.Messages+st.Bundles != 0 {
		l.t.Errorf("not drained: %+v", st)
	}
	lost := 0
	for n := range l.did {
		if l.pubs[n] == 0 && len(f[n]) == 0 {
			lost++
		}
	}
	if lost > 0 || l.repeats > l.kills*crashWindow {
		l.t.Errorf("%d items lost, %d of %d messages published again in %d kills with a window of %d", lost, l.repeats, len(l.pubs), l.kills, crashWindow)
	}
	l.t.Logf("%d rounds: %d items, %d published, %d again, %d dead, %d parked for good, 0 lost", rounds, len(l.did), len(l.pubs), l.repeats, st.Dead, st.Parked)
}
