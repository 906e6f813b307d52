package platform

import (
	"context"
	"time"

	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/spool"
)

// Client is the part of OpenCTI's API that the platform loop uses. Errors carry
// fault classes, and wrap opencti.ErrUnknownConnector when OpenCTI does not know
// the connector (any more). The loop calls it from one goroutine at a time.
type Client interface {
	// Register announces the connector. OpenCTI declares exchange and queue (again)
	// and returns the stored state without changing it.
	Register(ctx context.Context) (opencti.Registration, error)
	// Ping stores state and info, and returns what the platform then holds.
	Ping(ctx context.Context, state string, info opencti.ConnectorInfo) (opencti.Echo, error)
	// Stored reads the connector's entry. It needs the capability MODULES.
	Stored(ctx context.Context) (opencti.Stored, error)
	// Queue returns the size of the connector's queue as the platform sees it,
	// which may lag by some seconds.
	Queue(ctx context.Context) (opencti.QueueSize, error)
}

// Works is what the platform loop needs to delete works from before a reset.
type Works interface {
	// Work reads a work. It returns opencti.ErrWorkGone if there is none.
	Work(ctx context.Context, id string) (opencti.Work, error)
	// WorksByName returns the works in progress of that name.
	WorksByName(ctx context.Context, name string) ([]opencti.Work, error)
	// DeleteWork deletes a work. It is not an error if there is none.
	DeleteWork(ctx context.Context, id string) error
}

// Spool is the part of the spool that the platform loop uses.
type Spool interface {
	Meta() (spool.Meta, error)
	SavePlatform(epoch uint64, notes []byte) error
	AdoptState(epoch uint64, at map[spool.Dataset]time.Time) (bool, error)
	Reset(now time.Time) (map[string]int64, []spool.Work, error)
	Watermarks() (map[spool.Dataset]spool.Watermark, error)
	Runs(before uint64, limit int) ([]spool.Run, error)
	OpenRuns() ([]spool.Run, error)
}
