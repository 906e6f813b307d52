package web

import (
	"net/http"
	"slices"
	"time"

	"threatmatch-connector/internal/inspect"
)

// setup is what the connector was started with, and the state of its parts.
type setup struct {
	frame
	inspect.Setup
	Status   inspect.Status
	Given    []inspect.Setting // set by the user
	Defaults []inspect.Setting
	Parts    []checked
	Clock    string
}

// settingsTable is a list of settings with the name of their table.
type settingsTable struct {
	Label    string
	Settings []inspect.Setting
}

// checked is a part and whether it is ready.
type checked struct {
	Name, State, Why string
	Bad              bool
}

func (s *site) setup(*http.Request) (string, any, error) {
	status, err := s.ask()
	if err != nil {
		return "", nil, err
	}
	with, err := s.src.Setup()
	if err != nil {
		return "", nil, err
	}
	v := setup{frame: s.frame("Set-up", "setup", 0), Setup: with, Status: status, Clock: clockText(status)}
	for _, x := range with.Settings {
		if x.Origin == "" || x.Origin == "default" {
			v.Defaults = append(v.Defaults, x)
		} else {
			v.Given = append(v.Given, x)
		}
	}
	for _, st := range status.Stages {
		why := status.NotReady[st.Name]
		v.Parts = append(v.Parts, checked{st.Name, st.State, why, why != ""})
	}
	if status.Running {
		why := status.NotReady["spool"]
		v.Parts = slices.Insert(v.Parts, 0, checked{"spool", inspect.Size(status.Spool.LiveBytes) + " of " + inspect.Size(status.Spool.MaxBytes), why, why != ""})
	}
	return "setup.html", v, nil
}

func clockText(s inspect.Status) string {
	ahead := time.Duration(s.ClockAhead) * time.Second
	switch {
	case !s.Running:
		return "not compared: the connector does not run"
	case ahead.Abs() < time.Minute:
		return "within a minute of ThreatMatch's"
	case ahead > 0:
		return took(ahead) + " ahead of ThreatMatch's: set it, preferably by NTP"
	}
	return took(-ahead) + " behind ThreatMatch's: set it, preferably by NTP"
}
