package mapping

import (
	"strings"

	"threatmatch-connector/internal/stix"
)

// Kind returns the name of o in OpenCTI's table of relationships: identities
// and locations by what they are (identity-sector, location-country, …),
// threat actors as threat-actor-group or -individual, files as stix-file,
// relationships by their type (relationship-uses), everything else by type.
func Kind(o *stix.Object) string {
	switch o.Type() {
	case "identity":
		return identityKind(o.String("identity_class"))
	case "location":
		return locationKind(o)
	case "threat-actor":
		if k := o.String("x_opencti_type"); k == "Threat-Actor-Individual" ||
			k == "" && o.String("resource_level") == "individual" {
			return "threat-actor-individual"
		}
		return "threat-actor-group"
	case "file":
		return "stix-file"
	case "relationship":
		return "relationship-" + o.String("relationship_type")
	}
	return o.Type()
}

// identityKind follows OpenCTI, which treats every other class as an organisation.
func identityKind(class string) string {
	switch class = strings.ToLower(class); class {
	case "individual", "system":
		return "identity-" + class
	case "class":
		return "identity-sector"
	case "securityplatform":
		return "identity-security-platform"
	}
	return "identity-organization"
}

func locationKind(o *stix.Object) string {
	if kind := o.String("x_opencti_location_type"); kind != "" {
		return "location-" + strings.ToLower(kind)
	}
	return "location-" + strings.ToLower(locationType(o))
}

// locationType derives OpenCTI's kind from STIX's properties, most specific first.
func locationType(o *stix.Object) string {
	for _, p := range [...]struct{ key, kind string }{
		{"city", "City"}, {"administrative_area", "Administrative-Area"}, {"country", "Country"},
		{"region", "Region"}} {
		if o.Has(p.key) {
			return p.kind
		}
	}
	return "Position"
}

// possibleKinds returns what an object can be if only its id is known. ThreatMatch
// has no security platforms.
func possibleKinds(id string) []string {
	typ, _ := stix.SplitID(id)
	switch typ {
	case "identity":
		return []string{"identity-individual", "identity-organization", "identity-sector", "identity-system"}
	case "location":
		return []string{"location-administrative-area", "location-city", "location-country", "location-position",
			"location-region"}
	case "threat-actor":
		return []string{"threat-actor-group", "threat-actor-individual"}
	case "file":
		return []string{"stix-file"}
	}
	return []string{typ}
}
