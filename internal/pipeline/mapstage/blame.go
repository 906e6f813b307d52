package mapstage

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/spool"
)

// deadInternal is the class of what this program cannot map, for whatever reason.
const deadInternal = "internal"

// sameErrors is how many records in a row may fail with the same internal error.
// After that the records are not at fault, and the stage stops instead of
// dead-lettering the whole feed.
const sameErrors = 10

// verdict says why an object or a record becomes a dead letter.
type verdict struct{ class, reason string }

// blamed is what is known to fail every time, until its dead letter is committed.
type blamed struct {
	objects map[string]verdict // by id
	run     uint64
	apart   uint64             // records of the run up to this one are mapped one per commit
	records map[uint64]verdict // by seq
	same    streak
	mapper  streak // of records at which the mapper panics
}

// streak counts different records that fail in the same way, without a success in
// between.
type streak struct {
	sign string
	key  string // the latest
	n    int
}

// again counts a failure and reports whether there are too many in a row.
func (s *streak) again(sign, key string) bool {
	switch {
	case s.sign != sign:
		*s = streak{sign: sign, key: key, n: 1}
	case s.key != key:
		s.key = key
		s.n++
	}
	if s.n < sameErrors {
		return false
	}
	s.n, s.key = sameErrors-1, "" // the next one that fails like this stops the stage at once
	return true
}

// brokenError is an error or a panic that does not go away by waiting.
type brokenError struct {
	verdict
	sign string // identifies the error when another record fails in the same way
	id   string // of the object; "": unknown
}

func (e *brokenError) Error() string { return e.reason }

// unmappable is an internal error about one object.
func unmappable(id, format string, args ...any) error {
	return &brokenError{verdict: verdict{deadInternal, id + ": " + fmt.Sprintf(format, args...)}, sign: format, id: id}
}

// stoppedError stops the mapping until the program is updated.
type stoppedError struct{ cause *brokenError }

func (e *stoppedError) Error() string {
	return fmt.Sprintf("map is stopped: %d records in a row fail with the same internal error: %v "+
		"(the records stay in the spool; update the connector and report the error)", sameErrors, e.cause)
}

// guardedStep runs runOnce and isolates whatever fails by itself: that object or record
// becomes a dead letter, and the others go on.
func (m *Stage) guardedStep(ctx context.Context) (wait time.Duration, err error) {
	m.at, m.under = "", nil
	defer func() {
		if r := recover(); r != nil {
			frame := panicFrame(debug.Stack())
			wait, err = 0, m.blame(&brokenError{
				verdict: verdict{deadPanic, fmt.Sprintf("panic: %v at %s", r, frame)}, sign: frame, id: m.at,
			})
		}
	}()
	wait, err = m.runOnce(ctx)
	if broken, ok := errors.AsType[*brokenError](err); ok {
		return 0, m.blame(broken)
	}
	if fault.Is(err, fault.Permanent) {
		return 0, m.blame(&brokenError{verdict: verdict{deadInternal, err.Error()}, sign: innermost(err), id: m.at})
	}
	return wait, err
}

// innermost returns the text of the innermost error, without the names of what it
// happened to.
func innermost(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

// blame finds what is at fault: the object being worked on, else the record. Of
// several records, each is first tried alone. It returns an error that cannot be
// attributed.
func (m *Stage) blame(e *brokenError) error {
	g := m.under
	m.forget()
	key := e.id
	if g != nil && len(g.seqs) > 0 {
		m.blamed.run, m.blamed.apart = g.run.ID, max(m.blamed.apart, g.seqs[len(g.seqs)-1])
		if len(g.seqs) > 1 {
			return nil
		}
		key = fmt.Sprintf("record %d", g.seqs[0])
	}
	if key == "" {
		return e
	}
	if m.blamed.same.again(e.sign, key) {
		return &stoppedError{e}
	}
	_, known := m.blamed.objects[e.id]
	switch {
	case e.id != "" && !known:
		m.blamed.objects[e.id] = e.verdict
	case g != nil && len(g.seqs) > 0 && m.blamed.records[g.seqs[0]] == verdict{}:
		m.blamed.records[g.seqs[0]] = e.verdict
	default:
		return e
	}
	m.Log.Warn("this cannot be mapped: it becomes a dead letter", "object", e.id, "error", e.reason)
	return nil
}

// isApart reports whether the record is mapped in its own commit.
func (m *Stage) isApart(run, seq uint64) bool { return m.blamed.run == run && seq <= m.blamed.apart }

// acquit forgets the verdicts that a commit carried out: another copy may be fine.
func (m *Stage) acquit(c spool.MapCommit, good bool) {
	for _, d := range c.Dead {
		delete(m.blamed.objects, d.STIX)
	}
	for _, seq := range c.Records {
		delete(m.blamed.records, seq)
	}
	if good {
		m.blamed.same = streak{}
	}
}
