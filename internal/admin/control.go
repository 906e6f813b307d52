// Package admin lets operators and service managers reach a running connector:
// the unix socket and its client, and the HTTP server for metrics and probes.
package admin

import (
	"context"
	"strconv"
	"time"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// Control is what a running daemon offers beyond reading its spool. PeerOf says who asks. Methods are called
// concurrently.
type Control interface {
	Health
	Changes
	// Status describes the daemon at this moment.
	Status() (inspect.Status, error)
	// History returns its samples of the last hour and day.
	History() (inspect.History, error)
	// Setup returns what it was started with.
	Setup() (inspect.Setup, error)
	// Trigger starts a run now, or joins one that is being fetched.
	Trigger(ctx context.Context) (Answer, error)
	// Message returns a message of a bundle exactly as it goes to the broker.
	Message(ctx context.Context, run, bundle uint64, index int) ([]byte, error)
}

// Changes are what an operator may change, whether the connector runs or not.
type Changes interface {
	// Repull imports a past window again.
	Repull(ctx context.Context, q RepullRequest) (Answer, error)
	// Skip moves a dataset past a span that ThreatMatch does not deliver.
	Skip(ctx context.Context, q SkipRequest) (Answer, error)
	// Pause stops a stage until Resume, also over restarts.
	Pause(ctx context.Context, q StageRequest) (Answer, error)
	// Resume lets a paused stage continue.
	Resume(ctx context.Context, q StageRequest) (Answer, error)
	// Retry tries dead letters and parked items again.
	Retry(ctx context.Context, names Names) (Answer, error)
	// Drop removes dead letters, parked and held objects for good.
	Drop(ctx context.Context, names Names) (Answer, error)
}

// Names are the entries that an operator named.
type Names struct {
	Dead   []uint64        `json:"dead,omitempty"`
	Parked []spool.TaskKey `json:"parked,omitempty"`
	Held   []string        `json:"held,omitempty"`
}

// Len returns their number.
func (n Names) Len() int { return len(n.Dead) + len(n.Parked) + len(n.Held) }

// RepullRequest says what to import again. No dataset means all that are enabled.
type RepullRequest struct {
	From     time.Time `json:"from"`
	Datasets []string  `json:"datasets,omitempty"`
}

// SkipRequest says from where a dataset continues. What lies before is given up.
type SkipRequest struct {
	Dataset string    `json:"dataset"`
	To      time.Time `json:"to"`
}

// StageRequest names a stage.
type StageRequest struct {
	Stage string `json:"stage"`
}

// Answer is the result of a request.
type Answer struct {
	Message string `json:"message"`
	Run     uint64 `json:"run,omitempty"`    // the run that was started or joined
	Merged  bool   `json:"merged,omitempty"` // the run was being fetched already
	Count   int    `json:"count,omitempty"`  // number of entries affected
}

// Keys returns the names in the form that all commands and lists use: the number of a dead letter, dataset/id, or a
// STIX id.
func (n Names) Keys() []string {
	var all []string
	for _, key := range n.Dead {
		all = append(all, strconv.FormatUint(key, 10))
	}
	for _, key := range n.Parked {
		all = append(all, key.Title())
	}
	return append(all, n.Held...)
}
