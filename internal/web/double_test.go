package web

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// feed is text from ThreatMatch or a response; it must not appear on any read-only
// page.
const feed = "FEED TEXT"

// double is a connector that answers the page with what the test gives it.
type double struct {
	status    inspect.Status
	err       error // of Status
	history   inspect.History
	unsettled inspect.Unsettled
	all       []inspect.Run // newest first
	found     map[string]inspect.Found
	setup     inspect.Setup
}

func (d double) Status() (inspect.Status, error) { return d.status, d.err }

func (d double) History() (inspect.History, error) { return d.history, nil }

func (d double) Setup() (inspect.Setup, error) { return d.setup, nil }

func (d double) Unsettled() (inspect.Unsettled, error) { return d.unsettled, nil }

func (d double) Runs(before uint64, limit int) ([]inspect.Run, error) {
	all := slices.DeleteFunc(slices.Clone(d.all), func(r inspect.Run) bool { return before > 0 && r.ID >= before })
	return all[:min(len(all), limit)], nil
}

func (d double) Show(_, key string) (spool.Entry, []byte, error) {
	if key != "3" {
		return spool.Entry{}, nil, spool.ErrNotFound
	}
	return spool.Entry{Bucket: "dead", Key: "3", Fields: map[string]any{"class": "invalid", "error": feed}}, []byte(`{"id":"` + malware + `"}`), nil
}

func (d double) Find(_ context.Context, q string) (inspect.Found, error) {
	if f, ok := d.found[q]; ok {
		return f, nil
	}
	return inspect.Found{Query: q}, nil
}

// connector is a connector in the middle of its life, in one state.
func connector(status inspect.Status) double {
	return double{
		status: status, history: pastHour(), all: pastRuns(), unsettled: someUnsettled(7), found: someFound(),
		setup: inspect.Setup{Connector: "1.2.3", Go: "go1.26", OpenCTI: "6.9.17", File: "/etc/threatmatch-connector/config.yml", Settings: []inspect.Setting{
			{Key: "threatmatch.url", Value: "https://eu.threatmatch.com", Origin: "environment THREATMATCH_URL"},
			{Key: "threatmatch.client_secret", Value: "********", Origin: ".env"},
			{Key: "spool.max_size", Value: "4GiB", Origin: "default"}, {Key: "admin.page", Value: "true", Origin: "default"},
		}},
	}
}

// pastHour has a start, an outage, a reset and a gap.
func pastHour() inspect.History {
	h := inspect.History{Began: now().Add(-51*time.Minute - 7*time.Second)}
	for at := h.Began.Add(15 * time.Second); at.Before(now()); at = at.Add(15 * time.Second) {
		n := int(at.Sub(h.Began) / (15 * time.Second))
		s := inspect.Sample{
			At: at, OK: 3 + float64(n%7), Refused: float64(n%5) / 5, Objects: float64(n * 13 % 997), Confirmed: float64(n * 17 % 1301), Tasks: int64(4000 - 17*n),
			Records: int64(n * 7 % 211), Waiting: int64(n * 11), Messages: int64(n * 101 % 9001), Live: 700<<20 + int64(n)<<20, File: 1200 << 20,
			Oldest: int64(n * 3 % 71), Behind: []int64{3600 + int64(15*n), 3700, 90_000, -1},
		}
		switch {
		case n > 40 && n < 61:
			s.OK, s.None, s.NotReady = 0, 1, []string{"fetch"}
		case n == 100:
			s.Reset = true
		case n > 130 && n < 141:
			continue
		}
		h.Hour = append(h.Hour, s)
		if n%20 == 0 {
			h.Day = append(h.Day, s)
		}
	}
	return h
}

func pastRuns() []inspect.Run {
	var all []inspect.Run
	for id := uint64(31); id > 0; id-- {
		began := now().Add(-time.Duration(31-id)*57*time.Minute - 611*time.Second)
		r := inspect.Run{
			ID: id, Reason: "schedule", Phase: "done", Created: began, Start: began, Fetched: began.Add(time.Duration(3+id%7) * time.Minute),
			Work: inspect.Work{ID: fmt.Sprintf("work--%d", id), Status: "processed"},
			Datasets: []inspect.DatasetRun{
				{Dataset: "profiles", From: began.Add(-time.Hour), Status: "ok", Listed: 12, Fetched: 12},
				{Dataset: "alerts", From: began.Add(-time.Hour), Status: "failed", Detail: feed, Listed: 400, Fetched: 311, Open: 85, Parked: 3, Dead: 1},
			},
			Counters: map[string]int64{
				"fetch.listed": 412, "fetch.items": 323, "fetch.pages": 7, "fetch.parked": 3, "fetch.dead": 1, "fetch.groups:" + feed: 1,
				"map.objects": 18_123, "map.merged": 1412, "map.skipped_equal": 9003, "map.held": 13, "map.published": 7690, "map.companions:x": 2, "deliver.messages": 7011,
			},
		}
		r.Mapped = r.Fetched.Add(97 * time.Second)
		r.Done = r.Mapped.Add(7 * time.Minute)
		if id == 31 {
			r.Phase, r.Fetched, r.Mapped, r.Done = "fetching", time.Time{}, time.Time{}, time.Time{}
		}
		all = append(all, r)
	}
	return all
}

