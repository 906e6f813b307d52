package web

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"

	"threatmatch-connector/internal/inspect"
)

// runs shows the latest imports on a common time axis.
type runs struct {
	frame
	Rows     []runRow
	From, To time.Time
	Older    uint64 // 0: these are the oldest
	Newer    bool
}

type runRow struct {
	inspect.Run
	Bars []phase
	Took string
}

// phase is one bar of a run: until everything was fetched, mapped or delivered.
type phase struct {
	Class string
	X, W  float64
	Took  string
}

const runsShown = 20

func (s *site) runs(r *http.Request) (string, any, error) {
	before, _ := strconv.ParseUint(r.FormValue("before"), 10, 64) // absent means start with the newest
	all, err := s.src.Runs(before, runsShown)
	if err != nil {
		return "", nil, err
	}
	v := runsOf(all, s.now())
	v.frame, v.Newer = s.frame("Runs", "runs", 5*time.Second), before > 0
	return "runs.html", v, nil
}

func runsOf(all []inspect.Run, now time.Time) runs {
	var v runs
	for _, r := range all {
		if end := endOf(r, now); v.To.Before(end) {
			v.To = end
		}
		if v.From.IsZero() || r.Created.Before(v.From) {
			v.From = r.Created
		}
	}
	span := max(v.To.Sub(v.From), time.Second)
	for _, r := range all {
		row := runRow{Run: r, Took: took(endOf(r, now).Sub(r.Created))}
		begin := r.Created
		for _, p := range []struct {
			class string
			end   time.Time
		}{{"fetching", r.Fetched}, {"mapping", r.Mapped}, {"delivering", r.Done}} {
			end := cmp.Or(p.end, endOf(r, now))
			if x := share(begin.Sub(v.From), span); end.After(begin) || p.class == "fetching" {
				row.Bars = append(row.Bars, phase{p.class, min(x, curveW-4), max(share(end.Sub(begin), span), 4), took(end.Sub(begin))})
			}
			if begin = end; p.end.IsZero() {
				break
			}
		}
		v.Rows = append(v.Rows, row)
	}
	if len(all) == runsShown && all[len(all)-1].ID > 1 {
		v.Older = all[len(all)-1].ID
	}
	return v
}

func share(d, of time.Duration) float64 { return float64(d) / float64(of) * curveW }

// endOf returns when a run ended, or now if it has not. A run that a reset dropped
// may have no end.
func endOf(r inspect.Run, now time.Time) time.Time {
	if r.Phase == "dropped" {
		return cmp.Or(r.Done, r.Mapped, r.Fetched, r.Created)
	}
	return cmp.Or(r.Done, now)
}

// oneRun shows a run as a funnel.
type oneRun struct {
	runRow
	frame
	Steps []step
}

// step is how many there were of something, and what was left out after it.
type step struct {
	Name string
	N    int64
	W    float64 // width of its bar
	Left []left
}

type left struct {
	N    int64
	What string
}

func (s *site) run(r *http.Request) (string, any, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		return "", nil, errAbsent
	}
	// Runs, not Run: there a missing run is not an error.
	all, err := s.src.Runs(id+1, 1)
	if err != nil {
		return "", nil, err
	}
	if len(all) == 0 || all[0].ID != id {
		return "", nil, errAbsent
	}
	v := oneRun{frame: s.frame("Run "+strconv.FormatUint(id, 10), "runs/", 0), runRow: runsOf(all, s.now()).Rows[0], Steps: funnel(all[0])}
	if all[0].Phase != "done" && all[0].Phase != "dropped" {
		v.Every = 5000
	}
	return "run.html", v, nil
}

// funnelStep says which counters of a run a step shows. Counters with a detail
// after a colon are summed.
type funnelStep struct {
	name string
	of   []string // added
	less []string // subtracted
	left []funnelLeft
}

type funnelLeft struct{ counter, what string }

// The steps of a run's items, then of its objects.
var funnelSteps = []funnelStep{
	{"listed by ThreatMatch", []string{"fetch.listed"}, nil, []funnelLeft{
		{"fetch.parked", "parked: tried again in a later run"}, {"fetch.dead", "given up: see the dead letters"},
		{"fetch.dropped", "requests dropped, since their dataset was switched off or failed"}, {"fetch.unusable", "list entries without an id"},
	}},
	{"items and pages of IOCs fetched", []string{"fetch.items", "fetch.pages"}, nil, []funnelLeft{
		{"map.records_empty", "without a single object"}, {"fetch.gaps", "spans that ThreatMatch did not give in full"},
	}},
	{"objects in them", []string{"map.objects", "map.taken_up"}, nil, []funnelLeft{
		{"map.merged", "copies merged with a better or equal one"}, {"map.skipped_equal", "equal to what was sent before"},
		{"map.skipped_older", "older than what was sent before"}, {"map.skipped_poorer", "with less in them than what was sent before"},
		{"map.older_conflict", "older, and at odds with what was sent before"}, {"map.left_out", "left out by a filter"},
	}},
	{"objects left after merging", []string{"map.objects", "map.taken_up"},
		[]string{"map.merged", "map.skipped_equal", "map.skipped_older", "map.skipped_poorer", "map.older_conflict", "map.left_out"}, []funnelLeft{
			{"map.held", "held until what they need comes"}, {"map.buried", "dead letters of map"},
		}},
	{"objects handed over", []string{"map.published", "map.companions"}, nil, []funnelLeft{{"deliver.dead", "dead letters of deliver"}}},
	{"messages confirmed by RabbitMQ", []string{"deliver.messages"}, nil, nil},
}

// itemSteps is how many of the first steps count items; they have their own scale.
const itemSteps = 2

func funnel(r inspect.Run) []step {
	sum := func(names []string) (n int64) {
		for _, want := range names {
			for name, count := range r.Counters {
				if name == want || strings.HasPrefix(name, want+":") {
					n += count
				}
			}
		}
		return n
	}
	var all []step
	var most [2]int64
	for i, f := range funnelSteps {
		st := step{Name: f.name, N: max(sum(f.of)-sum(f.less), 0)}
		for _, l := range f.left {
			if n := sum([]string{l.counter}); n > 0 {
				st.Left = append(st.Left, left{n, l.what})
			}
		}
		scale := &most[min(i/itemSteps, 1)]
		*scale = max(*scale, st.N)
		all = append(all, st)
	}
	for i := range all {
		all[i].W = float64(all[i].N) / float64(cmp.Or(most[min(i/itemSteps, 1)], 1)) * curveW
	}
	open := 0
	for _, d := range r.Datasets {
		open += d.Open
	}
	if open > 0 {
		all[0].Left = append(all[0].Left, left{int64(open), "requests still to be made"})
	}
	return all
}
