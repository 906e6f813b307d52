package data

import (
	"encoding/json"
	"iter"
	"slices"
	"sync"
	"time"
)

// Options say what is generated.
type Options struct {
	Seed                            uint64
	Profiles, Alerts, Reports, IOCs int
	// Start is the time of the newest initial item. Required.
	Start time.Time
	// Span is how far back the oldest one lies. Zero means 20 days.
	Span time.Duration
	// Quirks are the oddities of real content. The zero value has none.
	Quirks Quirks
	// Every TieEvery IOCs a block of TieSize IOCs has one modification time.
	TieEvery, TieSize int
	// SubMillisecond gives IOCs modification times with six digits.
	SubMillisecond bool
	// Dense leaves out descriptions and gives every profile and alert only its
	// main object and one relationship: for measuring what descriptions cost.
	Dense bool
}

// Quirks are shares of objects (0 to 1) with an oddity that ThreatMatch's
// content is known or supposed to have.
type Quirks struct {
	NoAuthor        float64 // no created_by_ref
	NoMarking       float64 // no object_marking_refs
	UnknownMarking  float64 // a marking whose object is nowhere
	ShippedMarking  float64 // a statement marking with its object beside it
	NoDescription   float64 // description absent
	NullDescription float64 // description null
	Labels          float64 // labels of the portal's vocabularies
	ObjectRefs      float64 // object_refs on an object that is no container
	Dangling        float64 // a relationship to an object that never comes
	Refused         float64 // per profile: a relationship type that OpenCTI refuses for its ends
	ErrorElements   float64 // per item: an element with "error" among the objects
	UnknownTypes    float64 // per item: an object of a type that OpenCTI lacks
	Shuffled        float64 // per item: objects in any order, relationships before their ends
	EmptyBundles    float64 // per item: no object at all
}

// RealisticQuirks are the shares used unless told otherwise.
func RealisticQuirks() Quirks {
	return Quirks{
		NoAuthor: 0.7, NoMarking: 0.5, UnknownMarking: 0.03, ShippedMarking: 0.05, NoDescription: 0.1,
		NullDescription: 0.03, Labels: 0.9, ObjectRefs: 0.3, Dangling: 0.02, Refused: 0.1, ErrorElements: 0.03,
		UnknownTypes: 0.02, Shuffled: 0.5, EmptyBundles: 0.01,
	}
}

// Generated makes its items when they are asked for; it remembers only what changed.
type Generated struct {
	opt Options

	mu      sync.RWMutex
	shelves map[Dataset]*shelf
}

// NewGenerated prepares a body of generated items.
func NewGenerated(o Options) *Generated {
	if o.Span == 0 {
		o.Span = 20 * 24 * time.Hour
	}
	g := &Generated{opt: o, shelves: map[Dataset]*shelf{}}
	for d, n := range map[Dataset]int{Profiles: o.Profiles, Alerts: o.Alerts, Reports: o.Reports, IOCs: o.IOCs} {
		s := &shelf{
			initial: n, from: o.Start.UTC().Add(-o.Span), span: o.Span, precision: time.Millisecond,
			changed: map[int]change{}, gone: map[int]bool{},
		}
		if d == IOCs {
			s.tieEvery, s.tieSize = max(o.TieEvery, o.TieSize), o.TieSize
			if o.SubMillisecond {
				s.precision = time.Microsecond
			}
		}
		g.shelves[d] = s
	}
	return g
}

// Count is how many items d has.
func (g *Generated) Count(d Dataset) int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	s := g.shelves[d]
	return s.count() - len(s.gone)
}

// Earliest is the time of the oldest initial item.
func (g *Generated) Earliest() time.Time { return g.opt.Start.UTC().Add(-g.opt.Span) }

