package inspect

import (
	"cmp"
	"slices"
	"time"

	"threatmatch-connector/spool"
)

// Unsettled is what fails, is parked or is a dead letter, grouped by reason.
type Unsettled struct {
	Groups []Group `json:"groups"`
	Looked int     `json:"looked"` // entries counted in the groups
	All    int64   `json:"all"`    // all entries; more than Looked in a very large spool
}

// Group is the entries of one kind with the same reason.
type Group struct {
	Kind    string    `json:"kind"` // KindFailing, KindParked or KindDead
	Stage   string    `json:"stage"`
	Class   string    `json:"class"`
	Dataset string    `json:"dataset,omitempty"`
	Count   int       `json:"count"`
	Tries   int       `json:"tries"`         // highest number of a single entry
	Since   time.Time `json:"since"`         // of the oldest
	Next    time.Time `json:"next,omitzero"` // the earliest next try; zero: in the next run, or none
	First   []Case    `json:"first"`         // at most 20
}

// Case is one entry of a group.
type Case struct {
	Key   string    `json:"key"`          // as retry and drop take it; for a failing request its title
	Of    string    `json:"of,omitempty"` // what a dead letter is about: a STIX id, or dataset/id
	Tries int       `json:"tries"`
	Since time.Time `json:"since"`
	Next  time.Time `json:"next,omitzero"`
	Error string    `json:"error,omitempty"` // may quote a response
}

// The kinds of groups, in the order in which they are listed.
const (
	KindFailing = "failing" // retried in its run
	KindParked  = "parked"  // retried in the next run
	KindDead    = "dead"    // given up until an operator acts
)

const (
	mostUnsettled = 10_000 // per kind
	mostFirst     = 20
)

// Unsettled implements Inspector.
func (d direct) Unsettled() (Unsettled, error) {
	u := Unsettled{Groups: []Group{}}
	failing, err := d.Failing(mostUnsettled)
	if err != nil {
		return u, err
	}
	u.addFailing(failing)
	parked, err := d.Spool.ParkedTasks(mostUnsettled)
	if err != nil {
		return u, err
	}
	for _, t := range parked {
		u.add(Group{Kind: KindParked, Stage: string(spool.StageFetch), Class: t.LastClass, Dataset: string(t.Dataset)},
			Case{Key: t.Title(), Tries: t.Tries + t.Waived, Since: t.Parked, Error: t.LastError})
	}
	if err := d.addDead(&u); err != nil {
		return u, err
	}
	stats, err := d.Spool.Stats()
	u.All = max(int64(len(failing))+stats.Parked+stats.Dead, int64(u.Looked))
	slices.SortStableFunc(u.Groups, func(a, b Group) int {
		kinds := []string{KindFailing, KindParked, KindDead}
		return cmp.Or(slices.Index(kinds, a.Kind)-slices.Index(kinds, b.Kind), b.Count-a.Count)
	})
	return u, err
}

func (u *Unsettled) addFailing(failing []Failing) {
	for _, f := range failing {
		u.add(Group{Kind: KindFailing, Stage: string(spool.StageFetch), Class: f.Class, Dataset: f.Dataset},
			Case{Key: f.Request, Tries: f.Tries, Since: f.Since, Next: f.Next, Error: f.Error})
	}
}

// FailingGroups groups the failing requests of a status, in the order in which they
// come.
func (s Status) FailingGroups() []Group {
	var u Unsettled
	u.addFailing(s.Failing)
	return u.Groups
}

func (d direct) addDead(u *Unsettled) error {
	const page = 1000
	for after, n := uint64(0), 0; n < mostUnsettled; {
		letters, err := d.Spool.OpenDeadLetters(after, page)
		if err != nil || len(letters) == 0 {
			return err
		}
		for _, l := range letters {
			v := deadOf(l)
			u.add(Group{Kind: KindDead, Stage: v.Stage, Class: v.Class, Dataset: v.Dataset},
				Case{Key: v.Name(), Of: v.Of(), Tries: v.Attempts, Since: v.First, Error: v.Error})
			after = l.Key
		}
		n += len(letters)
	}
	return nil
}

// add counts an entry in its group, which g identifies.
func (u *Unsettled) add(g Group, e Case) {
	u.Looked++
	i := slices.IndexFunc(u.Groups, func(o Group) bool {
		return o.Kind == g.Kind && o.Stage == g.Stage && o.Class == g.Class && o.Dataset == g.Dataset
	})
	if i < 0 {
		g.Since, g.Next = e.Since, e.Next
		u.Groups = append(u.Groups, g)
		i = len(u.Groups) - 1
	}
	o := &u.Groups[i]
	o.Count++
	o.Tries = max(o.Tries, e.Tries)
	if e.Since.Before(o.Since) {
		o.Since = e.Since
	}
	if e.Next.Before(o.Next) {
		o.Next = e.Next
	}
	if len(o.First) < mostFirst {
		o.First = append(o.First, e)
	}
}
