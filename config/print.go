package config

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// Shown is a setting in force, for people.
type Shown struct {
	Key    string `json:"key"`
	Env    string `json:"env"`
	Value  string `json:"value"` // asterisks for a secret, "" if not set
	Origin string `json:"origin,omitempty"`
}

// Effective returns every setting in force, secrets as asterisks; with changed, only those that were given. Old
// settings are shown as the ones that replaced them.
func Effective(cfg *Config, report Report, changed bool) []Shown {
	var all []Shown
	for _, s := range Settings() {
		if s.replaced() || changed && (report.Origins[s.Key] == "" || report.Origins[s.Key] == originDefault) {
			continue
		}
		all = append(all, Shown{Key: s.Key, Env: s.Env, Value: s.get(cfg), Origin: report.Origins[s.Key]})
	}
	return all
}

// WriteEffective writes the settings in force as an aligned table or as JSON; with origin, also where each comes
// from.
func WriteEffective(w io.Writer, cfg *Config, report Report, jsonOut, origin, changed bool) error {
	all := Effective(cfg, report, changed)
	if !origin {
		for i := range all {
			all[i].Origin = ""
		}
	}
	if jsonOut {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(struct {
			File     string  `json:"file,omitempty"`
			Settings []Shown `json:"settings"`
		}{report.File, all})
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range all {
		if origin {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", line.Key, line.Value, line.Origin)
			continue
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\n", line.Key, line.Value)
	}
	return table.Flush()
}

// replaced reports whether another setting has replaced s, so that s is never shown.
func (s Setting) replaced() bool { return s.Legacy != "" && s.Default == "" }
