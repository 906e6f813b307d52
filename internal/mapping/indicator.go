package mapping

import (
	"strings"

	"threatmatch-connector/internal/stix"
)

// indicator adds what OpenCTI needs to show an indicator: the main observable
// type where the pattern speaks of one kind, and where the pattern is from.
func (r *record) indicator(o *stix.Object) {
	if o.Type() != "indicator" {
		return
	}
	pattern := o.String("pattern")
	if !o.Has("pattern_type") && strings.HasPrefix(strings.TrimSpace(pattern), "[") {
		o.Set("pattern_type", "stix")
		r.count("defaults", 1, "pattern_type")
	}
	if given := o.String("x_opencti_main_observable_type"); given != "" && !knownMainType(given) {
		o.Delete("x_opencti_main_observable_type")
		r.count("values_invalid", 1, "x_opencti_main_observable_type")
	}
	if o.String("pattern_type") == "stix" && !o.Has("x_opencti_main_observable_type") {
		if name := mainTypes[patternSubject(pattern)]; name != "" {
			o.Set("x_opencti_main_observable_type", name)
			r.count("defaults", 1, "x_opencti_main_observable_type")
		}
	}
	if r.m.settings.CreateObservables && !o.Has("x_opencti_create_observables") {
		o.Set("x_opencti_create_observables", true)
	}
	r.dropReversed(o, "valid_from", "valid_until")
}

// mainTypes gives OpenCTI's name of an observable type.
var mainTypes = map[string]string{"autonomous-system": "Autonomous-System", "directory": "Directory",
	"domain-name": "Domain-Name", "email-addr": "Email-Addr", "email-message": "Email-Message",
	"email-mime-part-type": "Email-Mime-Part-Type", "artifact": "Artifact", "file": "StixFile",
	"x509-certificate": "X509-Certificate", "ipv4-addr": "IPv4-Addr", "ipv6-addr": "IPv6-Addr", "mac-addr": "Mac-Addr",
	"mutex": "Mutex", "network-traffic": "Network-Traffic", "process": "Process", "software": "Software", "url": "Url",
	"user-account": "User-Account", "windows-registry-key": "Windows-Registry-Key",
	"windows-registry-value-type": "Windows-Registry-Value-Type", "hostname": "Hostname",
	"x-opencti-hostname": "Hostname", "cryptographic-key": "Cryptographic-Key",
	"cryptocurrency-wallet": "Cryptocurrency-Wallet", "text": "Text", "user-agent": "User-Agent",
	"bank-account": "Bank-Account", "phone-number": "Phone-Number", "credential": "Credential",
	"tracking-number": "Tracking-Number", "payment-card": "Payment-Card", "media-content": "Media-Content",
	"persona": "Persona"}

func knownMainType(name string) bool {
	if name == "Unknown" || name == "File" {
		return true
	}
	for _, known := range mainTypes {
		if known == name {
			return true
		}
	}
	return false
}

// patternSubject returns the one object type that all comparisons of a STIX
// pattern are about, "" when there are several or none.
func patternSubject(pattern string) string {
	subject := ""
	for i := 0; i < len(pattern); {
		c := pattern[i]
		if c == '\'' { // a string, in which a backslash escapes
			for i++; i < len(pattern) && pattern[i] != '\''; i++ {
				if pattern[i] == '\\' {
					i++
				}
			}
			i++
			continue
		}
		if !wordByte(c) {
			i++
			continue
		}
		start := i
		for i < len(pattern) && wordByte(pattern[i]) {
			i++
		}
		if i == len(pattern) || pattern[i] != ':' {
			continue
		}
		if word := pattern[start:i]; subject == "" {
			subject = word
		} else if word != subject {
			return ""
		}
		for i < len(pattern) && !strings.ContainsRune(" =<>!'", rune(pattern[i])) { // the rest of the path
			i++
		}
	}
	return subject
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c >= 'A' && c <= 'Z' || c == '_'
}
