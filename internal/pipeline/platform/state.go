package platform

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"threatmatch-connector/internal/moment"
	"threatmatch-connector/spool"
)

// stateTime is how the Python connector writes times: UTC, whole seconds, explicit
// offset.
const stateTime = "2006-01-02T15:04:05+00:00"

// noState is what a connector without a state sends.
const noState = "null"

// connectorState is the state that OpenCTI stores for us.
type connectorState struct {
	LastRun  time.Time
	Datasets map[spool.Dataset]time.Time // only those that differ from LastRun are required
}

// at returns the dataset's position, zero if the state does not say.
func (s connectorState) at(d spool.Dataset) time.Time {
	if t, ok := s.Datasets[d]; ok {
		return t
	}
	return s.LastRun
}

// stateOf makes the state from the datasets' positions: last_run is the earliest of
// those that count; the positions are added when they differ.
func stateOf(marks map[spool.Dataset]time.Time, counts func(spool.Dataset) bool) connectorState {
	var s connectorState
	for d, t := range marks {
		t = t.UTC().Truncate(time.Second)
		if counts(d) && (s.LastRun.IsZero() || t.Before(s.LastRun)) {
			s.LastRun = t
		}
	}
	for _, t := range marks {
		if !t.UTC().Truncate(time.Second).Equal(s.LastRun) {
			s.Datasets = marks
		}
	}
	return s
}

// text returns the JSON text to send, "null" for the zero state.
func (s connectorState) text() string {
	if s.LastRun.IsZero() {
		return noState
	}
	out := struct {
		LastRun  string            `json:"last_run"`
		Datasets map[string]string `json:"datasets,omitempty"`
	}{s.LastRun.UTC().Format(stateTime), map[string]string{}}
	for d, t := range s.Datasets {
		out.Datasets[string(d)] = t.UTC().Format(stateTime)
	}
	text, _ := json.Marshal(out) // strings always marshal
	return string(text)
}

// parseState reads both forms that the Python connector wrote (ISO 8601 text and
// epoch seconds), and ours. Anything but a JSON object is the zero state; unreadable
// members are ignored.
func parseState(text string) connectorState {
	raw := stateObject(text)
	s := connectorState{LastRun: stateMoment(raw["last_run"])}
	datasets, _ := raw["datasets"].(map[string]any)
	for d, v := range datasets {
		t := stateMoment(v)
		if t.IsZero() {
			continue
		}
		if s.Datasets == nil {
			s.Datasets = map[spool.Dataset]time.Time{}
		}
		s.Datasets[spool.Dataset(d)] = t
	}
	return s
}

// stateObject decodes a JSON object. It returns nil for anything else.
func stateObject(text string) map[string]any {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var object map[string]any
	if err := dec.Decode(&object); err != nil {
		return nil
	}
	return object
}

// stateMoment reads one time of a state, zero if it is not a time.
func stateMoment(v any) time.Time {
	switch v := v.(type) {
	case json.Number:
		r, _ := moment.Parse(v.String())
		return r.Time.Truncate(time.Second) // as the Python connector reads it
	case string:
		r, _ := moment.Parse(v)
		return r.Time
	}
	return time.Time{}
}

// canonicalState returns the state with sorted keys and no spaces, so that states
// can be compared as text. It returns "" for anything but a JSON object.
func canonicalState(text string) string {
	object := stateObject(text)
	if object == nil {
		return ""
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(object); err != nil {
		return ""
	}
	return strings.TrimSpace(out.String())
}
