package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
)

// BenchmarkMemory imports OBJECTS objects (several numbers with commas between
// them) with the real program and prints what it needed. A consumer takes the
// messages from the queue and counts them.
func BenchmarkMemory(b *testing.B) {
	node := brokertest.Start(b)
	sizes := os.Getenv("OBJECTS")
	if sizes == "" {
		sizes = "10000,100000,1000000"
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%9s | %s | %s | %s | %s\n",
		"objects", "most RssAnon MiB (aim ≤ 64)", "largest spool file MiB", "µs an object", "CPU µs an object")
	for text := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(text)
		must(b, err)
		// Four fifths are IOCs; items bring the rest, with about eight objects each.
		w := newWorld(b, node, "--count-only", "--iocs", fmt.Sprint(n*8/10), "--profiles", fmt.Sprint(n/90),
			"--alerts", fmt.Sprint(n/90), "--reports", fmt.Sprint(n/360))
		p := w.start("run", "--once")
		most, file := p.watch()
		p.finish()
		r := w.run()
		sent := float64(r.Counters["deliver.messages"])
		fmt.Fprintf(&s, "%9.0f | %27.0f | %22d | %12.0f | %.0f\n", sent, float64(most)/1024, file>>20,
			float64(r.Done.Sub(r.Created).Microseconds())/sent, float64(p.cpu().Microseconds())/sent)
		w.close()
	}
	fmt.Printf("\n%s\n", &s)
}

// watch samples until the process has ended: its most anonymous memory in KiB
// and its largest spool file in bytes.
func (p *process) watch() (most, file int64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		most = max(most, p.status("RssAnon"))
		if info, err := os.Stat(filepath.Join(p.w.env["SPOOL_DIR"], "spool.db")); err == nil {
			file = max(file, info.Size())
		}
		select {
		case <-p.done:
			return most, file
		case <-tick.C:
		}
	}
}
