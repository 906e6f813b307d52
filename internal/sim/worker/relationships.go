package worker

import (
	_ "embed"
	"strings"
	"sync"
)

// relationships.csv holds which relationship types the platform accepts between
// which types, read from OpenCTI platform 7.26 (database/stix.ts, March 2026).
//
//go:embed relationships.csv
var relationshipTable string

// moduleRelationships are those that the platform's entity modules add: one
// line per source and type, the targets after it.
const moduleRelationships = `
threat-actor-individual uses tool stix-file malware narrative channel attack-pattern infrastructure
threat-actor-individual targets location identity vulnerability event
threat-actor-individual located-at location
threat-actor-individual attributed-to identity-individual identity-organization
threat-actor-individual impersonates identity-individual identity-organization
threat-actor-individual compromises infrastructure
threat-actor-individual hosts infrastructure
threat-actor-individual owns infrastructure
threat-actor-individual participates-in campaign
threat-actor-individual part-of threat-actor-group
threat-actor-individual employed-by threat-actor-group identity-organization
threat-actor-individual cooperates-with threat-actor-group threat-actor-individual
threat-actor-individual resides-in location-country
threat-actor-individual citizen-of location-country
threat-actor-individual national-of location-country
threat-actor-individual known-as persona threat-actor-individual
threat-actor-individual reports-to threat-actor-group threat-actor-individual
threat-actor-individual supports threat-actor-group threat-actor-individual
threat-actor-individual derived-from threat-actor-individual threat-actor-group
identity-organization part-of identity-organization identity-sector
identity-organization located-at location
identity-organization uses tool
identity-organization publishes media-content
identity-organization should-cover attack-pattern
channel targets identity-individual identity-organization identity-sector location event vulnerability
channel uses infrastructure language narrative attack-pattern malware tool
channel publishes stix-file url text domain-name hostname media-content
channel amplifies channel
channel delivers malware
channel drops malware
event located-at location
narrative subnarrative-of narrative
data-component detects attack-pattern
malware-analysis characterizes malware
malware-analysis analysis-of malware
malware-analysis static-analysis-of malware
malware-analysis dynamic-analysis-of malware
location-administrative-area located-at location-country location-region`

// wider stands for several kinds in moduleRelationships.
var wider = map[string][]string{
	"location": {"location-administrative-area", "location-city", "location-country", "location-position", "location-region"},
	"identity": {"identity-individual", "identity-organization", "identity-sector", "identity-system"},
}

// legality is the set of accepted "source type target".
var legality = sync.OnceValue(func() map[string]bool {
	table := map[string]bool{}
	for line := range strings.Lines(relationshipTable) {
		if f := strings.Split(strings.TrimSpace(line), ","); len(f) == 3 {
			table[strings.Join(f, " ")] = true
		}
	}
	for line := range strings.Lines(moduleRelationships) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		for _, target := range f[2:] {
			targets := wider[target]
			if targets == nil {
				targets = []string{target}
			}
			for _, t := range targets {
				table[f[0]+" "+f[1]+" "+t] = true
			}
		}
	}
	return table
})

// Legal reports whether the platform accepts a relationship type between two kinds.
func Legal(source, relationship, target string) bool {
	if relationship == "related-to" || relationship == "revoked-by" || relationship == "derived-from" && source == target {
		return true
	}
	return legality()[source+" "+relationship+" "+target]
}

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
