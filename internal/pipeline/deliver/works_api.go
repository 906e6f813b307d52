package deliver

import (
	"context"
	"errors"

	"threatmatch-connector/internal/opencti"
)

// ErrUndelivered ends a single run whose messages cannot be sent yet; the spool
// holds them.
var ErrUndelivered = errors.New("stopped before the run was delivered")

// WorkClient is the part of OpenCTI's API that deliver uses to report a run. A call
// that fails may still have taken effect.
type WorkClient interface {
	// AddWork creates a work and returns its id. multipart is nil if the platform
	// does not offer it.
	AddWork(ctx context.Context, name string, multipart *bool) (string, error)
	// Work reads a work. It returns opencti.ErrWorkGone if there is none.
	Work(ctx context.Context, id string) (opencti.Work, error)
	// WorksByName returns the works in progress whose name ends with suffix.
	WorksByName(ctx context.Context, suffix string) ([]opencti.Work, error)
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
