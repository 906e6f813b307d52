package mapping

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/stix"
)

// Source names the record that a body belongs to.
type Source struct {
	Dataset string // profiles, alerts, reports, iocs
	ID      string // ThreatMatch's id of the item or the page; with "/edit" appended, the body also has the portal's details
	// Fetched is when the body was received, zero if unknown. Objects that claim a
	// later modification count as older; see stix.Object.Distrust.
	Fetched time.Time
	// Mapped means that the body's objects went through Map before. Author and
	// markings equal to the defaults count as absent, so that they replace nothing
	// in a merge.
	Mapped bool
	// SetIDs is what Result.SetIDs said for earlier responses.
	SetIDs map[string]string
}

// Result is the content of one body.
type Result struct {
	// Objects are ready to be sent, apart from what Settle, MarkUnread and
	// EnsureAuthor decide. They are in source order, each id once, followed by what
	// was made of labels and associations. The author and the standard markings
	// that they refer to are not included; see Author and Marking.
	Objects []*stix.Object
	Dead    []Dead
	// Unread are times that could not be read and were removed: the object's id,
	// the property and the value, truncated to 200 bytes.
	Unread []string
	// Notices are what an operator should look at, besides the counts: some values
	// of each name, not all.
	Notices []Notice
	// SetIDs maps ids of intrusion sets to the source object that uses them: an
	// intrusion set, or an actor that becomes one. If both have the same UUID, only
	// one can use the id; the other gets a derived one. To keep this stable from
	// response to response, the caller stores SetIDs, and calls Map again if an
	// earlier response said otherwise.
	SetIDs map[string]string
	Counts Counts
	// Filtered names, by id, the filter that took an object out.
	Filtered map[string]string
}

// Notice is a value of the source that could not be read as intended.
type Notice struct {
	Name   string // of CountTable
	Object string // the STIX id of the object that has it
	Value  string // at most 200 bytes of it
}

// record is the state of mapping one body.
type record struct {
	Result
	m         *Mapper
	src       Source
	byID      map[string]int             // positions in Objects
	made      int                        // Objects from this position on are made by us
	lacking   map[*stix.Object]lacking   // until copies are merged
	including bool                       // the object being converted is made by us, from converted ones
	links     map[stix.Link]bool         // relationships of the body, without times
	members   map[string]map[string]bool // of each container
	origins   map[string][]string        // places that relationships say an object is from
	told      map[string]int             // notices by name, including those not kept

	details     json.RawMessage         // what the portal says about the item; empty for nothing
	contents    []string                // what the labels of the current container add to it
	main        string                  // id of the object that the item is about
	paps        map[string]*stix.Object // PAP markings that labels name
	usesMarking bool                    // the default marking beside the TLP
	markings    map[string]definition   // by the ids of the body's marking definitions, in lower case
}

// Map maps the body of one response: a STIX bundle, or a page of objects. Every
// element of its objects is in the result, among the dead, or counted under a name
// of effect "left out". body is not kept, but Dead.Raw may share memory with it. The same
// source and body give the same result.
func (m *Mapper) Map(src Source, body []byte) Result {
	id, detailed := strings.CutSuffix(src.ID, detailsSuffix)
	src.ID = id
	r := &record{m: m, src: src, told: map[string]int{}, markings: map[string]definition{},
		lacking: map[*stix.Object]lacking{}, paps: map[string]*stix.Object{}}
	r.Counts, r.SetIDs = Counts{}, map[string]string{}
	elements := r.decode(body, detailed)
	main := r.detailed(elements)
	r.noteSets(elements)
	for _, e := range elements {
		if src.Mapped {
			m.Unfill(src.Dataset, e.object)
		}
		lack, ok := r.convert(e.object)
		if !ok {
			continue
		}
		if len(e.raw) > 4<<20 {
			e.object.Detach(1 << 20)
		}
		if lack != "" {
			r.lacking[e.object] = lacking{e.raw, lack}
		}
		if !src.Fetched.IsZero() {
			e.object.Distrust(src.Fetched)
		}
		r.Objects = append(r.Objects, e.object)
	}
	r.merge()
	if main != nil {
		r.linkPortal(main)
	}
	r.made = len(r.Objects)
	r.findMain()
	r.filter()
	r.portal()
	r.indexLinks()
	for _, o := range r.Objects[:r.made] {
		r.relateContents(o)
		r.learn(o)
		if r.contents != nil {
			o.AddRefs("object_refs", r.contents)
			r.contents = nil
		}
	}
	r.filterMade()
	for _, id := range slices.Sorted(maps.Keys(r.paps)) {
		r.make(r.paps[id])
	}
	if r.usesMarking {
		r.make(m.choices.marking.Clone())
	}
	for _, o := range r.Objects {
		r.count("references_duplicate", o.DedupeReferences())
		r.pruneSelectors(o)
	}
	for _, o := range r.Objects[r.made:] {
		r.count("generated", 1, o.Type())
	}
	if detailed { // the item's own response has dead-lettered the same elements
		r.Dead = slices.DeleteFunc(r.Dead, func(d Dead) bool { return d.Class != DeadBody })
	}
	return r.Result
}

