package mapping

import "strings"

// Counts says how often something was done, by name. A name may have a detail after
// a colon ("type_unknown:x-foo").
type Counts map[string]int64

// Effect is what a count means for the data.
type Effect string

// A count of objects that are not sent; of properties, list entries or references
// removed from an object that is; of changes; of additions.
const (
	Left    Effect = "left out"
	Removed Effect = "removed"
	Changed Effect = "changed"
	Added   Effect = "added"
)

// CountName explains one name of Counts.
type CountName struct {
	Name   string // without the detail after a colon
	Effect Effect
	Text   string
}

// CountTable returns every name that Map and Settle count under.
func CountTable() []CountName {
	return []CountName{
		{"type_unknown", Left, "objects of a type that OpenCTI does not know, by type"},
		{"relationship_end_unknown", Left, "relationships and sightings of objects of a type that OpenCTI does not know"},
		{"tlp_object_standard", Left, "TLP marking objects that the connector sends itself"},
		{"duplicates_merged", Left, "copies of an object in the same response, which are sent as one"},
		{"filtered", Left, "objects excluded by a filter or by tlp_max, by filter; ends: relationships and sightings of such objects"},
		{"references_filtered", Removed, "references to objects excluded by a filter or by tlp_max"},
		{"nulls_removed", Removed, "nulls, empty lists and empty objects"},
		{"references_unknown_type", Removed, "references to objects of a type that OpenCTI does not know"},
		{"references_invalid", Removed, "references that are not a STIX id"},
		{"references_misplaced", Removed, "places of a sighting that are neither an identity nor a location, and authors that are not an identity"},
		{"references_to_self", Removed, "references of an object to itself"},
		{"references_duplicate", Removed, "repeated references, external references and kill chain phases, and those without a key"},
		{"platform_fields", Removed, "properties that only the platform may set, by name"},
		{"selectors_removed", Removed, "selectors of granular markings whose property was removed"},
		{"values_invalid", Removed, "values of a kind that OpenCTI refuses, by property"},
		{"addresses_unsafe", Removed, "addresses in references that would run something or read one of the reader's files"},
		{"files_removed", Removed, "attached files of a type that is not allowed"},
		{"times_reversed", Removed, "ends of periods that are before their start"},
		{"labels_dropped", Removed, "labels without knowledge that OpenCTI has a place for, or that are not wanted"},
		{"labels_unread", Removed, "unknown parts of labels that name their topic, by topic"},
		{"actor_fields_dropped", Removed, "properties of threat actors that intrusion sets lack, by name"},
		{"object_refs_dropped", Removed, "associations with objects that cannot be related, such as relationships"},
		{"object_refs_known", Removed, "associations that a container or a relationship of the same response already contains"},
		{"bundles_unpacked", Changed, "bundles inside a response, whose objects were used"},
		{"ids_rewritten", Changed, "references whose id OpenCTI does not accept as it is"},
		{"actors_converted", Changed, "threat actors that became intrusion sets"},
		{"actor_ids_rewritten", Changed, "references to threat actors that became references to intrusion sets"},
		{"actor_located_at", Changed, "located-at of threat actors that became originates-from of intrusion sets"},
		{"associated_content", Changed, "associated_content relationships that got a STIX type, by type"},
		{"relationship_translated", Changed, "relationships that OpenCTI refuses between their ends and that got an equivalent type, by original type"},
		{"relationship_refused", Changed, "relationships that OpenCTI refuses between their ends and that became related-to, by original type"},
		{"relationship_type_spelling", Changed, "relationship types that were spelled differently"},
		{"html_converted", Changed, "texts and names with HTML in them"},
		{"content_moved", Changed, "report texts that became the content of the report in OpenCTI"},
		{"content_described", Changed, "full texts of objects other than reports, moved into their description"},
		{"tlp_id_rewritten", Changed, "objects whose STIX TLP 2.0 marking became OpenCTI's"},
		{"tlp_lifted", Changed, "objects with a marking only in a label, in a property or on a part"},
		{"markings_unreadable", Changed, "markings that cannot be read, and count as TLP:RED"},
		{"values_repaired", Changed, "values that were brought into the form that OpenCTI reads, by property"},
		{"names_joined", Changed, "names and ids brought into the form by which OpenCTI merges objects, by property"},
		{"labels_mapped", Changed, "labels that became knowledge, by kind"},
		{"reference_dates_moved", Changed, "references of relationships whose dates OpenCTI would take as the time of the relationship"},
		{"defaults", Added, "properties that OpenCTI or STIX requires and the source lacks, by property"},
		{"details_unread", Removed, "details of the portal that match no object of the response, are not published, or have no place in OpenCTI, by property"},
		{"details_read", Added, "values that details of the portal added, by property"},
		{"portal_links", Added, "addresses at which the portal shows the item"},
		{"object_refs_related", Added, "relationships made from associations of objects that are not containers, by type"},
		{"generated", Added, "objects made from labels and associations, by type"},
	}
}

// add adds n to a name of CountTable, with an optional detail.
func (c Counts) add(name string, n int64, detail ...string) {
	if n == 0 {
		return
	}
	for _, d := range detail {
		name += ":" + shortName(d)
	}
	c[name] += n
}

// shortName keeps free text of the source from becoming the name of a count.
func shortName(s string) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(s) > 64 || strings.Trim(s, letters) != "" {
		return "other"
	}
	return s
}

func (r *record) count(name string, n int, detail ...string) { r.Counts.add(name, int64(n), detail...) }

const (
	maxNotices = 20  // per name and body; the count includes the others
	maxNotice  = 200 // bytes of a value
)

// tell adds a notice about a value that an operator should see.
func (r *record) tell(object, name, value string) {
	if r.told[name]++; r.told[name] > maxNotices {
		return
	}
	if len(value) > maxNotice {
		value = strings.ToValidUTF8(value[:maxNotice], "")
	}
	r.Notices = append(r.Notices, Notice{Name: name, Object: object, Value: value})
}
