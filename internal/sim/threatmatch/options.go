// Package threatmatch is a stand-in for the ThreatMatch "Developer Platform" API:
// token, lists, STIX items, groups and pages of objects, with the oddities that
// its public clients show, and with faults on demand.
//
// Routes, as fault rules name them: "token", "list" (id: the dataset),
// "item" (id: dataset/number), "groups", "objects" (id: the STIX type).
package threatmatch

import (
	"log/slog"
	"time"

	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/faults"
)

// Options say how the stand-in behaves. The zero value is a well-behaved server
// with no item.
type Options struct {
	// Addr is where it listens; "" is a free port of 127.0.0.1.
	Addr string
	// ClientID and ClientSecret are the credentials it accepts; defaults "sim-client", "sim-secret".
	ClientID, ClientSecret string
	// Source is what it serves. Nil: Generate.
	Source data.Source
	// Generate says what is generated when there is no Source. Its Start
	// defaults to the clock's time.
	Generate data.Options
	// Clock is the time that Advance and Skew move on from; nil is time.Now.
	Clock func() time.Time

	// TokenLifetime of access tokens; zero means an hour.
	TokenLifetime time.Duration
	// Expiry is the form of expires_at; "" is Epoch.
	Expiry Expiry
	// WrongSecretStatus answers wrong credentials; zero means 401.
	WrongSecretStatus int

	// PageSize of objects; zero means 500.
	PageSize int
	// Exclusive makes modifiedAfter mean "later than", not "at or later than".
	Exclusive bool
	// OmitMore leaves out "more" instead of saying false.
	OmitMore bool
	// ShufflePages gives the objects of a page in no order.
	ShufflePages bool

	// ListExclusive makes date_since mean "later than".
	ListExclusive bool
	// OmitDateApplied leaves date_applied out of lists.
	OmitDateApplied bool
	// StringIDs writes the ids of lists as strings, and those of groups.
	StringIDs bool
	// Zone is the time zone in which the server reads date_since; nil is UTC.
	Zone *time.Location
	// NotOffered are datasets whose routes do not exist.
	NotOffered []data.Dataset
	// Groups are the names of the groups; nil is "All content" and another.
	Groups []string

	// HTMLErrors answers errors as HTML even to clients that ask for JSON.
	HTMLErrors bool
	// Gzip compresses answers for clients that take it.
	Gzip bool
	// Latency before each answer.
	Latency time.Duration
	// NewPerDay and RepublishPerDay are what Advance publishes and changes.
	NewPerDay, RepublishPerDay map[data.Dataset]int

	// Faults in force from the start, and the seed of their chance.
	Faults []faults.Rule
	Seed   uint64
	// OnRequest is told of every answer, after it was sent. It must not block.
	OnRequest func(Request)
	// Log gets a line per request at debug level; nil is none.
	Log *slog.Logger
}

// Expiry is a form of expires_at.
type Expiry string

// The forms of expires_at.
const (
	Epoch    Expiry = "epoch"    // Unix seconds
	Duration Expiry = "duration" // seconds from now
	Absent   Expiry = "absent"
)

func (o *Options) defaults() {
	if o.ClientID == "" {
		o.ClientID = "sim-client"
	}
	if o.ClientSecret == "" {
		o.ClientSecret = "sim-secret"
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.TokenLifetime == 0 {
		o.TokenLifetime = time.Hour
	}
	if o.Expiry == "" {
		o.Expiry = Epoch
	}
	if o.WrongSecretStatus == 0 {
		o.WrongSecretStatus = 401
	}
	if o.PageSize == 0 {
		o.PageSize = 500
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	if o.Groups == nil {
		o.Groups = []string{"All content", "Watchlist"}
	}
	if o.Source == nil {
		if o.Generate.Start.IsZero() {
			o.Generate.Start = o.Clock()
		}
		o.Source = data.NewGenerated(o.Generate)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}
