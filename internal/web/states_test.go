package web

import (
	"fmt"
	"time"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// now is the time at which the tests view the states.
func now() time.Time { return time.Date(2026, 3, 7, 4, 13, 57, 0, time.UTC) }

// state is a connector in a certain state, and what the page must say about it.
type state struct {
	name     string
	status   inspect.Status
	stuck    string // the red box; "" means none
	sentence string // above the drawing
	command  string // under the sentence; "" means that there is none
}

// healthy is a connector in the middle of an import.
func healthy() inspect.Status {
	at := func(seconds int) time.Time { return now().Add(-time.Duration(seconds) * time.Second) }
	s := inspect.Status{
		Running: true, Alive: true, Ready: true, Now: now(), Process: inspect.Process{PID: 4711, Started: at(7200)}, Broker: "connected",
		Stages: []inspect.Stage{
			{Name: "schedule", State: "idle", Since: at(611)},
			{Name: "fetch", State: "working", Since: at(97), Detail: feed, LastError: feed},
			{Name: "map", State: "working", Since: at(13), Detail: feed},
			{Name: "deliver", State: "working", Since: at(7), Detail: feed},
			{Name: "platform", State: "idle", Since: at(7199), Detail: "registered"},
		},
		Queue: &inspect.Queue{Bytes: 123_456_789, Threshold: 500_000_000},
		Rates: &inspect.Rates{Requests: 3.26, Records: 3.1, Objects: 417.8, Messages: 1238.4},
		Next:  now().Add(47 * time.Minute),
		Runs:  []inspect.Run{{ID: 31, Phase: "fetching", Created: at(611), Work: inspect.Work{ID: "work--1"}}},
	}
	s.Spool = inspect.Stats{
		LiveBytes: 700 << 20, MaxBytes: 4 << 30, Counts: spool.Counts{Tasks: 1234, Records: 97, Waiting: 412, Held: 13, Bundles: 2, Messages: 8123},
		Bytes:  map[string]int64{"records": 211 << 20, "waiting": 37 << 20, "held": 1 << 20, "bundles": 301 << 20},
		Oldest: map[string]time.Time{"records": at(73), "waiting": at(611), "held": at(90000), "bundles": at(31)},
	}
	return s
}

// troubled is a healthy connector after f.
func troubled(f func(*inspect.Status)) inspect.Status {
	s := healthy()
	s.NotReady = map[string]string{}
	f(&s)
	s.Ready = len(s.NotReady) == 0
	return s
}

func stageIs(s *inspect.Status, name, state, detail string) {
	for i := range s.Stages {
		if s.Stages[i].Name == name {
			s.Stages[i].State, s.Stages[i].Detail = state, detail
		}
	}
}

func failing(dataset, class string, n int) []inspect.Failing {
	var all []inspect.Failing
	for i := range n {
		all = append(all, inspect.Failing{
			Run: 31, Dataset: dataset, Request: fmt.Sprintf("%s/%d", dataset, i), Class: class, Tries: 9 - i,
			Since: now().Add(-time.Minute), Next: now().Add(time.Duration(17+i) * time.Second), Error: feed,
		})
	}
	return all
}

// states are all states that the tests look at.
func states() []state {
	const connector = "threatmatch-connector "
	notReady := func(part, why string, more func(*inspect.Status)) inspect.Status {
		return troubled(func(s *inspect.Status) {
			s.NotReady[part] = why
			if more != nil {
				more(s)
			}
		})
	}
	paused := func(s *inspect.Status) { stageIs(s, "fetch", "paused", "run 31"); stageIs(s, "map", "idle", "") }
	stopped := inspect.Status{Now: now(), Process: inspect.Process{PID: 4711, Started: now().Add(-time.Hour)}, Spool: healthy().Spool}
	return []state{
		{"running", healthy(), "", "Ready.", ""},
		{"ThreatMatch down", notReady("fetch", "ThreatMatch does not answer: connection refused", paused), "ThreatMatch", "ThreatMatch does not answer: connection refused", connector + "check"},
		{"account refused", notReady("fetch", "ThreatMatch refuses the account or the address: 401: check threatmatch.client_id", paused), "ThreatMatch", "check threatmatch.client_id", connector + "check"},
		{"list failing for long", notReady("fetch", "profiles failed in the last 3 runs", func(s *inspect.Status) { s.Failing = failing("profiles", "server", 1) }), "fetch", "profiles failed in the last 3 runs", connector + "spool ls failing"},
		{"list failing", troubled(func(s *inspect.Status) { s.Failing = failing("profiles", "server", 1) }), "", "1 request of profiles fails (server), up to 9 tries, next 2026-03-07 04:14:14 UTC", connector + "spool ls failing"},
		{"items failing", troubled(func(s *inspect.Status) {
			s.Failing = append(failing("alerts", "server", 3), failing("reports", "refused", 1)...)
		}), "", "3 requests of alerts fail (server), up to 9 tries, next 2026-03-07 04:14:14 UTC", connector + "spool ls failing"},
		{"spool full", notReady("fetch", "the spool is full of held objects and dead letters: use spool export", func(s *inspect.Status) {
			paused(s)
			s.Spool.LiveBytes, s.Spool.Waiting, s.Spool.Held, s.Spool.Bytes["held"] = 4<<30+1, 347_123, 991_234, 3<<30
		}), "waiting and held", "the spool is full of held objects", connector + "spool stats"},
		{"OpenCTI down", notReady("platform", "OpenCTI does not answer: connection refused", func(s *inspect.Status) { stageIs(s, "platform", "waiting", feed) }), "OpenCTI", "OpenCTI does not answer", connector + "check"},
		{"RabbitMQ down", notReady("deliver", "RabbitMQ: nothing listens at broker:5672: check MQ_HOST and MQ_PORT, and whether the server runs", func(s *inspect.Status) {
			stageIs(s, "deliver", "waiting", feed)
			s.Broker, s.Rates.Messages = "not connected (lost at 2026-03-07 04:13:41Z); trying again", 0
		}), "RabbitMQ", "RabbitMQ: nothing listens at broker:5672: check MQ_HOST and MQ_PORT", connector + "check"},
		{"RabbitMQ blocked", troubled(func(s *inspect.Status) {
			stageIs(s, "deliver", "paused", "the broker reads nothing: it has a memory or disk alarm")
			s.Broker = "blocked"
		}), "RabbitMQ", "the broker reads nothing", connector + "status"},
		{"queue above its threshold", troubled(func(s *inspect.Status) {
			stageIs(s, "deliver", "paused", "OpenCTI's queue holds 612 MB, the threshold is 500 MB")
			s.Queue.Bytes = 612_345_678
		}), "OpenCTI", "OpenCTI's queue holds 612 MB, the threshold is 500 MB", connector + "status"},
		{"paused by an operator", notReady("deliver", "paused by an operator", func(s *inspect.Status) {
			s.Spool.Paused = []inspect.Paused{{Stage: "deliver", Since: now().Add(-time.Minute)}}
			stageIs(s, "deliver", "paused", "paused by an operator")
			s.Broker = "not connected"
		}), "deliver", "paused by an operator since 2026-03-07T04:12:57Z", connector + "resume deliver"},
		{"stopped and paused", inspect.Status{Now: now(), Spool: inspect.Stats{Paused: []inspect.Paused{{Stage: "map", Since: now().Add(-time.Minute)}}}},
			"", "paused by an operator since 2026-03-07T04:12:57Z", connector + "resume map"},
		{"stopped", stopped, "", "Not running. The last process, pid 4711, did not close the spool.", connector + "run"},
		{"empty", inspect.Status{Running: true, Alive: true, Ready: true, Now: now()}, "", "Ready.", ""},
		{"dead letters", troubled(func(s *inspect.Status) { s.Spool.Dead = 10_000 }), "", "Ready.", ""},
	}
}
