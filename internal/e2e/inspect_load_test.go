package e2e_test

import (
	"fmt"
	"iter"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/threatmatch"
	"threatmatch-connector/internal/sim/worker"
)

// TestInspectedImport looks on while an import is under way: status --watch
// runs, and the whole spool is exported again and again. Nothing of that may
// fail or harm the import. With INSPECT_OBJECTS and INSPECT_ROUNDS it measures,
// in pairs, what looking costs: see make inspect. INSPECT_PAUSE are the
// milliseconds between two exports, INSPECT_EXPORTS the most of them.
func TestInspectedImport(t *testing.T) {
	objects, rounds := number(t, "INSPECT_OBJECTS", 8000), number(t, "INSPECT_ROUNDS", 0)
	if rounds == 0 {
		t.Parallel()
		w, got := importObjects(t, objects, true, worker.Options{})
		w.intact()
		if got.exports == 0 {
			t.Error("nothing was exported")
		}
		return
	}
	var slower, bigger []float64
	for without, with := range inPairs(rounds, func(looked bool) (*world, imported) {
		return importObjects(t, objects, looked, worker.Options{CountOnly: true})
	}) {
		slower = append(slower, with.took.Seconds()/without.took.Seconds())
		bigger = append(bigger, float64(with.file)/float64(without.file))
		fmt.Printf("without %v  with %v\n", without, with)
	}
	slow, big := 100*(median(slower)-1), 100*(median(bigger)-1)
	fmt.Printf("%d objects, median of %d pairs: %+.1f %% time, %+.1f %% file\n", objects, rounds, slow, big)
	if slow >= 10 || big >= 10 {
		t.Error("the aim is less than 10 % of each")
	}
}

// inPairs yields what an import costs without and with somebody who looks on, as
// often as there are rounds; each goes first every other time.
func inPairs(rounds int, one func(looked bool) (*world, imported)) iter.Seq2[imported, imported] {
	return func(yield func(without, with imported) bool) {
		for round := range rounds {
			var got [2]imported
			for half := range 2 {
				looked := (round + half) % 2
				w, cost := one(looked == 1)
				w.close()
				got[looked] = cost
			}
			if !yield(got[0], got[1]) {
				return
			}
		}
	}
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// imported is what one import took.
type imported struct {
	took, cpu time.Duration // cpu of the connector alone
	file      int64         // the spool's size at the end
	exports   int           // finished while it ran
	exported  int           // files written by them
}

func (i imported) String() string {
	return fmt.Sprintf("%.2fs (cpu %.2fs, file %.1f MiB, %d exports of %d files)",
		i.took.Seconds(), i.cpu.Seconds(), float64(i.file)/(1<<20), i.exports, i.exported)
}

// importObjects makes one import of about so many objects, four fifths of them
// IOCs, into a new spool.
func importObjects(t *testing.T, objects int, looked bool, o worker.Options) (w *world, got imported) {
	t.Helper()
	items := objects / 67
	w = newWorld(t, options{
		api: threatmatch.Options{Generate: data.Options{
			Seed: 1, Profiles: items, Alerts: items, Reports: items / 3, IOCs: objects * 4 / 5,
		}},
		worker: o,
	})
	w.env["CONNECTOR_LOG_LEVEL"] = "error"
	if !o.CountOnly { // not measured: the import must not end before an export has
		w.platform.SetFault(faults.Rule{Route: "workEdit.toProcessed", Kind: faults.Answer, Status: 503})
	}
	began := time.Now()
	p := w.start("run", "--once")
	if looked {
		w.look(p, &got)
	}
	code := p.code()
	got.took = time.Since(began)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, tail(p.output()))
	}
	state := p.cmd.ProcessState
	got.cpu = state.UserTime() + state.SystemTime()
	fi, err := os.Stat(filepath.Join(w.spool, "spool.db"))
	must(t, err)
	got.file = fi.Size()
	return w, got
}

// close ends what would cost the next measurement time.
func (w *world) close() {
	w.worker.Close()
	w.platform.Close()
	w.api.Close()
}

// look watches and exports until the import ends.
func (w *world) look(p *process, got *imported) {
	w.t.Helper()
	w.eventually("the socket is there", func() bool {
		_, err := os.Stat(filepath.Join(w.spool, "admin.sock"))
		return err == nil || p.ended()
	})
	watch := w.start("status", "--watch")
	defer func() {
		watch.kill()
		if !strings.Contains(watch.output(), "ready  ") {
			w.t.Errorf("status --watch saw nothing:\n%s", tail(watch.output()))
		}
	}()
	most, pause := number(w.t, "INSPECT_EXPORTS", math.MaxInt), number(w.t, "INSPECT_PAUSE", 1000)
	base := w.t.TempDir() // removed at the very end, so that it is not measured
	for got.exports < most && !p.ended() {
		dir := filepath.Join(base, strconv.Itoa(got.exports))
		out, err := w.command("spool", "export", dir, "--json").CombinedOutput()
		if err != nil { // nothing but the connector's end may cut an export off
			p.code()
			w.t.Logf("the last export: %v\n%s", err, out)
			return
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		got.exports, got.exported = got.exports+1, got.exported+len(files)
		w.platform.Heal()
		select {
		case <-p.done:
		case <-time.After(time.Duration(pause) * time.Millisecond):
		}
	}
}

// command prepares a run of the program.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.t.Context(), w.binary, args...)
	for k, v := range w.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	return cmd
}
