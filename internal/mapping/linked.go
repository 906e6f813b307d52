package mapping

import (
	"net/url"
	"strings"

	"threatmatch-connector/internal/stix"
)

// profileTypeIDs are the portal's numbers for what a profile can be about.
var profileTypeIDs = map[string]string{"1": "threat-actor", "2": "location", "3": "incident", "4": "campaign", "5": "malware"}

// profileWords name the same in typeSlug and typeName.
var profileWords = []struct{ word, typ string }{
	{"actor", "threat-actor"}, {"country", "location"}, {"incident", "incident"}, {"operation", "campaign"},
	{"campaign", "campaign"}, {"malware", "malware"}, {"tool", "tool"},
}

// profileType returns the STIX type of a linked profile, "" if it is unknown.
func profileType(raw []byte) string {
	for _, key := range [...]string{"typeSlug", "typeName"} {
		said := strings.ToLower(memberText(raw, key))
		for _, w := range profileWords {
			if strings.Contains(said, w.word) {
				return w.typ
			}
		}
	}
	id, _ := stix.Member(raw, "type_id")
	return profileTypeIDs[loose(id)]
}

// linkPortal relates the item's main object to the profiles that the portal links,
// as associated_content of the response would, and adds related reports. It runs
// after the markings are read: whoever may not see the object may not see what it
// is linked to.
func (r *record) linkPortal(given *stix.Object) {
	i, ok := r.byID[given.ID()]
	if !ok {
		return
	}
	main := r.Objects[i]
	raw, _ := stix.Member(r.details, "linked_profiles")
	names, pairs := map[[2]string]string{}, map[[2]string]bool{}
	for _, o := range r.Objects {
		if name := o.String("name"); name != "" {
			names[[2]string{roleOf(o.Type()), fold(name)}] = o.ID()
		}
		if o.Type() == "relationship" {
			pairs[[2]string{o.String("source_ref"), o.String("target_ref")}] = true
		}
	}
	var contents []string
	n := 0
	for profile := range listed(raw) {
		if n++; n > stix.MaxAssociated {
			r.count("details_unread", 1, "linked_profiles")
			continue
		}
		title, typ := strings.TrimSpace(r.m.markup.Line(memberText(profile, "title"))), profileType(profile)
		if title == "" || typ == "" {
			r.count("details_unread", 1, "linked_profiles")
			continue
		}
		key := [2]string{roleOf(typ), fold(title)}
		id, known := names[key]
		if !known {
			if id = r.linkedProfile(main, typ, title); id == "" {
				r.count("details_unread", 1, "linked_profiles")
				continue
			}
			names[key] = id
		}
		if id == main.ID() || pairs[[2]string{main.ID(), id}] || pairs[[2]string{id, main.ID()}] {
			continue
		}
		pairs[[2]string{main.ID(), id}] = true
		if stix.Container(main.Type()) {
			contents = append(contents, id)
		} else if r.include(newLink(main, associatedContent, main.ID(), id)) != "" {
			r.count("details_read", 1, "linked_profiles")
		}
	}
	r.count("details_read", main.AddRefs("object_refs", contents), "linked_profiles")
	r.relatedReports(main)
}

// roleOf returns the type under which OpenCTI may have the same thing.
func roleOf(typ string) string {
	switch typ {
	case "threat-actor":
		return "intrusion-set"
	case "tool": // the portal has "Malware & Tools"
		return "malware"
	}
	return typ
}

// linkedProfile makes the object of a profile that the response lacks, by name, as
// OpenCTI finds it. It returns the object's id, "" if there is none.
func (r *record) linkedProfile(main *stix.Object, typ, title string) string {
	if typ == "location" {
		p := r.m.places.find(title, true)
		if p == nil {
			return ""
		}
		return r.include(p.object())
	}
	o := stix.New(typ, stix.NamedID(typ, title))
	o.Copy(main, "created_by_ref", "created", "modified", "object_marking_refs")
	o.Set("name", title)
	return r.include(o)
}

// include converts an object and adds it to those of the response.
func (r *record) include(o *stix.Object) string {
	r.including = true
	defer func() { r.including = false }()
	if lack, ok := r.convert(o); !ok || lack != "" {
		return ""
	}
	r.make(o)
	return o.ID()
}

// relatedReports adds the portal's addresses of the reports that it says are
// related. It only gives their numbers, from which no STIX id can be derived.
func (r *record) relatedReports(main *stix.Object) {
	raw, _ := stix.Member(r.details, "related")
	if len(raw) == 0 || raw[0] != '[' || r.src.Dataset != "reports" || r.m.settings.URL == "" {
		return
	}
	have := map[string]bool{}
	var list []any
	references, _ := main.Get("external_references")
	for e := range stix.Elements(references) {
		have[memberText(e, "url")] = true
		list = append(list, e)
	}
	added := 0
	for e := range stix.Elements(raw) {
		id := loose(e)
		if e[0] == '{' {
			member, _ := stix.Member(e, "id")
			id = loose(member)
		}
		address := strings.TrimSuffix(r.m.settings.URL, "/") + "/app/reports/view/" + url.PathEscape(id)
		if id == "" || id == r.src.ID || have[address] {
			continue
		}
		have[address] = true
		added++
		list = append(list, map[string]string{"source_name": "ThreatMatch", "external_id": id, "url": address, "description": "Related report"})
	}
	if added > 0 {
		main.Set("external_references", list)
		r.count("details_read", added, "related")
	}
}
