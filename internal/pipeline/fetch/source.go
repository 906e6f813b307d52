package fetch

import (
	"context"
	"errors"
	"time"

	"threatmatch-connector/internal/threatmatch"
)

// Source is the part of the ThreatMatch API that fetch uses. A call makes one
// attempt and marks its error with a fault class: Transient (with the minimum wait,
// if the server named one), Permanent if this one request was refused, Systemic if
// the account or the address was refused. It limits the request rate itself and is
// called from many goroutines.
type Source interface {
	// List names what changed in the dataset since a time, which it may truncate to
	// the minute.
	List(ctx context.Context, dataset string, since time.Time) (threatmatch.List, error)
	// Item returns one item: a JSON object with an array "objects".
	Item(ctx context.Context, dataset, id string) (threatmatch.Body, error)
	// Details returns an item again, with what the portal shows of it in the member
	// "details".
	Details(ctx context.Context, dataset, id string) (threatmatch.Body, error)
	// Groups lists the collections of IOCs.
	Groups(ctx context.Context) ([]threatmatch.Group, error)
	// Page returns objects of a group and type modified after a time, which is sent
	// as it is.
	Page(ctx context.Context, group, stixType, after string) (threatmatch.Page, error)
	// Control reports whether the server answers this account at all. Its error is
	// Systemic if the account or address is refused.
	Control(ctx context.Context) error
}

// answerOf returns what err says about the server's response; the zero value if the
// client made no request.
func answerOf(err error) threatmatch.Error {
	if e, ok := errors.AsType[*threatmatch.Error](err); ok {
		return *e
	}
	return threatmatch.Error{}
}
