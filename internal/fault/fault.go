// Package fault says what an error means for the work at hand. Adapters mark their errors where these arise, from one
// table each; stages only ask Of and act.
//
// An unmarked error is Transient: it is retried, within the stage's own limit of attempts. Nothing in this package
// decides to drop anything.
package fault

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Class is what an error means for the item being worked on.
type Class uint8

const (
	// Transient: the same request may succeed later. The zero value.
	Transient Class = iota
	// Permanent: the same input would fail again; the item is parked or becomes a dead letter.
	Permanent
	// Systemic: the account, the address or the set-up is refused. No item is to blame: the stage pauses, reports not
	// ready and tries again.
	Systemic
	// Fatal: the process cannot go on.
	Fatal
	// Shutdown: we were asked to stop. The item stays as it is.
	Shutdown
)

// ErrShutdown is the cancellation cause of an orderly stop.
var ErrShutdown = errors.New("shutting down")

// ShutdownBy returns an ErrShutdown with a deadline for the stop. Of and errors.Is treat it as ErrShutdown.
func ShutdownBy(t time.Time) error { return shutdownBy(t) }

// StopBy returns the time by which work under the cancelled ctx has to end; false if ctx was not cancelled by
// ShutdownBy.
func StopBy(ctx context.Context) (time.Time, bool) {
	by, ok := errors.AsType[shutdownBy](context.Cause(ctx))
	return time.Time(by), ok
}

type shutdownBy time.Time

func (shutdownBy) Error() string        { return ErrShutdown.Error() }
func (shutdownBy) Is(target error) bool { return target == ErrShutdown }

// String returns the name that logs, metrics and dead letters use.
func (c Class) String() string {
	switch c {
	case Transient:
		return "transient"
	case Permanent:
		return "permanent"
	case Systemic:
		return "systemic"
	case Fatal:
		return "fatal"
	case Shutdown:
		return "shutdown"
	}
	return "unknown"
}

type marked struct {
	err   error
	class Class
	after time.Duration
	hint  string
	words string
}

func (m *marked) Error() string { return m.err.Error() }
func (m *marked) Unwrap() error { return m.err }

// Mark gives err a class. The outermost mark counts. A nil err stays nil.
func Mark(c Class, err error) error {
	return mark(err, func(m *marked) { m.class, m.after = c, 0 })
}

// After marks err as Transient and not to be retried before d has passed. A nil err stays nil.
func After(d time.Duration, err error) error {
	return mark(err, func(m *marked) { m.class, m.after = Transient, d })
}

// Hint adds what the operator can do, and keeps the class. A nil err stays nil, and an empty hint changes nothing.
func Hint(err error, hint string) error {
	if hint == "" {
		return err
	}
	return mark(err, func(m *marked) { m.hint = hint })
}

// Say gives err words to show people instead of its own text and of anything wrapped around it. It keeps class and
// hint. A nil err stays nil.
func Say(err error, words string) error {
	return mark(err, func(m *marked) { m.words = words })
}

// mark wraps err in a mark that says what its outermost one says, but for the change.
func mark(err error, change func(*marked)) error {
	if err == nil {
		return nil
	}
	m := &marked{err: err, hint: HintOf(err), words: wordsOf(err)}
	m.class, m.after = Of(err)
	change(m)
	return m
}

// Words says what is wrong: in the words that Say gave err, else by its text. err must not be nil.
func Words(err error) string {
	if words := wordsOf(err); words != "" {
		return words
	}
	return err.Error()
}

// Sentence says what is wrong and what the operator can do about it, in the same words for status, health, log and
// check. err must not be nil.
func Sentence(err error) string {
	if hint := HintOf(err); hint != "" {
		return strings.TrimSuffix(Words(err), ".") + ": " + hint
	}
	return Words(err)
}

func wordsOf(err error) string {
	if m, ok := errors.AsType[*marked](err); ok {
		return m.words
	}
	return ""
}

// HintOf returns the outermost hint of err, or "".
func HintOf(err error) string {
	if m, ok := errors.AsType[*marked](err); ok {
		return m.hint
	}
	return ""
}

// Of returns the class of err and the least delay before the next try. ErrShutdown, however it is marked, and an
// unmarked context.Canceled are Shutdown; a nil err is Transient with no delay.
func Of(err error) (Class, time.Duration) {
	if err == nil {
		return Transient, 0
	}
	if errors.Is(err, ErrShutdown) {
		return Shutdown, 0
	}
	if m, ok := errors.AsType[*marked](err); ok {
		return m.class, m.after
	}
	if errors.Is(err, context.Canceled) {
		return Shutdown, 0
	}
	return Transient, 0
}

// Is reports whether err has class c.
func Is(err error, c Class) bool {
	got, _ := Of(err)
	return err != nil && got == c
}
