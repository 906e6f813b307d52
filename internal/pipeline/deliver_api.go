package pipeline

import (
	"context"
	"iter"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/spool"
)

// Publisher is what deliver needs of the message broker. It connects by itself
// and keeps the connection between calls.
type Publisher interface {
	// SetBroker says where OpenCTI has its broker; the next call connects anew
	// if that is somewhere else.
	SetBroker(b opencti.Broker)
	// Send publishes the batch in order and returns when the fate of everything
	// published is known or cannot be known any more. Nil means that all of it
	// is confirmed and committed; a *delivery.Outcome says what happened
	// otherwise. When ctx ends it publishes nothing more and waits for answers
	// for a limited time.
	Send(ctx context.Context, b delivery.Batch) error
	// QueueDepth returns how many messages are ready in a queue, asked of the
	// broker itself.
	QueueDepth(ctx context.Context, queue string) (int, error)
}

// Archive keeps copies of bundles, e.g. in a directory.
type Archive interface {
	// Write stores the bundle; the same CommittedAt overwrites. objects yields
	// the JSON of each and ends after the first error.
	Write(ctx context.Context, b delivery.DirectoryBundle, objects iter.Seq2[[]byte, error]) error
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
