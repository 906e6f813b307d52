package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The rows of the table and their aims.
const (
	rowBare      = "bare publisher"
	rowDeliver   = "deliver alone"
	rowFar       = "the same, OpenCTI 100 ms away"
	rowPush      = "deliver alone, by the API"
	rowWhole     = "whole pipeline"
	rowFetchMap  = "fetch + map"
	rowDense     = "fetch + map, no descriptions"
	rowLatency   = "fetch with 50 ms a request"
	rowFirst     = "last record to first message"
	rowReady     = "start to ready, file left behind"
	rowIdle      = "idle daemon, anonymous memory"
	rowIdleLater = "the same, later"
	rowIdleCPU   = "idle daemon, CPU"
	rowSize      = "binary"
)

var rows = []struct{ name, aim string }{
	{rowBare, ""},
	{rowDeliver, "≥ 0.9"},
	{rowFar, "≥ 0.85"},
	{rowPush, ""},
	{rowWhole, "≥ 0.7"},
	{rowFetchMap, "apart"},
	{rowDense, "≥ 1.5"},
	{rowLatency, "≤ 1.1"},
	{rowFirst, "< 0.5"},
	{rowReady, "< 3"},
	{rowIdle, ""},
	{rowIdleLater, "< 20"},
	{rowIdleCPU, "~ 0"},
	{rowSize, "< 25"},
}

// table collects what each round brought.
type table struct {
	rates, ratios, own, all, allocated, values map[string][]float64
	units                                      map[string]string
	last                                       string // the row that the next bare rate stands beside
}

func newTable() *table {
	return &table{
		rates: map[string][]float64{}, ratios: map[string][]float64{},
		own: map[string][]float64{}, all: map[string][]float64{}, allocated: map[string][]float64{},
		values: map[string][]float64{}, units: map[string]string{},
	}
}

// rate notes objects in a time, and what was computed and allocated for them.
func (t *table) rate(row string, n float64, took time.Duration, c cost) {
	t.rates[row] = append(t.rates[row], n/took.Seconds())
	t.own[row] = append(t.own[row], float64(c.own.Microseconds())/n)
	t.all[row] = append(t.all[row], float64(c.all.Microseconds())/n)
	t.allocated[row] = append(t.allocated[row], c.allocated/n/1024)
	t.last = row
}

// bare notes the bare publisher's rate right after a row's.
func (t *table) bare(n float64, took time.Duration, c cost) {
	row := t.last
	t.rate(rowBare, n, took, c)
	r, b := t.rates[row], t.rates[rowBare]
	t.ratios[row] = append(t.ratios[row], r[len(r)-1]/b[len(b)-1])
}

// note notes a number that stands for itself.
func (t *table) note(row string, value float64, unit string) {
	t.values[row], t.units[row] = append(t.values[row], value), unit
}

// String is the table: medians, with the least and the most of the rounds. The
// last ratio is what it would be if the processors' time were all that counts;
// other work on the machine disturbs it less.
func (t *table) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%-30s | %9s | %-15s | %-5s | %-11s | %-6s | %s | %s\n",
		"what", "objects/s", "least – most", "ratio", "least–most", "aim", "CPU µs an object: connector, all; ratio", "KiB allocated an object")
	for _, row := range rows {
		r, ratio := t.rates[row.name], t.ratios[row.name]
		if len(r) == 0 {
			continue
		}
		fmt.Fprintf(&s, "%-30s | %9.0f | %6.0f – %6.0f | ", row.name, median(r), slices.Min(r), slices.Max(r))
		if len(ratio) > 0 {
			fmt.Fprintf(&s, "%5.2f | %4.2f – %4.2f", median(ratio), slices.Min(ratio), slices.Max(ratio))
		} else {
			fmt.Fprintf(&s, "%5d | %11s", 1, "")
		}
		all := median(t.all[row.name])
		fmt.Fprintf(&s, " | %-6s | %4.0f %4.0f %5.2f %23s | %6.1f\n", row.aim,
			median(t.own[row.name]), all, median(t.all[rowBare])/all, "", median(t.allocated[row.name]))
	}
	s.WriteByte('\n')
	for _, row := range rows {
		if v := t.values[row.name]; len(v) > 0 {
			fmt.Fprintf(&s, "%-33s | %9.2f | %6.2f – %6.2f | %-6s | %s\n", row.name, median(v), slices.Min(v), slices.Max(v), row.aim, t.units[row.name])
		}
	}
	return s.String()
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
