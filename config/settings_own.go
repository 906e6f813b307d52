package config

func mqSettings() []Setting {
	type C = Config
	return []Setting{
		row("mq.host", patternText("host", "a host name or an address", namePattern+`|`+ipv6Pattern), func(c *C) *string { return &c.MQ.Host }, "",
			"Host of RabbitMQ.", example("rabbitmq")),
		row("mq.port", intKind(1, 65_535), func(c *C) *int { return &c.MQ.Port }, "",
			"Port of RabbitMQ.", example("5672")),
		row("mq.vhost", textKind(), func(c *C) *string { return &c.MQ.VHost }, "",
			"Virtual host.", example("/")),
		row("mq.use_ssl", maybe(boolKind()), func(c *C) **bool { return &c.MQ.UseSSL }, "",
			"Whether to use TLS.", example("true")),
		row("mq.user", textKind(), func(c *C) *string { return &c.MQ.User }, "",
			"User.", example("opencti")),
		row("mq.pass", secretKind(false), func(c *C) *Secret { return &c.MQ.Pass }, "",
			"Password.", secret, example("secret")),
		row("mq.use_ssl_ca", pemKind(), func(c *C) *PEM { return &c.MQ.SSLCA }, "",
			"Certificates to trust in addition to the system's.", example("/etc/ssl/rabbitmq/ca.pem")),
		row("mq.use_ssl_cert", pemKind(), func(c *C) *PEM { return &c.MQ.SSLCert }, "",
			"Certificate of this client.", example("/etc/ssl/rabbitmq/client.pem")),
		row("mq.use_ssl_key", pemKind(), func(c *C) *PEM { return &c.MQ.SSLKey }, "",
			"Key of this client.", secret, example("/etc/ssl/rabbitmq/client.key")),
		row("mq.use_ssl_passphrase", secretKind(false), func(c *C) *Secret { return &c.MQ.SSLPassphrase }, "",
			"Passphrase of that key.", secret, example("secret")),
		row("mq.use_ssl_reject_unauthorized", boolKind(), func(c *C) *bool { return &c.MQ.SSLRejectUnauthorized }, "true",
			"Whether RabbitMQ's certificate is checked."),
		row("mq.confirm_window", intKind(1, 65_535), func(c *C) *int { return &c.MQ.ConfirmWindow }, "512",
			"Messages published and not yet confirmed, at most; so many may be published again after a crash."),
		row("mq.max_message_size", sizeKind(64<<10, true), func(c *C) *int64 { return &c.MQ.MaxMessageSize }, "0",
			"Largest message that RabbitMQ accepts; 0 leaves it to RabbitMQ."),
	}
}

func ownSettings() []Setting {
	type C = Config
	return []Setting{
		row("spool.dir", textKind(), func(c *C) *string { return &c.Spool.Dir }, "",
			"Directory of the spool; $STATE_DIRECTORY when not set, else ./threatmatch-spool.", example("./threatmatch-spool")),
		row("spool.max_size", sizeKind(8<<20, false), func(c *C) *int64 { return &c.Spool.MaxSize }, "4GiB",
			"Amount of live data above which fetching pauses."),
		row("spool.keep_records", durationKind(), func(c *C) *duration { return &c.Spool.KeepRecords }, "0",
			"How long raw records are kept after delivery; 0 means not at all."),
		row("spool.forget_after", durationKind(), func(c *C) *duration { return &c.Spool.ForgetAfter }, "P400D",
			"How long the ids of published objects are remembered."),
		row("bundle.max_objects", intKind(1, 1_000_000), func(c *C) *int { return &c.Bundle.MaxObjects }, "5000",
			"Objects in a bundle, at most."),
		row("bundle.max_bytes", sizeKind(64<<10, false), func(c *C) *int64 { return &c.Bundle.MaxBytes }, "16MiB",
			"Size of a bundle, at most, unless one object alone is larger."),
		row("bundle.max_wait", durationKind(), func(c *C) *duration { return &c.Bundle.MaxWait }, "PT30S",
			"Age of the oldest record in a bundle, at most."),
		row("admin.socket", textKind(), func(c *C) *string { return &c.Admin.Socket }, "",
			"Path of the socket that commands talk to; admin.sock in spool.dir when not set.", example("./threatmatch-spool/admin.sock")),
		row("admin.page", boolKind(), func(c *C) *bool { return &c.Admin.Page }, "true",
			"Serve a page at /ui/ beside the metrics (connector.expose_metrics): status, the last hour and day, runs, what fails, settings. It is read-only, without contents or secrets."),
	}
}

func networkSettings() []Setting {
	type C = Config
	return []Setting{
		row("http_proxy", secretKind(false), func(c *C) *Secret { return &c.Network.HTTPProxy }, "",
			"Proxy for http:// addresses.", secret, example("http://proxy:3128"), noSchema),
		row("https_proxy", secretKind(false), func(c *C) *Secret { return &c.Network.HTTPSProxy }, "",
			"Proxy for https:// addresses.", secret, example("http://proxy:3128"), noSchema),
		row("no_proxy", textKind(), func(c *C) *string { return &c.Network.NoProxy }, "",
			"Hosts that are reached without a proxy.", example("opencti,localhost"), noSchema),
		row("https_ca_certificates", pemKind(), func(c *C) *PEM { return &c.Network.CACertificates }, "",
			"Certificates to trust in addition to the system's; the platform's certificate is then checked in any case.",
			example("/etc/ssl/company-ca.pem"), noSchema),
		row("requests_ca_bundle", pemKind(), func(c *C) *PEM { return &c.Network.CABundle }, "",
			"More certificates to trust in addition to the system's.", example("/etc/ssl/company-ca.pem"), noSchema, alsoNamed("CURL_CA_BUNDLE")),
	}
}

// known returns variables of OpenCTI's client library, and of managers that start connectors, that this connector does
// not use, each with the reason for a warning. Those that a manager sets itself ("") get no warning. Three stand for all
// names that begin so; see meaningless.
func known() map[string]string {
	const (
		streams    = "it is for stream connectors"
		listen     = "it is for connectors that are called by the platform"
		s3         = "bundles are not sent to S3"
		enrichment = "it is for enrichment connectors"
	)
	names := map[string]string{
		"OPENCTI_CONFIG_HASH":                                    "",
		"CONNECTOR_AUTO":                                         enrichment,
		"CONNECTOR_AUTO_UPDATE":                                  enrichment,
		"CONNECTOR_ONLY_CONTEXTUAL":                              enrichment,
		"CONNECTOR_ENRICHMENT_RESOLUTION":                        enrichment,
		"CONNECTOR_PLAYBOOK_COMPATIBLE":                          enrichment,
		"CONNECTOR_XTM_ONE_INTENT":                               enrichment,
		"CONNECTOR_LISTEN_PROTOCOL":                              listen,
		"CONNECTOR_LIVE_STREAM_":                                 streams,
		"CONNECTOR_CONSUMER_COUNT":                               streams,
		"CONNECTOR_SEND_TO_S3":                                   s3,
		"CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT":                  "create the user on the platform and give its token",
		"CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT_CONFIDENCE_LEVEL": "create the user on the platform and set its confidence there",
	}
	for _, name := range []string{"ENDPOINT", "PORT", "ACCESS_KEY", "SECRET_KEY", "USE_SSL", "BUCKET_REGION"} {
		names["S3_"+name] = s3
	}
	return names
}
