package inspect

import (
	"slices"
	"time"

	"threatmatch-connector/spool"
)

// Status describes a connector at one moment. For a stopped one only Last, Runs,
// Spool and Process are set.
type Status struct {
	Running  bool              `json:"running"`
	Process  Process           `json:"process"` // the running process, or the last one
	Now      time.Time         `json:"now"`
	Alive    bool              `json:"alive"`
	Ready    bool              `json:"ready"`
	NotReady map[string]string `json:"not_ready,omitempty"` // by stage, with what can be done
	Stages   []Stage           `json:"stages,omitempty"`    // in the order of the data flow
	Broker   string            `json:"broker,omitempty"`    // connected, reconnecting, blocked, nacked, or why there is no connection yet
	Queue    *Queue            `json:"platform_queue,omitempty"`
	Rates    *Rates            `json:"rates,omitempty"`
	Next     time.Time         `json:"next_run,omitzero"`
	Runs     []Run             `json:"open_runs"`         // oldest first
	Failing  []Failing         `json:"failing,omitempty"` // requests that are retried, at most 100
	Last     *Run              `json:"last_run,omitempty"`
	Spool    Stats             `json:"spool"`

	// Settings is the connector id in the settings, if the spool belongs to another
	// one: such a connector does not start.
	Settings string `json:"settings_connector_id,omitempty"`

	ClockAhead int64 `json:"clock_ahead_seconds,omitempty"` // ahead of ThreatMatch's
}

// Process is a process of the connector.
type Process struct {
	PID     int       `json:"pid,omitempty"`
	Started time.Time `json:"started,omitzero"`
	Version string    `json:"version,omitempty"`
	Clean   bool      `json:"clean_stop"` // of a process that has ended: it closed the spool
}

// Stage is what one loop says about itself.
type Stage struct {
	Name      string    `json:"name"`
	State     string    `json:"state"` // starting, idle, working, retrying, waiting, paused, stopped
	Detail    string    `json:"detail,omitempty"`
	NotReady  string    `json:"not_ready,omitempty"`
	Since     time.Time `json:"since"`
	LastError string    `json:"last_error,omitempty"`
	ErrorAt   time.Time `json:"error_at,omitzero"`
}

// Stage returns what the named loop says about itself, and false if it says nothing.
func (s Status) Stage(name string) (Stage, bool) {
	i := slices.IndexFunc(s.Stages, func(st Stage) bool { return st.Name == name })
	if i < 0 {
		return Stage{}, false
	}
	return s.Stages[i], true
}

// Queue is the connector's queue as the platform sees it.
type Queue struct {
	Bytes     int64 `json:"bytes"`
	Threshold int64 `json:"threshold_bytes"`
}

// Rates are per second, over the last minute.
type Rates struct {
	Requests float64 `json:"requests"` // answered by ThreatMatch
	Records  float64 `json:"records"`  // mapped
	Objects  float64 `json:"objects"`  // handed over to deliver
	Messages float64 `json:"messages"` // confirmed by the broker
}

// Stopped describes, from its spool, a connector that is not running. info is the
// content of the lock file.
func Stopped(ins Inspector, info spool.LockInfo, now time.Time) (Status, error) {
	s := Status{Now: now, Process: Process{PID: info.PID, Started: info.Started, Version: info.Version, Clean: info.Clean}}
	return s, s.Fill(ins)
}

// mostFailing limits the failing requests in a status.
const mostFailing = 100

// Fill adds what the spool knows.
func (s *Status) Fill(ins Inspector) (err error) {
	if s.Spool, err = ins.Stats(); err != nil {
		return err
	}
	if s.Failing, err = ins.Failing(mostFailing); err != nil {
		return err
	}
	s.Runs = []Run{}
	const page = 50
	runs, err := ins.Runs(0, page)
	for err == nil && len(runs) > 0 {
		open := 0
		for _, r := range runs {
			switch {
			case r.Done.IsZero():
				open++
				s.Runs = append([]Run{r}, s.Runs...)
			case s.Last == nil:
				last := r
				s.Last = &last
			}
		}
		if open == 0 && s.Last != nil {
			break // open runs are together at the new end
		}
		runs, err = ins.Runs(runs[len(runs)-1].ID, page)
	}
	return err
}
