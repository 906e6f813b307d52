package platform

import (
	"slices"
	"time"

	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

// currentState computes the state to store on OpenCTI: the time up to which
// everything is confirmed, with no older parked item. It is empty before the first
// run is confirmed. Datasets that are disabled, or that ThreatMatch does not offer,
// do not count for last_run. The state still records their position: on a new
// volume they continue there, and not at a last_run that is already past them.
func currentState(s Spool, enabled []spool.Dataset) (connectorState, error) {
	marks, err := s.Watermarks()
	if err != nil {
		return connectorState{}, err
	}
	parts, err := datasetParts(s, enabled, marks)
	if err != nil {
		return connectorState{}, err
	}
	at := map[spool.Dataset]time.Time{}
	confirmed := false
	counts := func(d spool.Dataset) bool { return slices.Contains(enabled, d) && !parts[d].skipped }
	for _, d := range spool.Datasets() {
		t := marks[d].Confirmed
		if t.IsZero() {
			t = parts[d].from // nothing older was ever requested
		} else if counts(d) {
			confirmed = true
		}
		if held := marks[d].Held; !held.IsZero() && held.Before(t) {
			t = held
		}
		if !t.IsZero() {
			at[d] = t
		}
	}
	if !confirmed {
		return connectorState{}, nil
	}
	return stateOf(at, counts), nil
}

// datasetPart is what the runs say about a dataset.
type datasetPart struct {
	decided bool      // a run has finished with it
	skipped bool      // the last such run found that it is not offered
	from    time.Time // the earliest window start; only for datasets never confirmed
}

// datasetParts reads the runs, newest first, no further back than needed.
func datasetParts(s Spool, enabled []spool.Dataset, marks map[spool.Dataset]spool.Watermark) (map[spool.Dataset]datasetPart, error) {
	const atLeast = 20 // so that datasets that are switched off are found, too
	meta, err := s.Meta()
	if err != nil {
		return nil, err
	}
	parts := map[spool.Dataset]datasetPart{}
	enough := func() bool {
		for _, d := range enabled {
			if !parts[d].decided || marks[d].Confirmed.IsZero() {
				return false
			}
		}
		return true
	}
	read := 0
	err = pipeline.RunHistory(s, meta.Epoch, func(r spool.Run) bool {
		addParts(parts, r)
		read++
		return read%atLeast != 0 || !enough()
	})
	return parts, err
}

func addParts(parts map[spool.Dataset]datasetPart, r spool.Run) {
	for d, dr := range r.Datasets {
		p := parts[d]
		switch dr.Status {
		case spool.DatasetSkipped, spool.DatasetOK, spool.DatasetFailed:
			if !p.decided {
				p.decided, p.skipped = true, dr.Status == spool.DatasetSkipped
			}
		}
		if p.from.IsZero() || !dr.From.IsZero() && dr.From.Before(p.from) {
			p.from = dr.From
		}
		parts[d] = p
	}
}
