package facts_test

import (
	"strings"
	"testing"

	"threatmatch-connector/internal/facts"
)

func TestVersionOf(t *testing.T) {
	for about, want := range map[string]facts.Version{
		"6.8.10": facts.V6_8, "6.8.3": facts.V6_8, "6.9.0": facts.V6_9, "6.9.17-rc1": facts.V6_9, "6.12.1": facts.V6_9,
		"v7.260309.0": facts.V7, "8.1": facts.V7, " 7 ": facts.V7,
		"6.7.20": facts.Unknown, "5.12.0": facts.Unknown, "": facts.Unknown, "latest": facts.Unknown, "6.x.1": facts.Unknown,
	} {
		if got := facts.VersionOf(about); got != want {
			t.Errorf("version of %q is %q, want %q", about, got, want)
		}
	}
}

func TestRelationshipsByVersion(t *testing.T) {
	table := facts.ReadRelationships()
	const all = "unknown 6.8.10 6.9.17 7.26"
	for _, c := range []struct{ source, relation, target, accepted string }{
		{"intrusion-set", "uses", "malware", all},
		{"threat-actor-group", "uses", "malware", all},
		{"intrusion-set", "attributed-to", "campaign", "7.26"},
		{"identity-system", "uses", "software", "7.26"},
		{"malware", "located-at", "location-city", ""},
		{"identity-organization", "part-of", "identity-sector", all},
		{"malware-analysis", "static-analysis-of", "malware", all},
		{"indicator", "indicates", "relationship-uses", all},
		{"relationship-targets", "located-at", "location-region", all},
		{"indicator", "based-on", "ipv4-addr", all},
		{"indicator", "based-on", "stix-file", all},
		{"indicator", "based-on", "malware", ""},
		{"malware", "related-to", "opinion", all},
		{"campaign", "revoked-by", "campaign", all},
	} {
		for name, v := range map[string]facts.Version{"unknown": facts.Unknown, "6.8.10": facts.V6_8, "6.9.17": facts.V6_9, "7.26": facts.V7} {
			want := strings.Contains(c.accepted, name)
			if got := table.Accepts(v, c.source, c.relation, c.target); got != want {
				t.Errorf("%s %s %s on %s: accepted %v, want %v", c.source, c.relation, c.target, name, got, want)
			}
		}
	}
}
