// Package config reads the connector's settings and is their only source of
// truth.
//
// One table (settings.go and the settings_*.go files) has a row for every
// setting: its path in config.yml, its environment name, the older names it
// went by, its kind, default, secrecy and a sentence of description. The
// loader, the printed tables, the JSON schema, the sample file and the
// manifest are all made from that table.
//
// Load collects every value that config.yml, the environment, a .env file,
// *_FILE variables and systemd credentials give, lets the highest place win
// key by key, and returns all problems at once. Nothing is read from the
// process itself: the environment and the directory come in with Options.
//
// A secret is held in a Secret, which prints as asterisks whichever way it is
// printed.
package config
