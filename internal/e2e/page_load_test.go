package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/threatmatch"
	"threatmatch-connector/internal/sim/worker"
)

// TestImportWithThePageOpen: the page is open during an import, in two browsers
// that ask as its script does; each answer is whole, and nothing harms the import.
// With PAGE_OBJECTS and PAGE_ROUNDS it measures, in pairs, what that costs.
func TestImportWithThePageOpen(t *testing.T) {
	objects, rounds := number(t, "PAGE_OBJECTS", 4000), number(t, "PAGE_ROUNDS", 0)
	if rounds == 0 {
		t.Parallel()
		w, got := importShown(t, objects, 100*time.Millisecond, worker.Options{})
		w.intact()
		if got.exports == 0 {
			t.Error("the page was never loaded")
		}
		return
	}
	var slower, busier []float64
	for without, with := range inPairs(rounds, func(open bool) (*world, imported) {
		every := time.Duration(0)
		if open {
			every = 3 * time.Second
		}
		return importShown(t, objects, every, worker.Options{CountOnly: true})
	}) {
		slower = append(slower, with.took.Seconds()/without.took.Seconds())
		busier = append(busier, with.cpu.Seconds()/without.cpu.Seconds())
		fmt.Printf("without %.2fs (cpu %.2fs)  with %.2fs (cpu %.2fs, %d pages)\n",
			without.took.Seconds(), without.cpu.Seconds(), with.took.Seconds(), with.cpu.Seconds(), with.exports)
	}
	fmt.Printf("%d objects, median of %d pairs: %+.1f %% time, %+.1f %% cpu of the connector\n", objects, rounds, 100*(median(slower)-1), 100*(median(busier)-1))
}

// importShown makes one import; every is the time between two loads of each
// browser, 0 for no browser.
func importShown(t *testing.T, objects int, every time.Duration, o worker.Options) (w *world, got imported) {
	t.Helper()
	items := objects / 67
	k, base := exposed(t, options{
		api:    threatmatch.Options{Generate: data.Options{Seed: 1, Profiles: items, Alerts: items, Reports: items / 3, IOCs: objects * 4 / 5}},
		worker: o,
		race:   every > 0,
	})
	w = k.world
	w.env["CONNECTOR_LOG_LEVEL"] = "error"
	began := time.Now()
	p := w.start("run", "--once")
	var browsers sync.WaitGroup
	var mu sync.Mutex
	for _, path := range []string{"/ui/", "/ui/history"} {
		if every == 0 {
			break
		}
		browsers.Go(func() {
			for {
				select {
				case <-p.done:
					return
				case <-time.After(every):
				}
				code, body := get(t, base+path)
				if code == 0 { // not there yet, or no more
					continue
				}
				if code != http.StatusOK || !strings.Contains(body, "</html>") {
					t.Errorf("%s: got %d and %d bytes, want a whole page", path, code, len(body))
				}
				mu.Lock()
				got.exports++
				mu.Unlock()
			}
		})
	}
	code := p.code()
	browsers.Wait()
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
