package stix

import "testing"

// The expected ids were computed with OpenCTI's own client, pycti 7.26.
func TestIDs(t *testing.T) {
	const ind, mal = "indicator--11111111-1111-5111-8111-111111111111", "malware--22222222-2222-5222-8222-222222222222"
	for _, c := range []struct{ got, want string }{
		{IdentityID("Orange Cyberdefense", "organization"), "identity--80a9c5fe-b2bf-53aa-bf79-2123e9eb856c"},
		{IdentityID(" Café  ", "organization"), "identity--dd0ea54f-f59b-5619-b4d4-d980e61eb198"},
		{IdentityID("ACME \"X\" / Ü\n", "Organization"), "identity--5189f6f0-5d4f-5854-8dd3-c827d5a2f9c7"},
		{NamedID("intrusion-set", "APT28"), "intrusion-set--f743ab1d-b2f2-58f8-975f-0993511c0b9d"},
		{NamedID("malware", "Emotet "), "malware--36297121-bf18-56e1-b200-d39c9f9f5cee"},
		{ThreatActorID("Sandworm", "Threat-Actor-Group"), "threat-actor--06caa0ee-320e-5e7b-b1ce-468f38fd1c1e"},
		{ThreatActorID("Sandworm", "Threat-Actor-Individual"), "threat-actor--a13dd8aa-8460-5b4f-9207-a1f493a61401"},
		{Link{Type: "indicates", Source: ind, Target: mal}.ID(), "relationship--e9137a50-660b-519e-9442-e33289defd3c"},
		{Link{Type: "indicates", Source: ind, Target: mal, Stop: "2025-01-02T03:04:05.000Z"}.ID(),
			"relationship--e9137a50-660b-519e-9442-e33289defd3c"},
		{Link{"indicates", ind, mal, "2024-01-02T03:04:05.000Z", ""}.ID(), "relationship--13eeb7d9-ddda-5b56-b29a-a4a64a42c5a4"},
		{NamedID("vulnerability", "CVE-2024-1234"), "vulnerability--3de42460-5bdd-57b0-85fd-13698bb47ce1"},
		{MarkingID("PAP", "PAP:AMBER"), "marking-definition--a6f20d4d-0360-59b6-ba22-3b48707828b1"},
		{MarkingID("TLP", "TLP:FOO"), "marking-definition--0401bdcd-1785-53bf-b13d-b31006733fe1"},
		{MarkingID("TLP", "TLP:WHITE"), "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"},
		{NamedID("tool", "Cobalt Strike"), "tool--d2d17342-7c91-563c-bb85-a51d5b5c30e4"},
		{NamedID("campaign", "Op X"), "campaign--ded9bb32-d996-5bed-ad9b-7a5d20d601b7"},
		{LocationID("France", "Country"), "location--b8d0549f-de06-5ebd-a6e9-d31a581dba5d"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestPythonText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"İΣ ΟΔΟΣ", "i̇ς οδος"},
		{"ΑΣ", "ας"},
		{"Σ", "σ"},
		{"ΑΣΑ Σ'Σ", "ασα σ'ς"},
		{"STRAẞE ẞ", "straße ß"},
		{"\x1cA\x1f\u0085\u00a0", "a"},
		{"\ufeffA", "\ufeffa"},
		{"\u2028A\u3000", "a"},
		{"ǅ", "ǆ"},
	} {
		if got := strip(lower(c.in)); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}
