package stix

import "maps"

// Supported reports whether OpenCTI's splitter passes objects of this type, and references to them (OpenCTI 7.26,
// opencti_stix2_utils.py). It drops everything else silently. Types that configure the platform (users, roles,
// settings, works, …) are left out: no source of knowledge may bring them.
func Supported(typ string) bool { return supported[typ] }

// Observable reports whether the type is a STIX cyber-observable or one of
// OpenCTI's own.
func Observable(typ string) bool { return observables[typ] }

// Container reports whether object_refs is a property of the type in OpenCTI.
func Container(typ string) bool { return containers[typ] }

var containers = set("report", "note", "opinion", "observed-data", "grouping", "case-incident",
	"x-opencti-case-incident", "case-rfi", "x-opencti-case-rfi", "case-rft", "x-opencti-case-rft", "task",
	"x-opencti-task", "feedback", "x-opencti-feedback")

var observables = set("autonomous-system", "directory", "domain-name", "email-addr", "email-message",
	"email-mime-part-type", "artifact", "file", "x509-certificate", "ipv4-addr", "ipv6-addr", "mac-addr", "mutex",
	"network-traffic", "process", "software", "url", "user-account", "windows-registry-key",
	"windows-registry-value-type", "hostname", "cryptographic-key", "cryptocurrency-wallet", "text", "user-agent",
	"bank-account", "phone-number", "credential", "tracking-number", "payment-card", "media-content",
	"simple-observable", "persona", "ssh-key", "ai-prompt")

var supported = union(containers, observables, set("label", "vocabulary", "kill-chain-phase", "attack-pattern",
	"campaign", "channel", "course-of-action", "data-component", "x-mitre-data-component", "data-source",
	"x-mitre-data-source", "event", "external-reference", "identity", "incident", "indicator", "infrastructure",
	"intrusion-set", "language", "location", "malware", "malware-analysis", "marking-definition", "narrative",
	"threat-actor", "tool", "vulnerability", "security-coverage", "relationship", "sighting"))

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

func union(sets ...map[string]bool) map[string]bool {
	all := map[string]bool{}
	for _, s := range sets {
		maps.Copy(all, s)
	}
	return all
}
