package pipeline

import (
	"cmp"
	"slices"
	"time"

	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// mapNeed says what an object is without one of its references. The order is
// that in which references are watched: whoever watches an entry of a list has
// everything else that it needs.
type mapNeed uint8

const (
	needEssential mapNeed = iota // nothing: an end of a relationship, what a sighting is about
	needWitness                  // who saw it: a list of which one entry must stay
	needSingle                   // a property the poorer
	needAuthor                   // anonymous: it gets the default author
	needEntry                    // an entry of a list the poorer
)

// mapRef is a reference that must be settled before its object goes out.
type mapRef struct {
	stix.Ref
	need mapNeed
}

// mapOrigin says where the copy in hand came from.
type mapOrigin uint8

const (
	fromRecord mapOrigin = iota
	fromWaiting
	fromHeld
)

// mapState is what became of an item in a batch.
type mapState uint8

const (
	itemFresh   mapState = iota // not looked at yet
	itemPending                 // watches an id
	itemOut                     // goes out with this batch
	itemGone                    // skipped, held or dead
)

// mapItem is one object on its way through a batch.
type mapItem struct {
	obj      *stix.Object
	id       string
	modified time.Time // as ids keeps it, in milliseconds
	props    int       // how rich the copy is, before anything is cut from it
	refs     []mapRef  // without standard markings and the default author
	next     int       // the references before it were settled when last looked at
	looked   int       // references in a row, up to next, that were found settled
	watch    string    // of a pending item: the id it waits for
	kind     string    // of an item that is out: as OpenCTI's relationship table names it
	hash     [16]byte  // of an item that is out
	size     int       // bytes of JSON when it came in

	origin  mapOrigin
	dataset spool.Dataset
	source  string
	seq     uint64
	since   time.Time // when it was first held; zero if it never was
	again   bool      // a whole copy of an object that was published without some references
	state   mapState
	changed bool // what waits on disk differs from this

	waits bool          // a copy of this id waits on disk in this run
	held  *spool.Object // the held copy of this id on disk, if it is known
	whole *spool.Object // to be held: the object, or a copy that goes out again when what it lacks comes
	isCut bool          // with whole: obj goes out without some references
}

// newMapItem takes an object as it came out of the mapper.
func newMapItem(o *stix.Object, author string) *mapItem {
	return &mapItem{
		obj: o, id: o.ID(), modified: o.Modified().Truncate(time.Millisecond),
		props: o.Len(), refs: mapRefs(o, author),
	}
}

// mapRefs lists what must be settled before o goes out, in order of need. The
// default author and the standard markings are sent with whatever uses them.
func mapRefs(o *stix.Object, author string) []mapRef {
	all := o.Refs()
	refs := make([]mapRef, 0, len(all))
	for _, r := range all {
		if r.ID == author || stix.StandardTLP(r.ID) {
			continue
		}
		refs = append(refs, mapRef{r, mapNeedOf(o.Type(), r)})
	}
	slices.SortStableFunc(refs, func(a, b mapRef) int { return cmp.Compare(a.need, b.need) })
	return refs
}

func refIDs(refs []mapRef) []string {
	ids := make([]string, len(refs))
	for i, r := range refs {
		ids[i] = r.ID
	}
	return ids
}

func mapNeedOf(typ string, r stix.Ref) mapNeed {
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

// watched returns the reference by which the item watches, and whether there is one.
func (it *mapItem) watched() (mapRef, bool) {
	for _, r := range it.refs {
		if r.ID == it.watch {
			return r, true
		}
	}
	return mapRef{}, false
}

// better compares two copies of one object: the newer wins, then the richer,
// then the one with the greater hash. 0 means that they are equal.
func (it *mapItem) better(o *mapItem) int {
	if c := it.modified.Compare(o.modified); c != 0 {
		return c
	}
	if c := cmp.Compare(it.props, o.props); c != 0 {
		return c
	}
	a, b := it.obj.Hash(), o.obj.Hash()
	return slices.Compare(a[:], b[:])
}
