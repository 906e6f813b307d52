package mapping

import (
	"strings"

	"threatmatch-connector/internal/stix"
)

const associatedContent = "associated_content"

// associated is ThreatMatch's own definition of associated_content, which is not a
// STIX relationship type: by source and target, with "actor" for both threat actors
// and intrusion sets. Any other pair gets its natural type.
var associated = map[[2]string]struct {
	relation string
	swap     bool
}{
	{"actor", "campaign"}:   {"attributed-to", true},
	{"malware", "actor"}:    {"uses", true},
	{"malware", "campaign"}: {"uses", true},
	{"campaign", "actor"}:   {"attributed-to", false},
}

// relationship gives a relationship a type that exists in STIX.
func (r *record) relationship(o *stix.Object) {
	if o.Type() != "relationship" {
		return
	}
	given := o.String("relationship_type")
	if spelt := relationSpelling(given); spelt != given && spelt != "" {
		o.Set("relationship_type", spelt)
		r.count("relationship_type_spelling", 1)
		given = spelt
	}
	if given == associatedContent {
		r.associate(o)
	}
}

// relationSpelling is lower case with hyphens, as OpenCTI compares types, except
// for the one name that must stay as it is.
func relationSpelling(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if hyphens := strings.NewReplacer("_", "-", " ", "-").Replace(s); hyphens != "associated-content" {
		return hyphens
	}
	return associatedContent
}

func (r *record) associate(o *stix.Object) {
	way, ok := associated[[2]string{endRole(o, "source_ref"), endRole(o, "target_ref")}]
	if !ok {
		source, _ := stix.SplitID(o.String("source_ref"))
		target, _ := stix.SplitID(o.String("target_ref"))
		way.relation, way.swap = natural(source, target)
	}
	if way.relation == relatedTo {
		relate(o, associatedContent)
	}
	o.Set("relationship_type", way.relation)
	if way.swap {
		swapEnds(o)
	}
	r.count("associated_content", 1, way.relation)
}

func endRole(o *stix.Object, key string) string {
	switch typ, _ := stix.SplitID(o.String(key)); typ {
	case "threat-actor", "intrusion-set":
		return "actor"
	default:
		return typ
	}
}
