package cli

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"threatmatch-connector/internal/check"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

var statusNow = time.Date(2026, 3, 7, 3, 14, 27, 0, time.UTC)

// importingStatus is a connector in the middle of a large import, with nothing wrong.
func importingStatus() inspect.Status {
	ago := func(d time.Duration) time.Time { return statusNow.Add(-d) }
	const gib = 1 << 30
	return inspect.Status{
		Running: true, Alive: true, Ready: true, Now: statusNow, Process: inspect.Process{PID: 4711, Started: ago(252 * time.Minute), Version: "v1.2.3-14-gabcdef0"},
		Broker: "connected", Queue: &inspect.Queue{Bytes: 212_400_000, Threshold: 500_000_000}, Next: statusNow.Add(43 * time.Minute),
		Rates: &inspect.Rates{Requests: 20.94, Records: 13.1, Objects: 620.2, Messages: 1181.9},
		Stages: []inspect.Stage{
			{Name: "schedule", State: "working", Detail: "run 12 is being fetched", Since: ago(time.Hour)}, {Name: "fetch", State: "retrying", Detail: "run 12", Since: ago(time.Hour)},
			{Name: "map", State: "working", Detail: "mapping run 12", Since: ago(time.Hour)}, {Name: "deliver", State: "working", Detail: "run 12, bundle 3: 2758 of 4548 messages confirmed", Since: ago(time.Hour)},
			{Name: "platform", State: "idle", Detail: "registered", Since: ago(time.Hour), LastError: "OpenCTI: nothing listens at 10.0.0.1:8080: check opencti.url, and whether the server runs", ErrorAt: ago(3 * time.Hour)},
		},
		Runs: []inspect.Run{
			{ID: 12, Reason: "schedule", Resumed: true, Phase: "delivering", Created: ago(70 * time.Minute), Counters: map[string]int64{"map.published": 1_543_806, "map.companions:a": 3, "deliver.messages": 454_842},
				Datasets: []inspect.DatasetRun{{Dataset: "profiles", Status: "ok", Fetched: 1_015_677}, {Dataset: "iocs", Status: "ok", Fetched: 4_000}}},
			{ID: 13, Reason: "schedule", Phase: "fetching", Created: ago(9 * time.Minute), Datasets: []inspect.DatasetRun{{Dataset: "profiles", Status: "open", Open: 1}}},
		},
		Spool: inspect.Stats{LiveBytes: gib, MaxBytes: 4 * gib, HeldPublished: 8,
			Counts:     spool.Counts{Tasks: 1, Records: 44, Waiting: 156, Held: 20, Messages: 1_088_967},
			Watermarks: []inspect.Watermark{{Dataset: "profiles", Confirmed: ago(4 * time.Hour)}, {Dataset: "iocs", Confirmed: ago(5 * time.Hour)}}},
	}
}

