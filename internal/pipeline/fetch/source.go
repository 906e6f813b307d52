package fetch

import (
	"context"
	"errors"
	"time"

	"threatmatch-connector/internal/threatmatch"
)

// Source is what fetch needs of the ThreatMatch API. A call makes one attempt
// and marks its error with a fault class: Transient (with the least wait, if
// the server named one), Permanent for a refusal of this one request, Systemic
// for a refusal of the account or the address. It keeps the request rate by
// itself and is called from many goroutines.
type Source interface {
	// List names what changed in the dataset since a time, which it may cut down to the minute.
	List(ctx context.Context, dataset string, since time.Time) (threatmatch.List, error)
	// Item gets one item: a JSON object with an array "objects".
	Item(ctx context.Context, dataset, id string) (threatmatch.Body, error)
	// Details gets an item again, with what the portal shows of it as a member "details".
	Details(ctx context.Context, dataset, id string) (threatmatch.Body, error)
	// Groups lists the collections of IOCs.
	Groups(ctx context.Context) ([]threatmatch.Group, error)
	// Page gets objects of a group and type modified after a time, which is sent as it is.
	Page(ctx context.Context, group, stixType, after string) (threatmatch.Page, error)
	// Control tells whether the server answers this account at all. Its error
	// is Systemic when account or address are refused.
	Control(ctx context.Context) error
}

// answered is an error that comes from an answer of the server.
type answered interface {
	error
	// Answer returns the status (0 without an answer), the kind of the failure
	// in one word, and the begin of the answer without secrets.
	Answer() (status int, kind, snippet string)
}

// answerOf returns what err tells of the server's answer.
func answerOf(err error) (status int, kind, snippet string) {
	if a, ok := errors.AsType[answered](err); ok {
		return a.Answer()
	}
	return 0, "", ""
}
