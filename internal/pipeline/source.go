package pipeline

import (
	"context"
	"errors"
	"time"
)

// Source is what fetch needs of the ThreatMatch API. A call makes one attempt
// and marks its error with a fault class: Transient (with the least wait, if
// the server named one), Permanent for a refusal of this one request, Systemic
// for a refusal of the account or the address. It keeps the request rate by
// itself and is called from many goroutines.
type Source interface {
	// List names what changed in the dataset since a time, which it may cut down to the minute.
	List(ctx context.Context, dataset string, since time.Time) (SourceList, error)
	// Item gets one item: a JSON object with an array "objects".
	Item(ctx context.Context, dataset, id string) (SourceItem, error)
	// Groups lists the collections of IOCs.
	Groups(ctx context.Context) ([]SourceGroup, error)
	// Page gets objects of a group and type modified after a time, which is sent as it is.
	Page(ctx context.Context, group, stixType, after string) (SourcePage, error)
	// Control tells whether the server answers this account at all. Its error
	// is Systemic when account or address are refused.
	Control(ctx context.Context) error
}

// SourceList is the answer to a list request.
type SourceList struct {
	IDs      []string
	Unusable []string  // entries that name no id, shortened
	Applied  time.Time // the date that the server filtered by; zero: it does not say
	Date     time.Time // the server's clock; zero: it does not say
}

// SourceItem is the answer to an item request.
type SourceItem struct {
	Body []byte
	Date time.Time
}

// SourceGroup is a collection of IOCs.
type SourceGroup struct{ ID, Name string }

// SourcePage is one page of a group's objects.
type SourcePage struct {
	Body    []byte
	Objects []SourceObject
	More    bool
	Date    time.Time
}

// SourceObject is one element of a page. ID and Modified are empty where it has none.
type SourceObject struct {
	ID, Modified string
	Raw          []byte // JSON; may share memory with the page's body
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
