package opencti

import "testing"

func TestKindOf(t *testing.T) {
	tests := []struct{ id, entity, want string }{
		{"identity--1", "Sector", "identity-sector"},
		{"location--1", "Administrative-Area", "location-administrative-area"},
		{"threat-actor--1", "Threat-Actor-Group", "threat-actor-group"},
		{"intrusion-set--1", "Intrusion-Set", "intrusion-set"},
		{"file--1", "StixFile", "stix-file"},
		{"ipv4-addr--1", "IPv4-Addr", "ipv4-addr"},
		{"relationship--1", "uses", "relationship-uses"},
	}
	for _, tt := range tests {
		if got := kindOf(tt.id, tt.entity); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.entity, got, tt.want)
		}
	}
}
