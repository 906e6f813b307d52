package mapstage

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/spool"
)

// mapped is the mapper's result for one record, or the panic that it ended in.
type mapped struct {
	mapping.Result
	panicked, frame string
}

// guard returns a function that maps the record once, whoever calls it first, and
// turns a panic into text. setIDs is mapping.Source's. The body is let go as soon as the
// mapper needs it no more. Safe for concurrent use.
func (m *Stage) guard(rec spool.Record, setIDs map[string]string) func() mapped {
	return sync.OnceValue(func() (res mapped) {
		start := m.Now()
		defer func() {
			if r := recover(); r != nil {
				res.frame = panicFrame(debug.Stack())
				res.panicked = fmt.Sprintf("panic: %v at %s", r, res.frame)
			}
			m.Metrics.seconds.Observe(m.Now().Sub(start).Seconds())
		}()
		body := rec.Body
		rec.Body = nil
		res.Result = m.Mapper.Map(mapping.Source{Dataset: string(rec.Dataset), ID: rec.Source, Fetched: rec.Fetched, Mapped: rec.Mapped, SetIDs: setIDs}, body)
		return res
	})
}

// mappers is the maximum number of goroutines that map records ahead.
const mappers = 4

// mapAhead returns a function per record that maps it, and has them called ahead of
// time on all processors. stop ends that and waits for it. A suspect record must
// not be mapped ahead: it must be alone when the process dies.
func (m *Stage) mapAhead(recs []spool.Record) (results []func() mapped, stop func()) {
	for _, rec := range recs {
		results = append(results, m.guard(rec, nil))
	}
	ahead := slices.Clone(results) // the caller drops its own one by one
	var next atomic.Int64
	var wg sync.WaitGroup
	if !slices.ContainsFunc(recs, m.suspect) {
		for range min(runtime.GOMAXPROCS(0), mappers, len(recs)-1) {
			wg.Go(func() {
				for i := next.Add(1); i < int64(len(recs)); i = next.Add(1) { // the caller maps the first
					if recs[i].Err == nil {
						ahead[i]()
					}
				}
			})
		}
	}
	return results, func() { next.Store(int64(len(recs))); wg.Wait() }
}

// panicFrame returns our innermost function in a stack trace.
func panicFrame(stack []byte) string {
	_, rest, _ := strings.Cut(string(stack), "panic(")
	for line := range strings.Lines(rest) {
		if strings.HasPrefix(line, "threatmatch-connector/") {
			line = strings.TrimPrefix(line, "threatmatch-connector/")
			return strings.TrimSpace(line[:max(strings.LastIndexByte(line, '('), 0)]) // without the arguments, which differ
		}
	}
	return "an unknown place"
}
