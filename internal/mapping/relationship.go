package mapping

import "threatmatch-connector/internal/stix"

const relatedTo = "related-to"

// relate makes rel a related-to relationship and keeps the original type in
// the description.
func relate(rel *stix.Object, original string) {
	rel.Set("relationship_type", relatedTo)
	note := "Original relationship type: " + original
	if d := rel.String("description"); d == "" {
		rel.Set("description", note)
	} else {
		rel.Set("description", d+"\n\n"+note)
	}
}

func swapEnds(rel *stix.Object) {
	source, target := rel.String("source_ref"), rel.String("target_ref")
	rel.Set("source_ref", target)
	rel.Set("target_ref", source)
}

// newLink makes a relationship that a source object implies. It has the owner's
// author, markings and dates, and OpenCTI's deterministic id.
func newLink(owner *stix.Object, relation, source, target string) *stix.Object {
	o := stix.New("relationship", stix.Link{Type: relation, Source: source, Target: target}.ID())
	o.Copy(owner, "created_by_ref", "created", "modified", "object_marking_refs")
	o.Set("relationship_type", relation)
	o.Set("source_ref", source)
	o.Set("target_ref", target)
	return o
}
