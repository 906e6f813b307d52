package sim

import (
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/threatmatch"
	"threatmatch-connector/internal/sim/worker"
)

// Stats is all that the stand-ins counted.
type Stats struct {
	ThreatMatch threatmatch.Stats            `json:"threatmatch"`
	OpenCTI     opencti.Stats                `json:"opencti"`
	Connectors  []opencti.Connector          `json:"connectors"`
	Works       []opencti.Work               `json:"works"`
	Worker      worker.Counts                `json:"worker"`
	WorkCounts  map[string]worker.WorkCounts `json:"work_counts"`
	Violations  []worker.Violation           `json:"violations"`
}

// Stats are the counts so far.
func (s *Sim) Stats() Stats {
	out := Stats{ThreatMatch: s.ThreatMatch.Stats(), OpenCTI: s.OpenCTI.Stats(), Works: s.OpenCTI.Works(), Connectors: []opencti.Connector{}, Violations: []worker.Violation{}}
	for _, q := range s.OpenCTI.Queues() {
		if c, ok := s.OpenCTI.Connector(q.Connector); ok {
			out.Connectors = append(out.Connectors, c)
		}
	}
	if s.Worker != nil {
		out.Worker, out.WorkCounts, out.Violations = s.Worker.Counts(), s.Worker.Works(), s.Worker.Violations()
	}
	return out
}

// Verdict says whether an import was faithful.
type Verdict struct {
	// OK: nothing is missing, refused or broken, and every work is complete.
	OK bool `json:"ok"`
	// Expected ids, and those of them that did not arrive (the first hundred).
	Expected     int      `json:"expected"`
	MissingCount int      `json:"missing_count"`
	Missing      []string `json:"missing"`
	// Refused by the platform; Violations of any rule; what the connector asked
	// of the platform and must not.
	Refused            int                 `json:"refused"`
	Violations         int                 `json:"violations"`
	PlatformViolations []opencti.Violation `json:"platform_violations"`
	// Foreign are requests to ThreatMatch that its reference client never sends.
	Foreign []string `json:"foreign"`
	// SchemaRefusals are documents that the platform's schema refused; not in OK,
	// since trying is one way to learn what a version knows.
	SchemaRefusals []string `json:"schema_refusals"`
	// Repeats are messages that came twice with the same content; not in OK,
	// since an unknown confirm makes them lawful.
	Repeats int `json:"repeats"`
	// RepeatedItems were truly answered more than once; not in OK either.
	RepeatedItems []string `json:"repeated_items"`
	// OpenWorks are not complete; UnevenWorks expect another number than came.
	OpenWorks   []string `json:"open_works"`
	UnevenWorks []string `json:"uneven_works"`
	// InQueue are messages that the worker did not take yet.
	InQueue int `json:"in_queue"`
}

const toldMissing = 100

// Verdict compares what arrived with what the datasets (none: all) hold.
func (s *Sim) Verdict(datasets ...data.Dataset) Verdict {
	want := s.ThreatMatch.ExpectedIDs(datasets...)
	stats := s.Stats()
	v := Verdict{
		Expected: len(want), Missing: []string{}, Refused: stats.Worker.Refused, Violations: stats.Worker.Violations,
		PlatformViolations: stats.OpenCTI.Violations, Foreign: stats.ThreatMatch.Foreign, SchemaRefusals: stats.OpenCTI.Refused, Repeats: stats.Worker.Repeats,
		RepeatedItems: stats.ThreatMatch.Repeated, OpenWorks: []string{}, UnevenWorks: []string{}, InQueue: s.OpenCTI.QueuedMessages(),
	}
	if s.Worker != nil {
		missing := s.Worker.Missing(want)
		v.MissingCount, v.Missing = len(missing), missing[:min(len(missing), toldMissing)]
	}
	for _, w := range stats.Works {
		if w.Status != "complete" {
			v.OpenWorks = append(v.OpenWorks, w.ID)
		}
		came := stats.WorkCounts[w.ID].Distinct
		if w.Pushed {
			came = stats.WorkCounts[w.ID].Received
		}
		if s.Worker != nil && w.Alive && w.Expected != came {
			v.UnevenWorks = append(v.UnevenWorks, w.ID)
		}
	}
	v.OK = v.MissingCount == 0 && v.Violations == 0 && len(v.PlatformViolations) == 0 && len(v.Foreign) == 0 &&
		len(v.OpenWorks) == 0 && len(v.UnevenWorks) == 0 && v.InQueue == 0
	return v
}
