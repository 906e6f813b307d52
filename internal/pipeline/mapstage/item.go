package mapstage

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// need says what an object becomes without one of its references. References are
// watched in this order: an object that watches an entry of a list has everything
// else that it needs.
type need uint8

const (
	needEssential need = iota // nothing: an end of a relationship, what a sighting is about
	needWitness               // who saw it: a list of which one entry must stay
	needSingle                // it lacks one property
	needAuthor                // anonymous: it gets the default author
	needEntry                 // it lacks one entry of a list
)

// reference is a reference that must be settled before its object is sent.
type reference struct {
	stix.Ref
	need need
}

// origin says where the copy at hand came from.
type origin uint8

const (
	fromRecord origin = iota
	fromWaiting
	fromHeld
)

// itemState is the state of an item in a batch.
type itemState uint8

const (
	itemFresh   itemState = iota // not checked yet
	itemPending                  // watches an id
	itemOut                      // is sent with this batch
	itemGone                     // skipped, held or dead
)

// item is one object on its way through a batch.
type item struct {
	obj    *stix.Object
	id     string
	refs   []reference // without standard markings and the default author
	next   int         // the references before it were settled when last checked
	looked int         // references in a row, up to next, found settled
	watch  string      // of a pending item: the id it waits for
	kind   string      // of an item that is sent: its kind in OpenCTI's relationship table
	entry  *spool.ID   // the new entry for ids
	size   int         // bytes of JSON on arrival

	origin  origin
	dataset spool.Dataset
	source  string
	seq     uint64
	since   time.Time // when it was first held; zero if it never was
	again   bool      // a whole copy of an object that was published without some references
	anew    bool      // an operator asked for it: what earlier runs sent is sent again
	state   itemState
	changed bool // the copy that waits on disk differs from this

	waits bool          // a copy of this id waits on disk in this run
	held  *spool.Object // the held copy of this id on disk, if known
	whole *spool.Object // to be held: the object, or a copy to be sent again when what it lacks arrives
	isCut bool          // with whole: obj is sent without some references
}

// newItem makes an item of an object from the mapper, with its references.
func newItem(o *stix.Object, refs []stix.Ref, author string) *item {
	return &item{obj: o, id: o.ID(), refs: referencesOf(o.Type(), refs, author)}
}

// referencesOf returns the references of an object that must be settled before it
// is sent, in order of need. The default author and the standard markings are sent
// along with whatever uses them.
func referencesOf(typ string, all []stix.Ref, author string) []reference {
	refs := make([]reference, 0, len(all))
	for _, r := range all {
		if r.ID == author || stix.StandardTLP(r.ID) {
			continue
		}
		refs = append(refs, reference{r, needOf(typ, r)})
	}
	slices.SortStableFunc(refs, func(a, b reference) int { return cmp.Compare(a.need, b.need) })
	return refs
}

func refIDs(refs []reference) []string {
	ids := make([]string, len(refs))
	for i, r := range refs {
		ids[i] = r.ID
	}
	return ids
}

func needOf(typ string, r stix.Ref) need {
	switch {
	case stix.Essential(typ, r.Key) && r.List:
		return needWitness
	case stix.Essential(typ, r.Key):
		return needEssential
	case r.List:
		return needEntry
	case r.Key == "created_by_ref" || r.Key == "x_opencti_created_by_ref":
		return needAuthor
	}
	return needSingle
}

// watched returns what the item becomes without the reference that it watches.
func (it *item) watched() need {
	i := slices.IndexFunc(it.refs, func(r reference) bool { return r.ID == it.watch })
	if i < 0 {
		return needEssential
	}
	return it.refs[i].need
}

// merge adds the content of another copy of the object, unless they are too much together;
// see [stix.MergeBounded].
func (it *item) merge(other *item, author string) error {
	both, err := stix.MergeBounded(it.obj, other.obj)
	if err != nil {
		return fmt.Errorf("with other copies of it that are not sent yet it has %w", err)
	}
	it.obj = both
	it.refs, it.next = referencesOf(it.obj.Type(), it.obj.Refs(), author), 0
	it.again, it.anew = it.again || other.again, it.anew || other.anew
	return nil
}
