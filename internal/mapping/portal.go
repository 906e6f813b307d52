package mapping

import (
	"encoding/json"
	"net/url"
	"strings"

	"threatmatch-connector/internal/stix"
)

// findMain finds the object that the item is about; main is "" in a page of
// IOCs, and where objects come back that were mapped before, each for itself. The answer has its objects in any order, linked items among them: so it
// is the one that ThreatMatch gave the item's id, else the one with the most
// associations, of equal ones the first.
func (r *record) findMain() {
	if r.src.Dataset == "iocs" || r.src.Mapped {
		return
	}
	weight := map[string]int{}
	for _, o := range r.objects {
		switch refs := o.Strings("object_refs"); {
		case o.Type() == "relationship":
			weight[o.String("source_ref")] += 2 // rather the source: an actor uses a tool
			weight[o.String("target_ref")]++
		case r.mainType(o.Type()):
			weight[o.ID()] += 2 * len(refs)
		}
	}
	most := -1
	for _, o := range r.objects {
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

// mainObject returns what findMain found, nil where there is none or a filter
// took it out.
func (r *record) mainObject() *stix.Object {
	i, ok := r.byID[r.main]
	if !ok {
		return nil
	}
	return r.objects[i]
}

// mainType tells the types of what an item of the dataset can be about.
func (r *record) mainType(typ string) bool {
	if r.src.Dataset == "profiles" {
		return profileTypes[typ]
	}
	return typ == "report"
}

// profileTypes are those of the objects that a profile can be about.
var profileTypes = nameSet("threat-actor intrusion-set malware tool campaign incident attack-pattern vulnerability infrastructure")

// ownReference returns the place of the reference that gives an object the id
// of the item, -1 for none, and all references.
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

// portal adds where the portal shows the item to the object that it is about.
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