// Entries are the rows of d.
func (g *Generated) Entries(d Dataset) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		g.mu.RLock()
		rows := make([]Entry, 0, g.shelves[d].count())
		for id := range g.shelves[d].ids() {
			s := g.shelves[d]
			updated, _ := s.updated(id - 1)
			rows = append(rows, Entry{
				ID: id, Title: g.title(d, id-1), Kind: g.kind(d, id-1), Created: s.created(id - 1), Updated: s.listed(id - 1), Touched: updated,
			})
		}
		g.mu.RUnlock()
		for _, e := range rows {
			if !yield(e) {
				return
			}
		}
	}
}

// Item is the objects of one item.
func (g *Generated) Item(d Dataset, id int) ([]json.RawMessage, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	s, ok := g.shelves[d]
	if !ok || !s.has(id) {
		return nil, false
	}
	b := g.build(d, id-1)
	out := make([]json.RawMessage, len(b.objects))
	for i, o := range b.objects {
		out[i], _ = json.Marshal(o) // maps, strings and numbers only
	}
	return out, true
}

// Publish adds n items, a millisecond apart.
func (g *Generated) Publish(d Dataset, n int, at time.Time) []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shelves[d] == nil {
		return nil
	}
	ids := make([]int, 0, n)
	for i := range n {
		at := at.UTC().Truncate(time.Millisecond).Add(time.Duration(i) * time.Millisecond)
		ids = append(ids, g.shelves[d].publish(at))
	}
	return ids
}

// Republish changes items, a millisecond apart. An insignificant change does
// not bring them into lists again.
func (g *Generated) Republish(d Dataset, ids []int, at time.Time, significant bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.shelves[d]
	if s == nil {
		return
	}
	for i, id := range ids {
		s.republish(id, at.UTC().Truncate(time.Millisecond).Add(time.Duration(i)*time.Millisecond), significant)
	}
}

// Withdraw removes items.
func (g *Generated) Withdraw(d Dataset, ids []int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.shelves[d]; s != nil {
		for _, id := range ids {
			s.withdraw(id)
		}
	}
}

// Objects are the IOCs for "indicator", and the main objects of the profiles
// for the types that profiles have.
func (g *Generated) Objects(stixType string) Sequence {
	switch stixType {
	case "indicator":
		return iocs{g}
	case "threat-actor", "malware", "campaign", "incident":
		return g.profilesOf(stixType)
	}
	return empty{}
}

// iocs is the sequence of IOCs: the initial ones that did not change, then
// whatever came or changed later.
type iocs struct{ g *Generated }

func (q iocs) shelf() *shelf { return q.g.shelves[IOCs] }

func (q iocs) Len() int {
	q.g.mu.RLock()
	defer q.g.mu.RUnlock()
	return q.shelf().length()
}

func (q iocs) Time(i int) time.Time {
	q.g.mu.RLock()
	defer q.g.mu.RUnlock()
	_, at, _ := q.shelf().at(i)
	return at
}

func (q iocs) Object(i int) json.RawMessage {
	q.g.mu.RLock()
	defer q.g.mu.RUnlock()
	index, at, version := q.shelf().at(i)
	return q.g.indicator(index, at, version)
}

// profilesOf is a snapshot: small beside the IOCs.
func (g *Generated) profilesOf(stixType string) Sequence {
	g.mu.RLock()
	defer g.mu.RUnlock()
	var list fixed
	s := g.shelves[Profiles]
	for id := range s.ids() {
		if kindTypes[g.kind(Profiles, id-1)] != stixType {
			continue
		}
		at, _ := s.updated(id - 1)
		raw, _ := json.Marshal(g.mainObject(id - 1))
		list = append(list, timed{at, raw})
	}
	slices.SortStableFunc(list, func(a, b timed) int { return a.at.Compare(b.at) })
	return list
}

type timed struct {
	at  time.Time
	raw json.RawMessage
}

// fixed is a sequence held in memory.
type fixed []timed

func (f fixed) Len() int                     { return len(f) }
func (f fixed) Time(i int) time.Time         { return f[i].at }
func (f fixed) Object(i int) json.RawMessage { return f[i].raw }
