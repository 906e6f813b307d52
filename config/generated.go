package config

import "io"

// Generated returns the files beside this package that are made from the table, by name, each with the function that
// writes it. A test compares them with the table; "go test ./config -update" writes them.
func Generated() map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"config.yml.sample":            WriteSample,
		"connector_config_schema.json": WriteSchema,
		"connector_manifest.json":      WriteManifest,
		"connector_catalog.json":       WriteCatalog,
		"SETTINGS.md":                  WriteMarkdown,
	}
}
