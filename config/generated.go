package config

import "io"

// Generated returns the files beside this package that are made from the table,
// by name, each with what writes it. A test holds them to the table; with
// "go test ./config -update" it writes them.
func Generated() map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"config.yml.sample":            WriteSample,
		"connector_config_schema.json": WriteSchema,
		"connector_manifest.json":      WriteManifest,
		"connector_catalog.json":       WriteCatalog,
		"SETTINGS.md":                  WriteMarkdown,
	}
}
