package mapping

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"threatmatch-connector/internal/stix"
)

// indicator adds what OpenCTI needs to show an indicator: the main observable type,
// if the pattern is about one kind, and the origin of the pattern.
func (r *record) indicator(o *stix.Object) {
	if o.Type() != "indicator" {
		return
	}
	raw, _ := o.Get("pattern")
	pattern, _ := stix.TextBytes(raw)
	kind := strings.ToLower(strings.TrimSpace(o.String("pattern_type")))
	if strings.TrimRight(kind, " .-_0123456789v") == "stix" { // "STIX 2.1"
		kind = "stix"
	}
	if kind == "" && (bytes.HasPrefix(bytes.TrimLeft(pattern, " \t\r\n("), []byte("[")) || checkPattern(pattern) == nil) {
		kind = "stix"
		r.count("defaults", 1, "pattern_type")
	}
	if kind != o.String("pattern_type") {
		o.Set("pattern_type", kind)
	}
	if kind == "stix" {
		if fixed := repairPattern(pattern); !bytes.Equal(fixed, pattern) {
			o.Set("pattern", string(fixed))
			r.count("values_repaired", 1, "pattern")
			pattern = fixed
		}
	}
	if name := strings.TrimSpace(o.String("name")); o.Has("name") && utf8.RuneCountInString(name) < 2 && len(pattern) > 0 {
		o.Fill("name", strings.TrimSpace(name+" "+beginning(pattern, nameMost)))
		r.count("defaults", 1, "name")
	}
	if given := o.String("x_opencti_main_observable_type"); given != "" && !knownMainType(given) {
		o.Delete("x_opencti_main_observable_type")
		r.count("values_invalid", 1, "x_opencti_main_observable_type")
	}
	if kind == "stix" && !o.Has("x_opencti_main_observable_type") {
		if name := mainTypes[patternSubject(pattern)]; name != "" {
			o.Set("x_opencti_main_observable_type", name)
			r.count("defaults", 1, "x_opencti_main_observable_type")
		}
	}
	if r.m.settings.CreateObservables && !o.Has("x_opencti_create_observables") {
		o.Set("x_opencti_create_observables", true)
	}
}

// nameMost is how many bytes of its pattern an indicator is called by. OpenCTI finds no
// longer name.
const nameMost = 500

// beginning returns a text, or the beginning of a long one, for a second place in its
// object.
func beginning(text []byte, most int) string {
	if len(text) <= most {
		return string(text)
	}
	return strings.ToValidUTF8(string(text[:most]), "") + "…"
}

// mainTypes maps observable types to OpenCTI's names.
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
	return name == "Unknown" || name == "File" || slices.Contains(slices.Collect(maps.Values(mainTypes)), name)
}
