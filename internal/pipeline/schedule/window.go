package schedule

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

// windows returns where each enabled dataset's window begins, and whether this is
// the first run since the spool was created or reset.
func (s *Schedule) windows(now time.Time) (map[spool.Dataset]time.Time, bool, error) {
	marks, err := s.Spool.Watermarks()
	if err != nil {
		return nil, false, err
	}
	open := map[spool.Dataset]time.Time{} // windows of runs that did not move the watermark
	first := true
	err = s.history(func(r spool.Run) bool {
		if !r.Reason.MovesWatermarks() {
			return true
		}
		first = false
		for d, dr := range r.Datasets {
			if _, ok := open[d]; !ok && !dr.From.After(r.Created) { // a start in the future requested nothing
				open[d] = dr.From
			}
		}
		return len(open) < len(spool.Datasets())
	})
	if err != nil {
		return nil, false, err
	}
	out := map[spool.Dataset]time.Time{}
	for _, d := range s.opt.Datasets {
		out[d] = s.windowStart(d, marks, open, now)
	}
	return out, first, nil
}

func (s *Schedule) windowStart(d spool.Dataset, marks map[spool.Dataset]spool.Watermark, open map[spool.Dataset]time.Time, now time.Time) time.Time {
	w := marks[d]
	if !w.Fetched.IsZero() {
		mark := w.Fetched
		if mark.After(now) { // the clock was wrong then, or is now
			if mark = w.Previous; mark.IsZero() || mark.After(now) {
				mark = s.opt.ImportFrom(now) // it is unknown what was fetched: rather fetch it again than miss it
			}
			s.Log.Error("watermark lies in the future", "stage", stageName, "dataset", d, "watermark", w.Fetched, "using", mark,
				"hint", "check this machine's clock")
		}
		return mark.Add(-s.opt.Overlap).UTC()
	}
	if from, ok := open[d]; ok {
		return from // it took part in a run but never completed: keep the same window
	}
	if last := lastRun(marks); !last.IsZero() {
		s.Log.Warn("dataset is new: it starts where the others stand", "stage", stageName, "dataset", d,
			"from", last, "hint", "repull --from DATE --dataset "+string(d)+" imports what is older")
		return earlier(last, now).Add(-s.opt.Overlap).UTC()
	}
	return s.opt.ImportFrom(now).UTC()
}

// newTypes warns about types for which the latest run that fetched IOC pages
// requested no page: they have no watermark of their own.
func (s *Schedule) newTypes(windows map[spool.Dataset]time.Time) error {
	from, ok := windows[spool.IOCs]
	if !ok {
		return nil
	}
	return s.history(func(r spool.Run) bool {
		var had []string
		for name := range r.Counters {
			if t, ok := strings.CutPrefix(name, pipeline.PagesOfType); ok {
				had = append(had, t)
			}
		}
		if len(had) == 0 {
			return true
		}
		for _, t := range s.opt.Types {
			if !slices.Contains(had, t) {
				s.Log.Warn("type is new: it starts where the other IOCs stand", "stage", stageName, "type", t, "from", from,
					"hint", "repull --from DATE --dataset "+string(spool.IOCs)+" imports what is older")
			}
		}
		return false
	})
}

// lastRun returns the earliest of the datasets' confirmed watermarks.
func lastRun(marks map[spool.Dataset]spool.Watermark) time.Time {
	var last time.Time
	for _, w := range marks {
		at := cmp.Or(w.Confirmed, w.Fetched)
		if !at.IsZero() && (last.IsZero() || at.Before(last)) {
			last = at
		}
	}
	return last
}

func earlier(a, b time.Time) time.Time { return slices.MinFunc([]time.Time{a, b}, time.Time.Compare) }
