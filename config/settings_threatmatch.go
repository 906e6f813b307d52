package config

import (
	"log/slog"
	"time"
)

type (
	level    = slog.Level
	duration = time.Duration
)

// tlpLevels are the words for TLP levels, from the least strict on.
func tlpLevels() []string { return []string{"clear", "white", "green", "amber", "amber+strict", "red"} }

func threatmatchSettings() []Setting {
	type C = Config
	return []Setting{
		row("threatmatch.url", urlKind(""), func(c *C) *string { return &c.ThreatMatch.URL }, "https://eu.threatmatch.com",
			"Base address of ThreatMatch."),
		row("threatmatch.client_id", requiredText(), func(c *C) *string { return &c.ThreatMatch.ClientID }, "",
			"OAuth2 client id (client credentials) of the ThreatMatch account.", required, example("ChangeMe")),
		row("threatmatch.client_secret", secretKind(true), func(c *C) *Secret { return &c.ThreatMatch.ClientSecret }, "",
			"OAuth2 client secret that goes with it.", required, secret, example("ChangeMe")),
		row("threatmatch.import_from_date", patternFold("date or duration", startAllowed, startPattern, parseStart, Start.String), func(c *C) *Start { return &c.ThreatMatch.ImportFromDate }, "P30D",
			"Where the first import begins: a date, or how long before now; later runs continue from the previous one."),
		row("threatmatch.import_profiles", boolKind(), func(c *C) *bool { return &c.ThreatMatch.ImportProfiles }, "true",
			"Import the profiles dataset."),
		row("threatmatch.import_alerts", boolKind(), func(c *C) *bool { return &c.ThreatMatch.ImportAlerts }, "true",
			"Import the alerts dataset."),
		row("threatmatch.import_reports", boolKind(), func(c *C) *bool { return &c.ThreatMatch.ImportReports }, "true",
			"Import the reports dataset; an account that has none is skipped with one warning."),
		row("threatmatch.import_iocs", boolKind(), func(c *C) *bool { return &c.ThreatMatch.ImportIOCs }, "true",
			"Import the IOCs dataset."),
		row("threatmatch.tlp_level", wordKind(tlpLevels()...),
			func(c *C) *string { return &c.ThreatMatch.TLPLevel }, "amber",
			"TLP marking of objects that come without one."),
		row("threatmatch.threat_actor_as_intrusion_set", boolKind(), func(c *C) *bool { return &c.ThreatMatch.ThreatActorAsIntrusionSet }, "true",
			"Turn threat actors into intrusion sets, everywhere they are referred to.",
			deprecatedName("THREATMATCH_THREAT_ACTOR_AS_INSTRUSION_SET", nameRemoval)),
		row("threatmatch.import_labels", wordKind("knowledge", "all", "none"), func(c *C) *string { return &c.ThreatMatch.ImportLabels }, "knowledge",
			"What becomes of labels: entities and fields of those that are knowledge, all kept, or none."),
		row("threatmatch.description_format", wordKind("markdown", "text"), func(c *C) *string { return &c.ThreatMatch.DescriptionFormat }, "markdown",
			"What HTML descriptions are turned into."),
		row("threatmatch.create_observables", boolKind(), func(c *C) *bool { return &c.ThreatMatch.CreateObservables }, "false",
			"Have OpenCTI create observables from indicators."),
		row("threatmatch.taxii_group", textKind(), func(c *C) *string { return &c.ThreatMatch.TAXIIGroup }, "All content",
			"TAXII group that IOCs are read from."),
		row("threatmatch.taxii_types", listKind("STIX types with commas between them", `[a-z0-9](?:[a-z0-9-]*[a-z0-9])?`),
			func(c *C) *[]string { return &c.ThreatMatch.TAXIITypes }, "indicator",
			"STIX types that are read from that group."),
		row("threatmatch.max_concurrency", intKind(1, 64), func(c *C) *int { return &c.ThreatMatch.MaxConcurrency }, "4",
			"Requests to ThreatMatch at a time."),
		row("threatmatch.requests_per_second", rateKind(1000), func(c *C) *float64 { return &c.ThreatMatch.RequestsPerSecond }, "10",
			"Requests to ThreatMatch a second, at most."),
		row("threatmatch.max_attempts", intKind(1, 1000), func(c *C) *int { return &c.ThreatMatch.MaxAttempts }, "5",
			"Runs in which an item may fail before it becomes a dead letter."),
		row("threatmatch.max_body", sizeKind(64<<10, false), func(c *C) *int64 { return &c.ThreatMatch.MaxBody }, "64MiB",
			"Largest response that is read; those over 4MiB are read one at a time."),
		row("threatmatch.window_overlap", durationKind(), func(c *C) *duration { return &c.ThreatMatch.WindowOverlap }, "PT10M",
			"How far each run's window reaches back before the end of the previous one."),
		row("threatmatch.resend_after", durationKind(), func(c *C) *duration { return &c.ThreatMatch.ResendAfter }, "P1D",
			"How long an unchanged object is not sent again; 0 means it is always sent."),
		row("threatmatch.hold_unresolved", durationKind(), func(c *C) *duration { return &c.ThreatMatch.HoldUnresolved }, "P30D",
			"How long an object is kept that refers to one that has not arrived."),
		row("threatmatch.interval", intKind(1, 5_256_000), func(c *C) *int { return &c.interval }, "",
			"Minutes between two runs; read until "+intervalRemoval+".", legacy("connector.duration_period")),
	}
}
