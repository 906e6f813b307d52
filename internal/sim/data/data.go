// Package data is what the ThreatMatch stand-in serves: generated items of any
// number, made when they are asked for, or STIX bundles from a directory.
//
// All content follows from a seed: the same options give the same bytes.
package data

import (
	"encoding/json"
	"iter"
	"slices"
	"time"
)

// Dataset names one kind of item, as the connector names it.
type Dataset string

// The datasets of ThreatMatch.
const (
	Profiles Dataset = "profiles"
	Alerts   Dataset = "alerts"
	Reports  Dataset = "reports"
	IOCs     Dataset = "iocs"
)

// ItemDatasets are those whose items are listed and asked for one by one.
var ItemDatasets = []Dataset{Profiles, Alerts, Reports}

// All is every dataset.
var All = slices.Concat(ItemDatasets, []Dataset{IOCs})

// Entry is one row of a list.
type Entry struct {
	// ID is the portal's number, from 1. The datasets count for themselves, so
	// equal numbers of two datasets are different items.
	ID      int
	Title   string
	Kind    int // profile type: 1 threat actor, 3 incident, 4 operation, 5 malware
	Created time.Time
	// Updated is the date that lists go by; Touched is that of any change.
	Updated, Touched time.Time
}

// Sequence is a run of objects ascending by modification time.
type Sequence interface {
	// Len is how many objects there are now.
	Len() int
	// Time is the modification time of object i.
	Time(i int) time.Time
	// Object is object i as JSON.
	Object(i int) json.RawMessage
}

// Source is a body of items. Safe for concurrent use.
type Source interface {
	// Entries are the rows of d that are not withdrawn, ascending by ID.
	Entries(d Dataset) iter.Seq[Entry]
	// Item is the objects of one item; false: no such item.
	Item(d Dataset, id int) ([]json.RawMessage, bool)
	// Objects are all objects of a STIX type. Indicators are the IOCs.
	Objects(stixType string) Sequence
	// Count is how many items d has, withdrawn ones not counted.
	Count(d Dataset) int
	// Earliest is the oldest time of any item.
	Earliest() time.Time
}

// Changer is a Source that can grow and change, as ThreatMatch does between runs.
type Changer interface {
	// Publish adds n items to d at time at and returns their ids.
	Publish(d Dataset, n int, at time.Time) []int
	// Republish changes items of d at time at: new text, new modification time.
	// An insignificant change does not bring them into lists again.
	Republish(d Dataset, ids []int, at time.Time, significant bool)
	// Withdraw removes items of d.
	Withdraw(d Dataset, ids []int)
}

type empty struct{}

func (empty) Len() int                   { return 0 }
func (empty) Time(int) time.Time         { return time.Time{} }
func (empty) Object(int) json.RawMessage { return nil }

// Stamp formats t as STIX does, to the millisecond.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