// convert brings one object into the form OpenCTI accepts, independently of others.
// It returns false if the object is not sent, which it has then counted, and what
// the object lacks that OpenCTI requires, which another copy may have.
func (r *record) convert(o *stix.Object) (lack string, ok bool) {
	if !stix.Supported(o.Type()) {
		r.count("type_unknown", 1, o.Type())
		return "", false
	}
	if o.Type() == "marking-definition" {
		o.Set("id", strings.ToLower(o.ID()))
		if _, ok := stix.TLPByID(o.ID()); ok {
			r.count("tlp_object_standard", 1)
			return "", false
		}
	}
	r.count("nulls_removed", o.Clean())
	r.hoist(o)
	r.mark(o)
	r.canonicalRefs(o)
	r.dropPlatformFields(o)
	unread := r.repair(o)
	r.actor(o)
	if !r.references(o) {
		return "", false
	}
	r.relationship(o)
	r.texts(o)
	r.addresses(o)
	r.files(o)
	r.join(o)
	r.referenceDates(o)
	r.indicator(o)
	r.location(o)
	r.definition(o)
	r.defaults(o)
	r.dropReversed(o)
	r.complete(o)
	lack = missing(o)
	if lack != "" && len(unread) > 0 {
		lack += "; unreadable: " + strings.Join(unread, ", ")
	}
	return lack, true
}

// make adds an object of our own, unless there is one with its id.
func (r *record) make(o *stix.Object) bool {
	if _, ok := r.byID[o.ID()]; ok {
		return false
	}
	r.byID[o.ID()] = len(r.Objects)
	r.Objects = append(r.Objects, o)
	return true
}

// indexLinks records the relationships in the response, so that none is added
// twice.
func (r *record) indexLinks() {
	r.links = map[stix.Link]bool{}
	r.members = map[string]map[string]bool{}
	r.origins = map[string][]string{}
	for _, o := range r.Objects {
		switch {
		case o.Type() == "relationship":
			l := stix.Link{Type: o.String("relationship_type"), Source: o.String("source_ref"), Target: o.String("target_ref")}
			r.links[l] = true
			if typ, _ := stix.SplitID(l.Source); strings.HasPrefix(l.Target, "location--") && l.Type == originRelation(typ) &&
				l.Type != relatedTo {
				r.origins[l.Source] = append(r.origins[l.Source], l.Target)
			}
		case stix.Container(o.Type()):
			held := map[string]bool{}
			for _, id := range o.Strings("object_refs") {
				held[id] = true
			}
			r.members[o.ID()] = held
		}
	}
}

// link adds a relationship that owner implies, unless the response has it. It
// reports whether it was added.
func (r *record) link(owner *stix.Object, relation, source, target string) bool {
	l := stix.Link{Type: relation, Source: source, Target: target}
	if r.links[l] {
		return false
	}
	r.links[l] = true
	o := newLink(owner, relation, source, target)
	r.complete(o)
	return r.make(o)
}