func someUnsettled(dead int) inspect.Unsettled {
	at := now().Add(-3*time.Hour - 13*time.Minute)
	u := inspect.Unsettled{Groups: []inspect.Group{
		{Kind: inspect.KindFailing, Stage: "fetch", Class: "server", Dataset: "alerts", Count: 3, Tries: 9, Since: at, Next: now().Add(17 * time.Second), First: []inspect.Case{
			{Key: "alerts/7", Tries: 9, Since: at, Next: now().Add(17 * time.Second), Error: feed}, {Key: "list of alerts", Tries: 2, Since: at, Next: now().Add(23 * time.Second), Error: feed},
			{Key: "page of iocs " + feed + "!", Tries: 2, Since: at, Next: now().Add(29 * time.Second)},
		}},
		{Kind: inspect.KindParked, Stage: "fetch", Class: "refused", Dataset: "reports", Count: 1, Tries: 2, Since: at, First: []inspect.Case{{Key: "reports/27", Tries: 2, Since: at, Error: feed}}},
	}}
	letters := inspect.Group{Kind: inspect.KindDead, Stage: "map", Class: "invalid", Dataset: "profiles", Count: dead, Tries: 1, Since: at}
	for i := range min(dead, 20) {
		letters.First = append(letters.First, inspect.Case{Key: fmt.Sprint(i + 1), Of: malware, Tries: 1, Since: at, Error: feed})
	}
	if dead > 0 {
		u.Groups = append(u.Groups, letters)
	}
	u.Looked, u.All = 4+dead, int64(4+dead)
	return u
}

const (
	malware = "malware--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"
	tool    = "tool--1b5d9b2f-52a6-4f2c-9f0e-0e9c54bb3f6d"
	uses    = "relationship--6d3c2d2b-17d4-4cbf-938f-98ee46b3cd40"
)

func someFound() map[string]inspect.Found {
	at := now().Add(-90 * time.Minute)
	dead := []inspect.FoundDead{{Key: "3", Stage: "map", Class: "invalid", Error: feed}}
	return map[string]inspect.Found{
		malware: {Query: malware, Objects: []inspect.FoundObject{{
			ID: malware, Verdict: "not published: dead letter 3 (map, invalid): " + feed, Dead: dead,
			Published: &inspect.Publication{Run: 30, Work: "work--30", At: at, Modified: at.Add(-time.Hour)},
			Messages:  []inspect.FoundMessage{{Bundle: "31/2", Index: 7}}, Held: &inspect.FoundWaiting{Run: 31, For: tool, Since: at},
			Records:  []inspect.FoundRecord{{Bucket: "kept", Key: "1/2/3", Dataset: "profiles", Source: "7", Fetched: time.Date(2026, 3, 7, 2, 11, 13, 0, time.UTC)}},
			RefersTo: []inspect.Reference{{By: "created_by_ref", ID: tool}}, ReferredBy: []inspect.Reference{{By: "source_ref", ID: uses}},
		}}},
		"reports/27": {Query: "reports/27", Sources: []inspect.FoundSource{{
			Dataset: "reports", Source: "27", Verdict: "parked since 2026-03-07T01:00:57Z, tried again in the next run: " + feed,
			Task: &inspect.FoundTask{Parked: at, Due: now(), Tries: 2, Runs: 1, Error: feed}, Dead: dead, Objects: []string{malware, feed + "--<b>"},
		}}},
	}
}

// A view's name, and its address below /ui/.
type viewed struct{ name, path string }

func views() []viewed {
	return []viewed{
		{"hour", "history"}, {"day", "history?of=day"}, {"runs", "runs"}, {"run", "runs/31"}, {"unsettled", "unsettled"},
		{"find", "find"}, {"object", "find?q=" + malware}, {"item", "find?q=reports/27"}, {"setup", "setup"},
	}
}

// viewState is a connector in a state, and what each view must say about it.
type viewState struct {
	name      string
	connector double
	say       map[string]string // by path
}

func viewStates() []viewState {
	object, item := "find?q="+malware, "find?q=reports/27"
	running := connector(healthy())
	empty := double{status: inspect.Status{Running: true, Alive: true, Ready: true, Now: now()}, all: pastRuns()[:1]}
	empty.all[0].Datasets, empty.all[0].Counters = nil, nil
	stuck := connector(states()[1].status)
	full := connector(healthy())
	full.unsettled = someUnsettled(9_996)
	full.unsettled.All = 23_456
	return []viewState{
		{"running", running, map[string]string{
			"history": "fetch not ready", "history?of=day": "Last day", "runs": "schedule, fetching", "runs/31": "9003 equal to what was sent before",
			"unsettled": "Next try 2026-03-07 04:14:14 UTC", "find": "STIX id", object: "not published: dead letter 3 (map, invalid)",
			item: "parked since 2026-03-07T01:00:57Z", "setup": "environment THREATMATCH_URL",
		}},
		{"empty", empty, map[string]string{
			"history": "Nothing is known yet", "runs": "Run 31", "runs/31": "listed by ThreatMatch", "unsettled": "Nothing fails", object: "No trace of", "setup": "None was set",
		}},
		{"ThreatMatch down", stuck, map[string]string{"setup": "ThreatMatch does not answer: connection refused", "unsettled": strings.ToLower("failing")}},
		{"dead letters", full, map[string]string{"unsettled": "9976 more"}},
	}
}
