package config

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// shownSetting is one line of the effective settings.
type shownSetting struct {
	Key    string `json:"key"`
	Env    string `json:"env"`
	Value  string `json:"value"` // asterisks for a secret, "" when not set
	Origin string `json:"origin,omitempty"`
}

// WriteEffective writes every setting's value as it is in force, secrets as
// asterisks, as an aligned table or as JSON; with origin, also where each comes
// from; with changed, only those that were given. Old settings are left out: they show in what took their place.
func WriteEffective(w io.Writer, cfg *Config, report Report, jsonOut, origin, changed bool) error {
	var all []shownSetting
	for _, s := range Settings() {
		if s.replaced() || changed && (report.Origins[s.Key] == "" || report.Origins[s.Key] == originDefault) {
			continue
		}
		line := shownSetting{Key: s.Key, Env: s.Env, Value: s.get(cfg)}
		if origin {
			line.Origin = report.Origins[s.Key]
		}
		all = append(all, line)
	}
	if jsonOut {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(struct {
			File     string         `json:"file,omitempty"`
			Settings []shownSetting `json:"settings"`
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

// replaced says whether another setting has taken s's place, so that s never
// shows in what is in force.
func (s Setting) replaced() bool { return s.Legacy != "" && s.Default == "" }
