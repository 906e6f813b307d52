package deliver

import (
	"context"
	"iter"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/spool"
)

// Publisher is the part of the message broker that deliver uses. It connects by
// itself and keeps the connection between calls.
type Publisher interface {
	// SetBroker sets where OpenCTI has its broker. If that has changed, the next
	// call connects anew.
	SetBroker(b opencti.Broker)
	// Send publishes the batch in order and returns when the fate of everything
	// published is known, or can no longer be known. Nil means that all of it is
	// confirmed and committed; otherwise a *delivery.Outcome says what happened.
	// When ctx ends it publishes nothing more and waits a limited time for
	// confirms.
	Send(ctx context.Context, b delivery.Batch) error
	// QueueDepth asks the broker how many messages are ready in a queue.
	QueueDepth(ctx context.Context, queue string) (int, error)
}

// Archive keeps copies of bundles, e.g. in a directory.
type Archive interface {
	// Write stores the bundle; the same CommittedAt overwrites it. objects yields
	// the JSON of each object and ends after the first error.
	Write(ctx context.Context, b delivery.DirectoryBundle, objects iter.Seq2[[]byte, error]) error
}

// Platform is the part of the platform loop that deliver uses. Its methods may be
// called from any goroutine.
type Platform interface {
	// Offline reports whether there is no platform.
	Offline() bool
	// Registration returns the current registration, and waits for one if there is
	// none.
	Registration(ctx context.Context) (opencti.Registration, error)
	// Registered returns the current registration, or false if there is none.
	Registered() (opencti.Registration, bool)
	// Renew pings and registers again at once.
	Renew(ctx context.Context, reason string) error
	// QueueSize asks OpenCTI for the size of the connector's queue.
	QueueSize(ctx context.Context) (opencti.QueueSize, error)
	// Hold records whether messages are kept back for that reason.
	Hold(why string, on bool)
	// WhileNoReset calls f while no reset can begin.
	WhileNoReset(f func() error) error
	// Resets returns how many resets were begun so far.
	Resets() int64
	// Discard has a work deleted that no longer belongs to a run.
	Discard(ctx context.Context, name, id string) error
	// DeleteOld deletes what is left from before a reset.
	DeleteOld(ctx context.Context) error
}

// WorkClient is the part of OpenCTI's API that deliver uses to report a run. A call
// that fails may still have taken effect.
type WorkClient interface {
	// AddWork creates a work and returns its id; see opencti.Client.
	AddWork(ctx context.Context, name string, multipart bool) (string, error)
	// Work reads a work. It returns opencti.ErrWorkGone if there is none.
	Work(ctx context.Context, id string) (opencti.Work, error)
	// WorksByName returns the works in progress of that name.
	WorksByName(ctx context.Context, name string) ([]opencti.Work, error)
	// WorkAlive reports whether workers still accept messages of the work.
	WorkAlive(ctx context.Context, id string) (bool, error)
	// PushBundle has OpenCTI queue a bundle; see opencti.Client.
	PushBundle(ctx context.Context, workID string, bundle []byte) error
	AddExpectations(ctx context.Context, id string, n int64) error
	// ReportExpectation settles one message that will not come, with the reason.
	ReportExpectation(ctx context.Context, id, reason, source string) error
	// Processed declares that nothing more will come.
	Processed(ctx context.Context, id, message string, inError bool) error
	// DeleteWork deletes a work. It is not an error if there is none.
	DeleteWork(ctx context.Context, id string) error
	// Known returns those of the ids that the platform has.
	Known(ctx context.Context, ids []string) (map[string]string, error)
}

// Spool is the part of the spool that deliver uses.
type Spool interface {
	Meta() (spool.Meta, error)
	OpenRuns() ([]spool.Run, error)
	Runs(before uint64, limit int) ([]spool.Run, error)
	Run(id uint64) (spool.Run, error)
	NextBundle() (spool.Bundle, error)
	NextBundleOf(run uint64) (spool.Bundle, error)
	Unconfirmed(run uint64, most int) (n int64, in spool.Range, err error)
	BundleObjects(run, seq uint64, from int, maxBytes int64) ([]spool.BundleObject, error)
	SaveMessageLimit(l spool.MessageLimit) error
	SaveCursor(epoch uint64, run, seq uint64, n int) error
	SkipMessage(epoch uint64, run, seq uint64, index int, d spool.DeadLetter) error
	EndBundle(epoch uint64, run, seq uint64, w spool.Work, count map[string]int64) error
	SaveWork(epoch uint64, run uint64, w spool.Work) error
	ForgetRun(epoch uint64, run uint64) error
	FinishRun(epoch uint64, run uint64, now time.Time) error
	Count(epoch uint64, run uint64, count map[string]int64) error
	DeadLetters(after uint64, limit int) ([]spool.DeadLetter, error)
	LookupIDs(ids []string) (map[string]spool.ID, error)
}
