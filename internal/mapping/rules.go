package mapping

// Rule says what is done to one thing of the source, and why.
type Rule struct{ From, To, Why string }

// Rules lists every rule of the mapping, in the order in which they apply.
func Rules() []Rule {
	return []Rule{
		{"element with error, or without type or id", "dead letter, alone", "it is no data; the rest of the answer is"},
		{"type that OpenCTI does not know", "left out and counted, references to it removed", "OpenCTI drops it in silence, and refuses what refers to it"},
		{"bundle inside of an answer", "its objects", "nothing is lost"},
		{"id that the platform takes for none (no UUID, version or variant out of range); upper case", "a UUIDv5 of the id; lower case; in references, too", "OpenCTI refuses the object and all that names it"},
		{"null, empty list, empty object", "removed", "OpenCTI's workers fail on them"},
		{"value of another kind (text for number, time without zone, …)", "the kind that OpenCTI reads, else removed", "one such value makes OpenCTI refuse the whole object"},
		{"what OpenCTI reads as its own (x_opencti_…, its extensions, bare names such as workflow_id), at every level", "what is knowledge about the object passes, by a list; the rest is removed", "it would delete, merge, share or assign on the platform"},
		{"other x_ properties", "passed as they are", "OpenCTI ignores what it does not know"},
		{"threat-actor", "intrusion-set, and every reference to it (threat_actor_as_intrusion_set)", "OpenCTI models adversaries as intrusion sets"},
		{"personal_motivations of an actor", "primary_motivation, secondary_motivations", "intrusion sets have no motivations of a person"},
		{"threat_actor_types, roles, sophistication of an actor", "removed", "STIX 2.1 has no such property of intrusion sets"},
		{"located-at of an actor that becomes an intrusion set", "originates-from", "how STIX says it of intrusion sets"},
		{"reference that is no id, or to the object itself", "removed", "OpenCTI removes them, or waits for them in vain"},
		{"place of a sighting that is neither identity nor location; author that is no identity", "removed", "OpenCTI refuses the object"},
		{"sighting without a place", "its author as the place", "OpenCTI has no sighting without one"},
		{"reference of a relationship without start or stop that holds a date", "its description moves into that of the relationship", "OpenCTI's worker takes the date for the time of the relationship"},
		{"pattern that does not parse", "mended where it is plain what is meant, else a dead letter", "OpenCTI refuses it"},
		{"associated_content", "the natural type of its ends, swapped where needed; else related-to", "no STIX relationship; four of the types are ThreatMatch's own reading"},
		{"relationship that OpenCTI refuses between its ends", "the accepted type that says the same; else related-to, the original type in the description", "OpenCTI's table of relationships, by version"},
		{"object_refs of an object that is no container", "relationships: of the natural type for the pair, else related-to", "OpenCTI would drop the associations"},
		{"description and other long texts that are HTML", "Markdown, or text (description_format); what is no tag of HTML stays as text", "OpenCTI shows Markdown"},
		{"name, alias, goal, objective or text of a reference with entities or tags", "plain text", "OpenCTI shows them as they are"},
		{"content of a report", "x_opencti_content, as HTML in which nothing runs", "where OpenCTI shows the full text"},
		{"content of another object", "the end of its description", "OpenCTI has no other place for it"},
		{"relative address in a text", "the same on ThreatMatch (threatmatch.url)", "it would lead nowhere"},
		{"picture of another host", "a link to it; pictures of ThreatMatch and those inside of a content stay", "loading it would tell that host who reads"},
		{"javascript:, file: and other addresses that are not of the web or mail", "removed", "they would run in the reader's browser"},
		{"x_opencti_files", "kept: PDF, text, CSV, Markdown, JSON, pictures, Office files, ZIP; never imported by OpenCTI itself; others removed", "no browser runs them, and nothing comes in past this mapping"},
		{"label with a list (\"France, Germany and Italy\")", "each name that the vocabularies know, the longest first; what is left is told", "nothing is guessed"},
		{"label with a sector", "identity of class \"class\", targets (part-of from an organization, related-to where an object cannot target; object_refs of a report)", "knowledge instead of labels"},
		{"label with a sector of no vocabulary", "the same, with the markings of the object", "who may not see the object may not see its words"},
		{"label with a country or region", "location, targets (located-at from an organization or person); nothing where it is said to be the origin", "knowledge instead of labels"},
		{"label with a country or region of origin", "location, originates-from (located-at of a threat actor)", "knowledge instead of labels"},
		{"label with a motivation, on an actor", "primary_motivation, secondary_motivations in STIX's words", "knowledge instead of labels"},
		{"label with a type (ThreatMatch's or STIX's words)", "malware_types, tool_types, report_types, indicator_types, infrastructure_types, threat_actor_types", "knowledge instead of labels"},
		{"label with an incident type, on an incident", "incident_type; a further one into the description", "OpenCTI knows one type of an incident"},
		{"TLP level in a label, a property or an extension, at the head of a name or text; PAP level in a label; marking of a part of the object", "object_marking_refs", "OpenCTI would show to everybody what they restrict"},
		{"marking that cannot be read or that nobody knows", "TLP:RED, told", "what it restricts is not known"},
		{"PAP marking", "OpenCTI's own", "else OpenCTI has it twice"},
		{"technique or mitigation with a MITRE id in name or references", "x_mitre_id, the name without it", "OpenCTI joins them with its own by it"},
		{"kill chain and phase under another name (\"MITRE ATT&CK\", \"Initial Access\")", "mitre-attack, initial-access", "OpenCTI joins them with its own by it"},
		{"vulnerability with one CVE in name or references", "named by the CVE, the rest an alias", "OpenCTI joins them with its own by it"},
		{"any other label", "removed (import_labels: all keeps every label)", "labels of ThreatMatch carry little else"},
		{"STIX TLP 2.0 marking", "OpenCTI's id of the same level", "OpenCTI does not map the ids"},
		{"several TLP levels", "the strictest", "a marking is never downgraded"},
		{"no marking", "threatmatch.tlp_level", "nothing is shown to everybody by accident"},
		{"report; profile and alert with profile_link, alert_link", "external reference ThreatMatch, with the item's id and its address in the portal", "users want to read on there"},
		{"indicator without x_opencti_score", "indicator_score_by_type, else its confidence, else indicator_score", "OpenCTI shows and ages indicators by it"},
		{"known_as of the details (details: true)", "aliases", "they are nowhere in the STIX; a report has none in OpenCTI"},
		{"additional_dates of the details, named first or last", "first_seen, last_seen", "where the STIX has none"},
		{"content of the details", "as the content of the object above", "where the STIX has none"},
		{"tagsFull of the details", "as labels above", "knowledge instead of labels"},
		{"linked_profiles of the details", "associated_content with the object of that type and name, which is made where the answer has none; object_refs of a report", "the portal gives no STIX id; OpenCTI finds the entity by its name"},
		{"related of the details of a report", "external references to the reports in the portal", "it gives nothing but their numbers"},
		{"tlp of the details", "the marking, where the STIX has none", "the source's own level goes before a default; an item goes out by its STIX alone, though, before its details come: default level and tlp_max judge that"},
		{"types, sectors and connector groups of the portal (refine-sidebar-options of profiles and reports)", "not fetched", "they are the choices of the portal's search: details name the type of a linked profile (typeSlug, typeName) and each tag (tagsFull) themselves, and hold no number of a sector or group; of the five known types the number is enough, and a further one is counted (details_unread:linked_profiles)"},
		{"PDF files of the portal", "not fetched", "they are encrypted, and nothing in them is for the graph"},
		{"what a filter (only_…, modified_since) or tlp_max takes out", "left out and counted, references to it removed", "the operator chose so"},
		{"no author", "organisation \"Security Alliance\"", "users filter by author"},
		{"pattern about one kind of observable", "x_opencti_main_observable_type", "OpenCTI shows and links indicators by it"},
		{"indicator without valid_from", "valid_from = created", "else OpenCTI takes the time of the import, anew each time"},
		{"report without published", "published = created", "OpenCTI requires it"},
		{"malware without is_family, object without spec_version, created or modified", "false, 2.1, each other", "STIX requires them"},
		{"end of a period before its start; valid_until that is not after valid_from", "removed", "OpenCTI refuses the object"},
		{"name of an indicator, or content of a note, of less than two characters", "the pattern, or the abstract, beside it", "OpenCTI refuses the object"},
		{"external reference that is a text, or names neither address nor id", "what it says as description and id", "OpenCTI's splitter drops it"},
		{"repeated references, external references and kill chain phases", "the first", "as OpenCTI's splitter does"},
		{"relationship without confidence", "confidence_level, where it is set (legacy)", "as connectors of 2021 to 2025 did"},
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
