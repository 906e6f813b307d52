package mapstage

import (
	"fmt"
	"testing"

	"threatmatch-connector/spool"
)

// BenchmarkStage maps and hands over indicators and relationships between them with
// the plain mapper: the cost of the stage and the spool per object.
func BenchmarkStage(b *testing.B) {
	w := newWorld(b, fastDir(b), Options{})
	b.Cleanup(func() { _ = w.sp.Close() })
	run := w.startRun(spool.ReasonSchedule)
	w.spoolMany(run, b.N, func(i int) string {
		if i%4 == 3 {
			return srel(i, sid("indicator", i-1), sid("indicator", i-2), smod(1))
		}
		return sobj(sid("indicator", i), smod(1), `"name":"an indicator"`, `"pattern":"[ipv4-addr:value = '198.51.100.1']"`,
			`"pattern_type":"stix"`, `"valid_from":"2026-01-01T00:00:00.000Z"`, fmt.Sprintf(`"description":"seen %d times"`, i))
	})
	w.endFetch(run)
	b.ResetTimer()
	messages, _, _ := w.drive()
	b.ReportMetric(float64(messages)/b.Elapsed().Seconds(), "objects/s")
}
