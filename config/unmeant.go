package config

import (
	"regexp"
	"slices"
	"strings"
)

// left matches a reference to a variable that was not replaced by a value.
var left = regexp.MustCompile(`^\$(?:\{[A-Za-z_][A-Za-z0-9_]*(?::?[-?+][^}]*)?\}|\([A-Za-z_][A-Za-z0-9_]*\))$|^\{\{[^{}]*\}\}$`)

// maybeLeft matches what is probably such a reference or a placeholder, but may be a value.
var maybeLeft = regexp.MustCompile(`^(?:\$[A-Z_][A-Z0-9_]*|<[A-Za-z][^<>]*>)$`)

// dropSamples removes a ChangeMe if the setting also has a real value from elsewhere.
func (l *loader) dropSamples() {
	sample := func(g given) bool { text, ok := g.raw.(string); return ok && isChangeMe(text) }
	real := map[int]bool{}
	for _, g := range l.given {
		real[g.index] = real[g.index] || !sample(g)
	}
	l.given = slices.DeleteFunc(l.given, func(g given) bool { return sample(g) && real[g.index] })
}

// unexpanded refuses a value that is a reference to a variable.
func (l *loader) unexpanded(g given) bool {
	text, ok := g.raw.(string)
	s := l.settings[g.index]
	if ok && maybeLeft.MatchString(trim(text)) {
		l.warn(s.Key, g.source, "looks like a placeholder that was not filled in; it is used as it is")
	}
	if !ok || !left.MatchString(trim(text)) {
		return false
	}
	l.bad[s.Key], l.origins[s.Key] = true, g.source
	p := Problem{Key: s.Key, Source: g.source,
		Message: "is a variable that was not replaced by its value; variables are not expanded here: give the value itself, or set " + s.Env}
	if !s.Secret {
		p.Value = text
	}
	l.problem(p)
	return true
}

// stixTypes are those of STIX 2.1 that a server may be asked for.
var stixTypes = strings.Fields("attack-pattern campaign course-of-action grouping identity indicator infrastructure " +
	"intrusion-set location malware malware-analysis marking-definition note observed-data opinion relationship report " +
	"sighting threat-actor tool vulnerability artifact autonomous-system directory domain-name email-addr email-message " +
	"file ipv4-addr ipv6-addr mac-addr mutex network-traffic process software url user-account windows-registry-key x509-certificate")

// checkTypes warns of what is not a STIX type: the server would return nothing.
func (l *loader) checkTypes() {
	const key = "threatmatch.taxii_types"
	for _, t := range l.cfg.ThreatMatch.TAXIITypes {
		if l.bad[key] || slices.Contains(stixTypes, t) || strings.HasPrefix(t, "x-") {
			continue
		}
		message := t + " is not a standard STIX type; a server that has none of it returns nothing"
		if near := nearest(t, stixTypes); near != "" {
			message += "; did you mean " + near + "?"
		}
		l.warn(key, l.origins[key], message)
	}
}

// checkBase warns of addresses that are more than the base address.
func (l *loader) checkBase() {
	for _, u := range []struct{ key, url, part, why string }{
		{"threatmatch.url", l.cfg.ThreatMatch.URL, "/api", "which the connector adds itself"},
		{"opencti.url", l.cfg.OpenCTI.URL, "/dashboard", "which is a page for people"},
	} {
		if base, _, found := strings.Cut(u.url+"/", u.part+"/"); found && !l.bad[u.key] {
			l.warn(u.key, l.origins[u.key], "has "+u.part+" in it, "+u.why+"; give the base address, "+base)
		}
	}
}

// beginning returns the first candidate that begins with name, in whole words, "" if none does.
func beginning(name string, candidates []string) string {
	i := slices.IndexFunc(candidates, func(c string) bool { return strings.HasPrefix(c, name+"_") })
	if i < 0 {
		return ""
	}
	return candidates[i]
}