func statusText(t *testing.T, s inspect.Status, width int, all bool) string {
	t.Helper()
	var out bytes.Buffer
	if err := (&globals{}).printStatus(screen{Writer: &out, width: width}, s, all); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestHealthyStatus: the whole status is ten lines and fits 80 columns, in the
// middle of an import and between two. The only future time is that of the next
// run.
func TestHealthyStatus(t *testing.T) {
	busy := importingStatus()
	idle := busy
	last := busy.Runs[0]
	last.Phase, last.Done, last.Resumed = "done", statusNow.Add(-time.Hour), false
	last.Counters = map[string]int64{"map.published": 1_543_806, "deliver.messages": 1_543_806}
	idle.Runs, idle.Last, idle.Rates = []inspect.Run{}, &last, &inspect.Rates{}
	idle.Spool = inspect.Stats{LiveBytes: 1 << 20, MaxBytes: 4 << 30, HeldPublished: 8, Counts: spool.Counts{Held: 8}, Watermarks: busy.Spool.Watermarks}
	for _, tt := range []struct {
		name   string
		status inspect.Status
		want   string
	}{
		{"busy", busy, `ready       for 4h12m, pid 4711, version v1.2.3-14-gabcdef0
run 12      schedule (resumed), delivering, 1h10m: 1019677 fetched, 454842 of
            1543809 messages confirmed
run 13      schedule, fetching, 9m: 0 fetched, 1 request to make
next run    in 43m, at 2026-03-07T03:57:27Z
each second 20.9 requests, 13.1 records, 620 objects, 1182 messages
RabbitMQ    connected; OpenCTI's queue 212.4 MB, pause above 500 MB
backlog     1 request, 44 records, 156 waiting objects, 12 held objects, 1088967
            messages
spool       1.0 GiB of 4.0 GiB (25%), confirmed up to 2026-03-06T22:14:27Z
`},
		{"idle", idle, `ready       for 4h12m, pid 4711, version v1.2.3-14-gabcdef0
last run    12, schedule, done 1h0m ago: 1019677 fetched, 1543806 messages
            confirmed
next run    in 43m, at 2026-03-07T03:57:27Z
RabbitMQ    connected; OpenCTI's queue 212.4 MB, pause above 500 MB
backlog     nothing
spool       1.0 MiB of 4.0 GiB (0%), confirmed up to 2026-03-06T22:14:27Z
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := statusText(t, tt.status, defaultWidth, false)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
			if n := strings.Count(got, "\n"); n > 10 {
				t.Errorf("got %d lines, want 10 at most", n)
			}
		})
	}
}

// TestNothingConfirmedYet: for a dataset of which nothing was delivered there is no
// time to show.
func TestNothingConfirmedYet(t *testing.T) {
	s := importingStatus()
	s.Spool.Watermarks = []inspect.Watermark{{Dataset: "profiles", Confirmed: s.Now}, {Dataset: "iocs"}}
	if got := statusText(t, s, defaultWidth, false); !strings.Contains(got, "spool       1.0 GiB of 4.0 GiB (25%), nothing of iocs confirmed yet\n") {
		t.Errorf("got\n%s", got)
	}
}

// TestQueuedIsShown: what waits for the next runs of a repull or retry is in the table of what the spool holds.
func TestQueuedIsShown(t *testing.T) {
	var out bytes.Buffer
	if err := printStats(&out, inspect.Stats{Counts: spool.Counts{Queued: 900}}, statusNow); err != nil || !regexp.MustCompile(`(?m)^queued +900 `).MatchString(out.String()) {
		t.Errorf("got %v\n%s", err, out.String())
	}
}

// TestVerdictOfCheck: one thing is not several.
func TestVerdictOfCheck(t *testing.T) {
	unknown := check.Finding{Verdict: check.Unknown}
	for want, findings := range map[string][]check.Finding{
		"Everything works.": {{Verdict: check.OK}}, "Nothing is wrong; 1 thing cannot be tested yet.": {unknown}, "Nothing is wrong; 2 things cannot be tested yet.": {unknown, unknown},
		"1 thing must be fixed before the connector can work.": {{Verdict: check.Failed}, unknown},
	} {
		if got := verdict(findings); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestStatusFits: whatever is wrong, no line is wider than the screen, and nothing
// is cut off.
func TestStatusFits(t *testing.T) {
	s := importingStatus()
	troubled(&s)
	for _, width := range []int{60, 80, 200} {
		for _, all := range []bool{false, true} {
			text := statusText(t, s, width, all)
			for line := range strings.Lines(text) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > max(width, 70) { // the runs' numbers alone have 70
					t.Errorf("width %d: %d letters: %s", width, n, line)
				}
			}
			if strings.Contains(text, "…") {
				t.Errorf("width %d: something is cut:\n%s", width, text)
			}
		}
	}
}

// troubled makes everything go wrong at once.
func troubled(s *inspect.Status) {
	s.Ready, s.NotReady = false, map[string]string{"deliver": "RabbitMQ: nothing listens at 10.0.0.1:5672: check MQ_HOST and MQ_PORT, and whether the server runs"}
	fail := func(request string, since time.Duration, tries int) inspect.Failing {
		return inspect.Failing{Run: 13, Dataset: "profiles", Request: request, Tries: tries,
			Since: s.Now.Add(-since), Next: s.Now.Add(20 * time.Second), Error: "answered 500 internal server error"}
	}
	s.Failing = []inspect.Failing{fail("profiles/9", 7*time.Second, 1), fail("profiles/7", 75*time.Second, 9)}
	s.Runs[0].Datasets[1].Status, s.Runs[0].Datasets[1].Detail = "failed", "page 1a2b: answered 403 forbidden"
	s.Stages[3] = inspect.Stage{Name: "deliver", State: "retrying", Detail: "RabbitMQ: nothing listens at 10.0.0.1:5672", LastError: s.NotReady["deliver"], ErrorAt: s.Now, Since: s.Now.Add(-time.Minute)}
	s.Stages[2] = inspect.Stage{Name: "map", State: "paused", Detail: "run 12, waits for room in the spool", Since: s.Now}
	s.ClockAhead = -3600
	s.Spool.Parked, s.Spool.Dead, s.Spool.SetAside = 1, 12, "spool.db.damaged"
	s.Spool.Watermarks[0].Held = s.Now.Add(-6 * time.Hour)
}

// TestStatusSaysWhatIsWrong: problems come first, the worst at the top, each in one
// sentence with what to type next. The request that has failed longest speaks for
// its dataset, only in its own run.
func TestStatusSaysWhatIsWrong(t *testing.T) {
	s := importingStatus()
	troubled(&s)
	const want = `NOT READY   for 4h12m, pid 4711, version v1.2.3-14-gabcdef0
✗ deliver   RabbitMQ: nothing listens at 10.0.0.1:5672: check MQ_HOST and MQ_PORT, and whether the server runs
! map       paused: run 12, waits for room in the spool
! iocs      failed in run 12: page 1a2b: answered 403 forbidden → spool run 12
! profiles  profiles/7: answered 500 internal server error, 9 tries, next in 20s; 1 more → spool ls failing
! clock     this machine's clock is 1h0m0s behind ThreatMatch's: set the clock, preferably by NTP; until then each run ends at the earlier of the two → check
! parked    1 item, tried again in the next run, and keeping last_run back → spool dead
! dead      12 dead letters, kept whole → spool dead
! spool     a damaged spool was set aside: spool.db.damaged; with the connector stopped, spool salvage brings back what it held; then remove the file → spool salvage spool.db.damaged
run 12 `
	if got := statusText(t, s, 300, false); !strings.HasPrefix(got, want) {
		t.Errorf("want -, got +\n%s", cmp.Diff(want, got))
	}
}

// TestStoppedStatus: a killed process is distinguished from one that stopped
// cleanly.
func TestStoppedStatus(t *testing.T) {
	for _, tt := range []struct {
		process inspect.Process
		want    string
	}{
		{inspect.Process{}, "not running\n"},
		{inspect.Process{PID: 7, Started: statusNow, Version: "v1", Clean: true}, "not running pid 7 of 2026-03-07T03:14:27Z, version v1, stopped in order\n"},
		{inspect.Process{PID: 7, Started: statusNow}, "not running pid 7 of 2026-03-07T03:14:27Z, version -, was killed; what it fetched is in the spool, and the next start goes on with it\n"},
	} {
		got, _, _ := strings.Cut(statusText(t, inspect.Status{Now: statusNow, Process: tt.process}, 200, false), "last run")
		if got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// TestStoppedStatusForetellsNothing: what failed before a stop is retried at the
// next start, whatever its task says.
func TestStoppedStatusForetellsNothing(t *testing.T) {
	s := importingStatus()
	troubled(&s)
	s.Running, s.Next, s.Rates, s.Stages, s.NotReady = false, time.Time{}, nil, nil, nil
	got := statusText(t, s, 300, true)
	const want = "! profiles  profiles/7: answered 500 internal server error, 9 tries, tried again at the next start; 1 more"
	if !strings.Contains(got, want) || strings.Contains(got, "next in") || strings.Contains(got, "\nnothing") {
		t.Errorf("got\n%s\nwant it with %q, no prediction and no empty table", got, want)
	}
}

// TestForeignSpoolInStatus: if the settings name another connector than the spool,
// that is the first thing an operator sees, with both ids.
func TestForeignSpoolInStatus(t *testing.T) {
	s := inspect.Status{Now: statusNow, Settings: "22222222-2222-4333-8444-555555555555"}
	s.Spool.ConnectorID = "11111111-2222-4333-8444-555555555555"
	const want = "not running\n✗ settings  connector.id is 22222222-2222-4333-8444-555555555555, and the spool belongs to 11111111-2222-4333-8444-555555555555: a start exits with 78; "
	if got := statusText(t, s, 300, false); !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want it to begin with %q", got, want)
	}
}

// TestStatusColours: problems are red or yellow, what is well is green, only on a
// terminal.
func TestStatusColours(t *testing.T) {
	for name, colour := range map[string]bool{"terminal": true, "file": false} {
		var out bytes.Buffer
		s := importingStatus()
		w := screen{Writer: &out, width: 200, colour: colour}
		printHead(w, s)
		troubled(&s)
		if err := (&globals{}).printStatus(w, s, false); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{green + "ready  ", red + "NOT READY  ", red + "✗ deliver  ", yellow + "! dead  "} {
			if got := strings.Contains(out.String(), want); got != colour {
				t.Errorf("%s: %q is there: %v, want %v", name, want, got, colour)
			}
		}
	}
}
