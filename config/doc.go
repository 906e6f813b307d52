// Package config reads the connector's settings and is their only source of truth.
//
// One table (settings.go and the settings_*.go files) has a row for every setting: its path in config.yml, its
// environment name, older names, its kind, default, secrecy and a sentence of description. The loader, the printed
// tables, the JSON schema, the sample file and the manifest are all made from that table.
//
// Load collects every value that config.yml, the environment, a .env file, *_FILE variables and systemd credentials
// give, lets the highest layer win setting by setting, and returns all problems at once. It reads nothing from the
// process itself: Options pass in the environment and the directory.
//
// A secret is held in a Secret, which prints as asterisks however it is printed.
package config
