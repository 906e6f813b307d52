package worker

import "strings"

// kindOf is an object's kind as the table names it.
func kindOf(o map[string]any) string {
	text := func(key string) string { v, _ := o[key].(string); return v }
	switch t := text("type"); t {
	case "identity":
		switch text("identity_class") {
		case "class":
			return "identity-sector"
		case "individual", "system":
			return "identity-" + text("identity_class")
		case "securityplatform":
			return "identity-security-platform"
		}
		return "identity-organization"
	case "location":
		return "location-" + locationKind(o)
	case "threat-actor":
		if text("x_opencti_type") == "Threat-Actor-Individual" || text("x_opencti_type") == "" && text("resource_level") == "individual" {
			return "threat-actor-individual"
		}
		return "threat-actor-group"
	case "file":
		return "stix-file"
	case "relationship":
		return "relationship-" + text("relationship_type")
	default:
		return t
	}
}

func locationKind(o map[string]any) string {
	if t, _ := o["x_opencti_location_type"].(string); t != "" {
		return strings.ToLower(t)
	}
	for _, key := range []string{"city", "administrative_area", "country", "region"} {
		if v, _ := o[key].(string); v != "" {
			return strings.ReplaceAll(key, "_", "-")
		}
	}
	return "position"
}
