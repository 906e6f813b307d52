package config

// Dates after which an older name may be refused. The Python connector announced the first one.
const (
	intervalRemoval = "2027-01-01"
	nameRemoval     = "2028-01-01"
)

// defaultID is the id that the Python connector has used since July 2026 if none was set: the platform keeps the
// state of such an installation under it.
const defaultID = "9850490a-4273-429b-95f8-47dacda88fbf"

// The words of connector.queue_protocol.
const protocolAMQP, protocolAPI = "amqp", "api"

const notSupported = "not supported yet"

func openctiSettings() []Setting {
	return []Setting{
		row("opencti.url", urlKind("/graphql"), func(c *Config) *string { return &c.OpenCTI.URL }, "",
			"Base address of the OpenCTI platform.", required, example("http://opencti:8080"), atTop("url")),
		row("opencti.token", secretKind(true), func(c *Config) *Secret { return &c.OpenCTI.Token }, "",
			"Token of the platform user that the connector acts as.", required, secret, example("ChangeMe"), atTop("token")),
		rowFunc("opencti.ssl_verify", verifyKind(),
			func(c *Config) verify { return verify{c.OpenCTI.SSLVerify, c.OpenCTI.SSLCA} },
			func(c *Config, v verify) { c.OpenCTI.SSLVerify, c.OpenCTI.SSLCA = v.on, v.ca },
			"true", "Whether the platform's certificate is checked; a path names certificates to trust in addition to the system's.",
			atTop("ssl_verify")),
		row("opencti.custom_headers", headersKind(), func(c *Config) *[]Header { return &c.OpenCTI.CustomHeaders }, "",
			"HTTP headers that are added to every request to the platform.", secret, example("X-Gateway:value"), atTop("custom_headers")),
		row("opencti.json_logging", boolKind(), func(c *Config) *bool { return &c.OpenCTI.JSONLogging }, "true",
			"Log lines as JSON; otherwise as text for people.", atTop("json_logging")),
	}
}

