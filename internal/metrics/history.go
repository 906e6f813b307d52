package metrics

import (
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// ring keeps the last keep samples, of some 300 bytes each.
type ring struct {
	every   time.Duration
	keep    int
	samples []inspect.Sample
	from    reading  // where the current span began
	down    []string // parts that were not ready in it
}

// add takes in a reading, which ends the current span if that is long enough. If the clock jumped, or the process
// stood still, a new span begins and the curve has a gap; samples later than now are dropped then.
func (r *ring) add(now reading) {
	gone := now.At.Sub(r.from.At)
	if r.from.At.IsZero() || gone < 0 || gone > 4*r.every {
		r.samples = slices.DeleteFunc(r.samples, func(s inspect.Sample) bool { return s.At.After(now.At) })
		r.from, r.down = now, now.NotReady
		return
	}
	for _, part := range now.NotReady {
		if !slices.Contains(r.down, part) {
			r.down = append(slices.Clip(r.down), part)
		}
	}
	if gone < r.every {
		return
	}
	s, each := now.Sample, gone.Seconds()
	s.OK, s.Refused = (s.OK-r.from.OK)/each, (s.Refused-r.from.Refused)/each
	s.Failed, s.None = (s.Failed-r.from.Failed)/each, (s.None-r.from.None)/each
	s.Objects, s.Confirmed = (now.total.Objects-r.from.total.Objects)/each, (now.total.Messages-r.from.total.Messages)/each
	s.NotReady, s.Reset = r.down, now.resets > r.from.resets
	slices.Sort(s.NotReady)
	if r.samples = append(r.samples, s); len(r.samples) > r.keep {
		r.samples = append(r.samples[:0], r.samples[1:]...)
	}
	r.from, r.down = now, now.NotReady
}

func (r *ring) copy() []inspect.Sample { return append([]inspect.Sample{}, r.samples...) }

// source is a metric that readings are taken from.
type source struct {
	name string // without the operator's prefix
	add  func(r *reading, label func(name string) string, v float64)
}

var sources = []source{
	{"threatmatch_fetch_tries_total", func(r *reading, label func(string) string, v float64) {
		if label("outcome") == "ok" {
			r.total.Requests += v
		}
	}},
	{"threatmatch_map_events_total", func(r *reading, label func(string) string, v float64) {
		switch label("kind") {
		case "records":
			r.total.Records += v
		case "published":
			r.total.Objects += v
		}
	}},
	{"bundles_sent_total", func(r *reading, _ func(string) string, v float64) { r.total.Messages += v }},
	{"threatmatch_api_requests_total", func(r *reading, label func(string) string, v float64) {
		*r.answered(label("status"), label("failure")) += v
	}},
	{"threatmatch_spool_tasks", gauge(func(r *reading) *int64 { return &r.Tasks })},
	{"threatmatch_spool_records", gauge(func(r *reading) *int64 { return &r.Records })},
	{"threatmatch_spool_waiting_objects", gauge(func(r *reading) *int64 { return &r.Waiting })},
	{"threatmatch_spool_held_objects", gauge(func(r *reading) *int64 { return &r.Waiting })},
	{"threatmatch_spool_messages", gauge(func(r *reading) *int64 { return &r.Messages })},
	{"threatmatch_spool_live_bytes", gauge(func(r *reading) *int64 { return &r.Live })},
	{"threatmatch_spool_file_bytes", gauge(func(r *reading) *int64 { return &r.File })},
	{"threatmatch_spool_oldest_age_seconds", func(r *reading, label func(string) string, v float64) {
		if kind := label("kind"); kind == "records" || kind == "bundles" {
			r.Oldest = max(r.Oldest, int64(v))
		}
	}},
	{"threatmatch_watermark_age_seconds", func(r *reading, label func(string) string, v float64) {
		if i := slices.Index(spool.Datasets(), spool.Dataset(label("dataset"))); i >= 0 {
			r.Behind[i] = int64(v)
		}
	}},
	{"threatmatch_not_ready", func(r *reading, label func(string) string, _ float64) {
		r.NotReady = append(r.NotReady, label("part"))
	}},
	{"threatmatch_platform_resets_total", func(r *reading, _ func(string) string, v float64) { r.resets += v }},
}

func gauge(of func(*reading) *int64) func(*reading, func(string) string, float64) {
	return func(r *reading, _ func(string) string, v float64) { *of(r) += int64(v) }
}

// answered returns the counter for requests with this status and kind of failure.
func (r *reading) answered(status, failure string) *float64 {
	switch {
	case failure == "" && strings.HasPrefix(status, "2"):
		return &r.OK
	case status == "0" || status == "":
		return &r.None
	case strings.HasPrefix(status, "4"):
		return &r.Refused
	}
	return &r.Failed
}
