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

// deadInternal is the class of what this program cannot map, whatever the reason.
const deadInternal = "internal"

// sameErrors is how many records in a row may fail with one and the same
// internal error. Then it is not the records, and the stage stops instead of
// burying the feed.
const sameErrors = 10

// verdict says why an object or a record is to be a dead letter.
type verdict struct{ class, reason string }

// blamed is what is known to fail again and again, until its dead letter is
// committed.
type blamed struct {
	objects map[string]verdict // by id
	run     uint64
	apart   uint64             // records of the run up to this one are mapped one a commit
	records map[uint64]verdict // by seq
	same    streak
	mapper  streak // of records that the mapper panics at
}

// streak counts different records that fail in one way, nothing mapped between.
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
	s.n, s.key = sameErrors-1, "" // the next that fails like this stops it at once
	return true
}

// brokenError is an error, or a panic, that waiting does not change.
type brokenError struct {
	verdict
	sign string // what is the same when another record fails so
	id   string // of the object; "": not known
}

func (e *brokenError) Error() string { return e.reason }

// unmappable is an error of this program's own for one object.
func unmappable(id, format string, args ...any) error {
	return &brokenError{verdict: verdict{deadInternal, id + ": " + fmt.Sprintf(format, args...)}, sign: format, id: id}
}

// stoppedError ends the mapping until the program is another one.
type stoppedError struct{ cause *brokenError }

func (e *stoppedError) Error() string {
	return fmt.Sprintf("map is stopped: %d records in a row fail with the same internal error: %v "+
		"(the records stay in the spool; update the connector and report the error)", sameErrors, e.cause)
}

// turn is runOnce that puts down what fails by itself: one object or record
// becomes a dead letter, and the others go on.
func (m *Stage) turn(ctx context.Context) (wait time.Duration, err error) {
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

// innermost is what an error says without the names of what it happened to.
func innermost(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

// blame finds out who is to blame: the object under work, else the record. Of
// several records each is tried alone first. What cannot be laid to anyone
// comes back.
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
	m.log.Warn("this cannot be mapped: it becomes a dead letter", "object", e.id, "error", e.reason)
	return nil
}

// isApart reports whether the record is mapped in a commit of its own.
func (m *Stage) isApart(run, seq uint64) bool { return m.blamed.run == run && seq <= m.blamed.apart }

// acquit forgets the verdicts that a commit carried out: another copy may be well.
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
