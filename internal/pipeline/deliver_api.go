package pipeline

import (
	"context"
	"fmt"
	"iter"
	"time"

	"threatmatch-connector/spool"
)

// Publisher is what deliver needs of the message broker. It connects by itself
// and keeps the connection between calls.
type Publisher interface {
	// Send publishes the batch in order and returns when the fate of everything
	// published is known or cannot be known any more. Nil means that all of it
	// is confirmed and committed; a *SendError says what happened otherwise.
	// When ctx ends it publishes nothing more and waits for answers for a
	// limited time.
	Send(ctx context.Context, b Batch) error
	// Depth returns how many messages are ready in the registration's queue,
	// asked of the broker itself.
	Depth(ctx context.Context, to Registration) (int64, error)
}

// Batch is an ordered stream of messages. Next and Committed may be called at
// the same time, each by one goroutine; neither after Send returned.
type Batch struct {
	To     Registration
	Window int // messages published and not yet covered by Committed; 0: the publisher's own
	// Next returns the next message, io.EOF after the last one.
	Next func() (Message, error)
	// Committed is told that the first n messages are confirmed; n only grows.
	// Its context outlives Send's while answers are waited for.
	// When it returns nil, that is on disk. On an error nothing more is published.
	Committed func(ctx context.Context, n int) error
	// Blocked is told, from any goroutine, when the broker stops reading (a
	// memory or disk alarm) and when it goes on.
	Blocked func(blocked bool)
}

// Message is one message on the wire.
type Message struct {
	ID   string // STIX id of its object
	Body []byte
}

// SendKind is what kept a batch from being confirmed.
type SendKind uint8

// The kinds of SendError.
const (
	SendLost     SendKind = iota // connection or channel lost, or no answer at all
	SendNacked                   // the broker did not take a message: its queue is full
	SendReturned                 // the message reached no queue
	SendTooLarge                 // the message is larger than the broker allows
	SendRefused                  // credentials, rights or the exchange were refused
	SendAborted                  // Next or Committed failed, or the context ended: Err says which
)

// String returns the name that metrics and logs use.
func (k SendKind) String() string {
	return [...]string{"lost", "nacked", "returned", "too_large", "refused", "aborted"}[min(k, SendAborted)]
}

// SendError says why a batch ended before it was confirmed as a whole.
type SendError struct {
	Kind    SendKind
	Index   int   // in the batch, of the message that it happened to; -1 when unknown
	Limit   int64 // of SendTooLarge: the broker's limit in bytes; 0 when unknown
	Acked   int64 // messages beyond what Committed covers that the broker surely has
	Unknown int64 // messages beyond it that the broker may or may not have
	Err     error
}

func (e *SendError) Error() string { return fmt.Sprintf("publish: %s: %v", e.Kind, e.Err) }

// Unwrap returns the cause.
func (e *SendError) Unwrap() error { return e.Err }

// Envelope is what makes up the body of one message.
type Envelope struct {
	Applicant string // user under which OpenCTI imports
	WorkID    string
	BundleID  string
	Sequence  int // from 1
	Deps      uint32
	Update    bool
	Object    []byte // the STIX object's JSON
}

// Archive keeps copies of bundles, e.g. in a directory.
type Archive interface {
	// Write stores the bundle; the same Time overwrites.
	Write(ctx context.Context, b ArchiveBundle) error
}

// ArchiveBundle is a whole bundle for the archive.
type ArchiveBundle struct {
	Time      time.Time // unique to the bundle, the same when it is written again
	ID        string
	Applicant string
	Update    bool
	Objects   iter.Seq2[[]byte, error] // JSON of each; ends after the first error
}

// deliverSpool is what deliver needs of the spool.
type deliverSpool interface {
	Meta() (spool.Meta, error)
	OpenRuns() ([]spool.Run, error)
	Runs(before uint64, limit int) ([]spool.Run, error)
	Run(id uint64) (spool.Run, error)
	NextBundle() (spool.Bundle, error)
	BundleObjects(run, seq uint64, from int, maxBytes int64) ([]spool.BundleObject, error)
	SaveCursor(epoch uint64, run, seq uint64, n int) error
	SkipMessage(epoch uint64, run, seq uint64, index int, d spool.DeadLetter) error
	FinishBundle(epoch uint64, run, seq uint64) error
	SaveWork(epoch uint64, run uint64, w spool.Work) error
	ForgetRun(epoch uint64, run uint64) (int, error)
	FinishRun(epoch uint64, run uint64, now time.Time) error
	Count(epoch uint64, run uint64, count map[string]int64) error
	DeadLetters(after uint64, limit int) ([]spool.DeadLetter, error)
	LookupIDs(ids []string) (map[string]spool.ID, error)
}

var _ deliverSpool = (*spool.Spool)(nil)