func connectorSettings() []Setting {
	type C = Config
	return []Setting{
		row("connector.id", uuidKind(), func(c *C) *string { return &c.Connector.ID }, defaultID,
			"Id of this connector on the platform, a different one for each connector; the platform keeps its state under it.",
			noSchema, example("ChangeMe"), atTop("id")),
		row("connector.type", wordKind("EXTERNAL_IMPORT"), func(c *C) *string { return &c.Connector.Type }, "EXTERNAL_IMPORT",
			"Type of connector.", atTop("type")),
		row("connector.name", textKind(), func(c *C) *string { return &c.Connector.Name }, "ThreatMatch",
			"Name that the platform shows.", atTop("name")),
		row("connector.scope", listKind("names with commas between them", listItem), func(c *C) *[]string { return &c.Connector.Scope }, "threatmatch",
			"Scope that the platform shows.", atTop("scope")),
		row("connector.log_level", logLevelKind(), func(c *C) *level { return &c.Connector.LogLevel }, "error",
			"Lowest level of log lines; start, run summaries and stop are logged at every level.", atTop("log_level")),
		row("connector.duration_period", patternFold("duration", periodAllowed, periodPattern, parsePeriod, Period.String), func(c *C) *Period { return &c.Connector.DurationPeriod }, "P1D",
			"Time from the end of a run's fetch to the next run; 0 means one run and exit.", atTop("duration_period")),
		row("connector.run_and_terminate", boolKind(), func(c *C) *bool { return &c.Connector.RunAndTerminate }, "false",
			"Make one run and exit.", atTop("run_and_terminate")),
		row("connector.run_timeout", durationKind(), func(c *C) *duration { return &c.Connector.RunTimeout }, "0",
			"Longest time that one run may take before it is stopped and exits with 4; 0 means no limit."),
		row("connector.drain_timeout", durationKind(), func(c *C) *duration { return &c.Connector.DrainTimeout }, "PT8S",
			"Longest wait at a stop for outstanding confirms and for the last state; keep it below the container's grace period."),
		row("connector.queue_threshold", intKind(1, 1_000_000), func(c *C) *int { return &c.Connector.QueueThresholdMB }, "500",
			"Megabytes in the platform's queue above which delivery pauses.", atTop("queue_threshold")),
		row("connector.queue_protocol", wordKind(protocolAMQP, protocolAPI), func(c *C) *string { return &c.Connector.QueueProtocol }, protocolAMQP,
			"How messages reach the platform: amqp to its RabbitMQ, or api through opencti.url, where RabbitMQ cannot be reached.", atTop("queue_protocol"), deprecatedName("QUEUE_PROTOCOL", nameRemoval)),
		row("connector.send_to_queue", boolKind(), func(c *C) *bool { return &c.Connector.SendToQueue }, "true",
			"Publish to the platform's queue; without it and without opencti.url and opencti.token the connector runs offline.",
			atTop("send_to_queue")),
		row("connector.send_to_directory", boolKind(), func(c *C) *bool { return &c.Connector.SendToDirectory }, "false",
			"Also write every bundle to a directory.", atTop("send_to_directory")),
		row("connector.send_to_directory_path", textKind(), func(c *C) *string { return &c.Connector.SendToDirectoryPath }, "",
			"The directory for connector.send_to_directory.", example("./bundles"), atTop("send_to_directory_path")),
		row("connector.send_to_directory_retention", intKind(0, 36_500), func(c *C) *int { return &c.Connector.SendToDirectoryRetentionDays }, "7",
			"Days that files are kept in that directory; 0 means for ever.", atTop("send_to_directory_retention")),
		row("connector.validate_before_import", onlyFalse(notSupported), func(c *C) *bool { return &c.Connector.ValidateBeforeImport }, "false",
			"Hold imports back for validation by an analyst: not supported yet.", atTop("validate_before_import")),
		row("connector.expose_metrics", boolKind(), func(c *C) *bool { return &c.Connector.ExposeMetrics }, "false",
			"Serve /metrics, /healthz and /readyz by HTTP.", atTop("expose_metrics")),
		row("connector.metrics_port", intKind(1, 65_535), func(c *C) *int { return &c.Connector.MetricsPort }, "9095",
			"Port for /metrics, /healthz and /readyz.", atTop("metrics_port")),
		row("connector.metrics_address", patternText("host", "a host name or an address", namePattern+`|`+ipv6Pattern), func(c *C) *string { return &c.Connector.MetricsAddress }, "",
			"Address to serve them on; all interfaces when not set.", example("127.0.0.1")),
		row("connector.metrics_namespace", metricName(), func(c *C) *string { return &c.Connector.MetricsNamespace }, "",
			"First part of every metric's name.", example("opencti"), atTop("metrics_namespace")),
		row("connector.metrics_subsystem", metricName(), func(c *C) *string { return &c.Connector.MetricsSubsystem }, "",
			"Second part of every metric's name.", example("threatmatch"), atTop("metrics_subsystem")),
		row(precedenceKey, wordKind(precedenceFile, precedenceEnv), func(c *C) *string { return &c.Connector.ConfigPrecedence }, precedenceFile,
			"Which wins where config.yml and the environment differ: the file, or the environment as in newer Python releases.", noSchema),
		row("connector.confidence_level", intKind(0, 100), func(c *C) *int { return &c.Connector.ConfidenceLevel }, "0",
			"Confidence of relationships that have none: 1 to 4 as 15, 50, 75 and 85, 5 to 100 as given, 0 for none.",
			legacy("the confidence of the connector's user on the platform"), atTop("confidence_level")),
		row("connector.update_existing_data", boolKind(), func(c *C) *bool { return &c.Connector.UpdateExistingData }, "false",
			"The update flag of every message.", legacy("nothing: current platforms update by confidence"), atTop("update_existing_data")),
	}
}

const listItem = `[^,\x00-\x20\x7F](?:[^,\x00-\x1F\x7F]*[^,\x00-\x20\x7F])?`

// metricName takes a part of a name that Prometheus accepts.
func metricName() kind[string] {
	return patternText("name", "letters, digits and underscores, no digit first", `[A-Za-z_][A-Za-z0-9_]*`)
}
