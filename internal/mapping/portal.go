package mapping

import (
	"encoding/json"
	"net/url"
	"strings"

	"threatmatch-connector/internal/stix"
)

// findMain finds the object that the item is about. main is "" for a page of IOCs,
// and for objects that were mapped before and come back one by one. The response
// has its objects in any order, linked items among them: so it is the one with
// ThreatMatch's id of the item, else the one with the most associations, the first
// if several are equal.
func (r *record) findMain() {
	if r.src.Dataset == "iocs" || r.src.Mapped {
		return
	}
	weight := map[string]int{}
	for _, o := range r.Objects {
		switch refs := o.Strings("object_refs"); {
		case o.Type() == "relationship":
			weight[o.String("source_ref")] += 2 // prefer the source: an actor uses a tool
			weight[o.String("target_ref")]++
		case r.mainType(o.Type()):
			weight[o.ID()] += 2 * len(refs)
		}
	}
	most := -1
	for _, o := range r.Objects {
		if !r.mainType(o.Type()) {
			continue
		}
		if i, _ := r.ownReference(o); i >= 0 {
			r.main = o.ID()
			return
		}
		if w := weight[o.ID()]; w > most {
			r.main, most = o.ID(), w
		}
	}
}

// mainObject returns what findMain found, nil if there is none or a filter removed
// it.
func (r *record) mainObject() *stix.Object {
	i, ok := r.byID[r.main]
	if !ok {
		return nil
	}
	return r.Objects[i]
}

// mainType reports whether an item of the dataset can be about an object of this
// type.
func (r *record) mainType(typ string) bool {
	if r.src.Dataset == "profiles" {
		return profileTypes[typ]
	}
	return typ == "report"
}

// profileTypes are the types that a profile can be about.
var profileTypes = nameSet("threat-actor intrusion-set malware tool campaign incident attack-pattern vulnerability infrastructure")

// ownReference returns the position of the reference with the item's id, -1 if
// there is none, and all references.
func (r *record) ownReference(o *stix.Object) (place int, list []json.RawMessage) {
	place = -1
	raw, _ := o.Get("external_references")
	for e := range stix.Elements(raw) {
		if place < 0 && r.src.ID != "" && strings.EqualFold(memberText(e, "source_name"), "ThreatMatch") && memberText(e, "external_id") == r.src.ID {
			place = len(list)
		}
		list = append(list, e)
	}
	return place, list
}

// portal adds the item's address in the portal to the object that it is about.
func (r *record) portal() {
	o := r.mainObject()
	if o == nil || r.src.ID == "" {
		return
	}
	template := map[string]string{"profiles": r.m.choices.ProfileLink, "alerts": r.m.choices.AlertLink}[r.src.Dataset]
	if r.src.Dataset == "reports" && r.m.settings.URL != "" {
		template = strings.TrimSuffix(r.m.settings.URL, "/") + "/app/reports/view/{id}"
	}
	if template == "" {
		return
	}
	address := strings.ReplaceAll(template, "{id}", url.PathEscape(r.src.ID))
	place, list := r.ownReference(o)
	for _, e := range list {
		if memberText(e, "url") == address {
			return
		}
	}
	link, _ := json.Marshal(map[string]string{"source_name": "ThreatMatch", "external_id": r.src.ID, "url": address})
	if place >= 0 && memberText(list[place], "url") == "" && memberText(list[place], "description") == "" {
		list[place] = link
	} else {
		list = append(list, link)
	}
	o.Set("external_references", list)
	r.count("portal_links", 1)
}
