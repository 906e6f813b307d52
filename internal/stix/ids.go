package stix

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

// namespace is the UUID namespace of OpenCTI's deterministic ids, which STIX 2.1 defines for cyber-observables.
var namespace = uuid.MustParse("00abedb4-aa42-466c-9c01-fed23315a9b7")

// part is one member of the data that an id is made from.
type part struct{ key, value string }

// makeID follows pycti: UUIDv5 over the canonical JSON (RFC 8785) of data. All keys are ASCII, so that byte order is
// the order of UTF-16 units.
func makeID(typ string, data ...part) string {
	slices.SortFunc(data, func(a, b part) int { return strings.Compare(a.key, b.key) })
	text := []byte{'{'}
	for i, p := range data {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(appendString(text, p.key), ':')
		text = appendString(text, p.value)
	}
	return typ + "--" + uuid.NewSHA1(namespace, append(text, '}')).String()
}

func folded(name string) part { return part{"name", strip(lower(name))} }

// NamedID returns the id of an object of a type that OpenCTI identifies by name alone: intrusion-set, malware, tool,
// campaign, vulnerability, infrastructure, channel, narrative, event.
func NamedID(typ, name string) string { return makeID(typ, folded(name)) }

// IDsOfName returns the ids that an object of that name would have, for each type whose id depends on the name and a
// fixed set of kinds.
func IDsOfName(name string) []string {
	var all []string
	for _, typ := range []string{
		"intrusion-set", "malware", "tool", "campaign", "vulnerability", "infrastructure", "channel", "narrative", "event",
		"attack-pattern", "course-of-action",
	} {
		all = append(all, NamedID(typ, name))
	}
	for _, class := range []string{"organization", "class", "individual", "system"} {
		all = append(all, IdentityID(name, class))
	}
	for _, kind := range []string{"Country", "Region", "City", "Administrative-Area"} {
		all = append(all, LocationID(name, kind))
	}
	return append(all, ThreatActorID(name, "Threat-Actor-Group"), ThreatActorID(name, "Threat-Actor-Individual"))
}

// IdentityID returns the id of an identity of that class ("organization", "class" for sectors, …).
func IdentityID(name, class string) string {
	return makeID("identity", folded(name), part{"identity_class", lower(class)})
}

// LocationID returns the id of a location of OpenCTI's kind: Country, Region,
// City, Administrative-Area.
func LocationID(name, kind string) string {
	return makeID("location", folded(name), part{"x_opencti_location_type", kind})
}

// ThreatActorID returns the id of a threat actor of OpenCTI's kind:
// Threat-Actor-Group or Threat-Actor-Individual.
func ThreatActorID(name, kind string) string {
	return makeID("threat-actor", folded(name), part{"opencti_type", kind})
}

// Link is what identifies a relationship for OpenCTI.
type Link struct{ Type, Source, Target, Start, Stop string }

// ID returns the id of the relationship. Start and Stop may be empty; Stop is ignored without Start.
func (l Link) ID() string {
	data := []part{{"relationship_type", l.Type}, {"source_ref", l.Source}, {"target_ref", l.Target}}
	if l.Start != "" {
		data = append(data, part{"start_time", l.Start})
		if l.Stop != "" {
			data = append(data, part{"stop_time", l.Stop})
		}
	}
	return makeID("relationship", data...)
}

// MarkingID returns the id of a marking: the fixed one for TLP:CLEAR to TLP:RED.
func MarkingID(kind, definition string) string {
	if kind == "TLP" {
		for _, t := range tlps {
			if t.Name == definition || definition == "TLP:WHITE" && t.Level == "clear" {
				return t.ID
			}
		}
	}
	return makeID("marking-definition", part{"definition_type", kind}, part{"definition", definition})
}
