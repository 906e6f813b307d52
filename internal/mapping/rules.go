package mapping

// Rule says what is done to one thing of the source, and why.
type Rule struct{ From, To, Why string }

// Rules lists every rule of the mapping, in the order in which they apply.
func Rules() []Rule {
	return []Rule{
		{"element with an error, or without type or id", "a dead letter, on its own", "it is not data, but the rest of the response is"},
		{"type that OpenCTI does not know", "left out and counted, references to it removed", "OpenCTI silently drops it, and refuses what refers to it"},
		{"bundle inside a response", "its objects", "nothing is lost"},
		{"id that the platform does not accept (no UUID, version or variant out of range); upper case", "a UUIDv5 of the id; lower case; also in references", "OpenCTI refuses the object and everything that refers to it"},
		{"null, empty list, empty object", "removed", "OpenCTI's workers fail on them"},
		{"value of another kind (text for number, time without zone, …)", "converted to the kind that OpenCTI reads, else removed", "one such value makes OpenCTI refuse the whole object"},
		{"properties that OpenCTI reads as its own (x_opencti_…, its extensions, bare names such as workflow_id), at every level", "those on a list of knowledge about the object are kept; the rest is removed", "they could delete, merge, share or assign objects on the platform"},
		{"other x_ properties", "kept as they are", "OpenCTI ignores what it does not know"},
		{"threat-actor", "intrusion-set, and every reference to it (threat_actor_as_intrusion_set)", "OpenCTI models adversaries as intrusion sets"},
		{"personal_motivations of an actor", "primary_motivation, secondary_motivations", "intrusion sets have no personal motivations"},
		{"threat_actor_types, roles, sophistication of an actor", "removed", "in STIX 2.1, intrusion sets have no such properties"},
		{"located-at of an actor that becomes an intrusion set", "originates-from", "this is how STIX expresses it for intrusion sets"},
		{"reference that is not an id, or is to the object itself", "removed", "OpenCTI removes it, or waits for it in vain"},
		{"place of a sighting that is neither an identity nor a location; author that is not an identity", "removed", "OpenCTI refuses the object"},
		{"sighting without a place", "its author becomes the place", "OpenCTI has no sightings without one"},
		{"reference that contains a date, on a relationship without start or stop", "its description is moved into the relationship's description", "OpenCTI's worker would take the date as the time of the relationship"},
		{"pattern that does not parse", "repaired if the intention is obvious, else a dead letter", "OpenCTI refuses it"},
		{"associated_content", "the natural type for its ends, swapped if needed; else related-to", "it is not a STIX relationship; four of the types follow ThreatMatch's own definition"},
		{"relationship that OpenCTI refuses between its ends", "the accepted type with the same meaning; else related-to, with the original type in the description", "OpenCTI's table of relationships, by version"},
		{"object_refs of an object that is not a container", "relationships: of the natural type for the pair, else related-to", "OpenCTI would drop the associations"},
		{"description and other long texts that are HTML", "Markdown, or text (description_format); anything that is not an HTML tag stays as text", "OpenCTI shows Markdown"},
		{"name, alias, goal, objective or reference text with entities or tags", "plain text", "OpenCTI shows them unchanged"},
		{"content of a report", "x_opencti_content, as HTML in which nothing can run", "this is where OpenCTI shows the full text"},
		{"content of another object", "appended to its description", "OpenCTI has no other place for it"},
		{"relative address in a text", "the same address on ThreatMatch (threatmatch.url)", "it would lead nowhere"},
		{"picture from another host", "a link to it; pictures from ThreatMatch and embedded ones are kept", "loading it would tell that host who reads"},
		{"javascript:, file: and other addresses that are neither web nor mail", "removed", "they would run in the reader's browser"},
		{"x_opencti_files", "PDF, text, CSV, Markdown, JSON, pictures, Office files and ZIP are kept but never imported by OpenCTI itself; others are removed", "no browser runs them, and nothing bypasses this mapping"},
		{"label with a list (\"France, Germany and Italy\")", "each name in the vocabularies, longest first; the rest is reported", "nothing is guessed"},
		{"label with a sector", "identity of class \"class\", targets (part-of from an organization, related-to if the object cannot target; object_refs of a report)", "knowledge instead of labels"},
		{"label with a sector that is in no vocabulary", "the same, with the markings of the object", "whoever may not see the object may not see its words"},
		{"label with a country or region", "location, targets (located-at from an organization or person); nothing if it is known to be the origin", "knowledge instead of labels"},
		{"label with a country or region of origin", "location, originates-from (located-at of a threat actor)", "knowledge instead of labels"},
		{"label with a motivation, on an actor", "primary_motivation, secondary_motivations in STIX's words", "knowledge instead of labels"},
		{"label with a type (ThreatMatch's or STIX's words)", "malware_types, tool_types, report_types, indicator_types, infrastructure_types, threat_actor_types", "knowledge instead of labels"},
		{"label with an incident type, on an incident", "incident_type; further ones go into the description", "OpenCTI knows one type per incident"},
		{"TLP level in a label, a property or an extension, at the start of a name or text; PAP level in a label; marking of a part of the object", "object_marking_refs", "otherwise OpenCTI would show everyone what they restrict"},
		{"marking that is unreadable or unknown", "TLP:RED, reported", "it is unknown what it restricts"},
		{"PAP marking", "OpenCTI's own", "otherwise OpenCTI has it twice"},
		{"technique or mitigation with a MITRE id in name or references", "x_mitre_id; the name without it", "OpenCTI merges it with its own by this"},
		{"kill chain and phase under another name (\"MITRE ATT&CK\", \"Initial Access\")", "mitre-attack, initial-access", "OpenCTI merges it with its own by this"},
		{"vulnerability with one CVE in name or references", "the CVE as its name, the rest as an alias", "OpenCTI merges it with its own by this"},
		{"any other label", "removed (import_labels: all keeps every label)", "ThreatMatch's labels contain little else"},
		{"STIX TLP 2.0 marking", "OpenCTI's id for the same level", "OpenCTI does not map these ids"},
		{"copy that lacks what OpenCTI needs", "dead letter; its TLP level restricts the other copies", "nobody sees more than the strictest copy allows"},
		{"several TLP levels", "the strictest", "a marking is never downgraded"},
		{"no marking", "threatmatch.tlp_level", "nothing is shown to everyone by accident"},
		{"report; profile and alert with profile_link, alert_link", "external reference \"ThreatMatch\" with the item's id and its address in the portal", "users want to continue reading there"},
		{"indicator without x_opencti_score", "indicator_score_by_type, else its confidence, else indicator_score", "OpenCTI uses it to show and age indicators"},
		{"known_as of the details (details: true)", "aliases", "the STIX does not contain them; reports have none in OpenCTI"},
		{"additional_dates of the details, named first or last", "first_seen, last_seen", "if the STIX has none"},
		{"content of the details", "as the content of the object above", "if the STIX has none"},
		{"tagsFull of the details", "as labels above", "knowledge instead of labels"},
		{"linked_profiles of the details", "associated_content with the object of that type and name, which is created if the response has none; object_refs of a report", "the portal gives no STIX id; OpenCTI finds the entity by its name"},
		{"related of the details of a report", "external references to the reports in the portal", "the portal gives only their numbers"},
		{"tlp of the details", "the marking, if the STIX has none", "the source's own level takes precedence over a default; but an item is first sent without its details, and then the default level and tlp_max apply"},
		{"types, sectors and connector groups of the portal (refine-sidebar-options of profiles and reports)", "not fetched", "they are the options of the portal's search: the details themselves name the type of a linked profile (typeSlug, typeName) and each tag (tagsFull), and contain no number of a sector or group; for the five known types the number is enough, and any other is counted (details_unread:linked_profiles)"},
		{"PDF files of the portal", "not fetched", "they are encrypted, and contain nothing for the graph"},
		{"what a filter (only_…, modified_since) or tlp_max excludes", "left out and counted, references to it removed, also in other answers of the run", "the operator chose this"},
		{"no author", "organisation \"Security Alliance\"", "users filter by author"},
		{"pattern about one kind of observable", "x_opencti_main_observable_type", "OpenCTI uses it to show and link indicators"},
		{"indicator without valid_from", "valid_from = created", "otherwise OpenCTI uses the time of each import"},
		{"report without published", "published = created", "OpenCTI requires it"},
		{"malware without is_family, object without spec_version, created or modified", "false, 2.1, the other of the two times", "STIX requires them"},
		{"end of a period that is before its start; valid_until that is not after valid_from", "removed", "OpenCTI refuses the object"},
		{"indicator name or note content of less than two characters", "prefixed with the pattern or the abstract", "OpenCTI refuses the object"},
		{"external reference that is a plain text, or has neither an address nor an id", "its text becomes description and id", "OpenCTI's splitter drops it"},
		{"repeated references, external references and kill chain phases", "the first; for one address with several ids, a reference without address per further id", "as OpenCTI's splitter does, which would drop the ids"},
		{"relationship without confidence", "confidence_level, if set (legacy)", "as connectors of 2021 to 2025 did"},
	}
}

// Import says what a dataset brings into OpenCTI.
type Import struct {
	Dataset       string
	Content       string
	Entities      []string // by the names OpenCTI shows
	Relationships []string
}

// Imports lists what comes from each dataset. ThreatMatch may send any STIX type in
// any of them; these are the known ones, plus what the connector makes of labels
// and associations.
func Imports() []Import {
	knowledge := []string{"attributed-to", "uses", "targets", "originates-from", "exploits", "indicates", "mitigates", "related-to"}
	entities := []string{"Intrusion set (or Threat actor)", "Malware", "Tool", "Campaign", "Incident", "Attack pattern",
		"Vulnerability", "Indicator", "Sector", "Organization", "Country", "Region", "Marking definition"}
	return []Import{
		{"profiles", "profiles of actors, malware, operations, incidents, countries", entities, knowledge},
		{"alerts", "alerts, as reports that contain their objects", append([]string{"Report"}, entities...), knowledge},
		{"reports", "intelligence reports with their text and objects", append([]string{"Report"}, entities...), knowledge},
		{"iocs", "indicators of the TAXII collection; observables with create_observables",
			[]string{"Indicator", "Observables (with create_observables)"}, []string{"indicates", "based-on"}},
	}
}
