package verdicts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

const id = "malware--6ba7b810-9dad-41d1-80b4-00c04fd430c8"

var start = time.Date(2024, 3, 5, 7, 11, 13, 170e6, time.UTC)

// double is a spool with works to read, and OpenCTI, with its own clock.
type double struct {
	now      time.Time
	rows     map[uint64]spool.WatchedWork
	letters  []spool.DeadLetter
	asked    []time.Time
	complete bool
	unread   bool
	errors   []opencti.WorkError
	fail     error
	onAsk    func()
}

func (d *double) WatchedWorks(now time.Time, limit int) (due []spool.WatchedWork, next time.Time, all int, err error) {
	for _, w := range d.rows {
		switch {
		case !w.Due.After(now) && len(due) < limit:
			due = append(due, w)
		case next.IsZero() || w.Due.Before(next):
			next = w.Due
		}
	}
	return due, next, len(d.rows), nil
}

func (d *double) SaveVerdict(_ time.Time, w spool.WatchedWork, letters []spool.DeadLetter, done bool) error {
	if _, ok := d.rows[w.Run]; !ok {
		return spool.ErrNotFound
	}
	d.letters = append(d.letters, letters...)
	if d.rows[w.Run] = w; done {
		delete(d.rows, w.Run)
	}
	return nil
}

func (d *double) WorkErrors(context.Context, string) (opencti.Work, []opencti.WorkError, error) {
	d.asked = append(d.asked, d.now)
	if d.onAsk != nil {
		d.onAsk()
	}
	return opencti.Work{Complete: d.complete, Unread: d.unread}, d.errors, d.fail
}

func (d *double) loop() *Reader {
	now := func() time.Time { return d.now }
	return New(Deps{Spool: d, Works: d, Status: pipeline.NewStatus(now), Log: slog.New(slog.DiscardHandler),
		Metrics: NewMetrics(prometheus.NewRegistry()), Now: now})
}

func newDouble(works int) *double {
	d := &double{now: start, rows: map[uint64]spool.WatchedWork{}}
	for i := range works {
		run := uint64(i + 1)
		d.rows[run] = spool.WatchedWork{Run: run, ID: fmt.Sprint("work ", run), Since: start}
	}
	return d
}

// pass runs the loop for this much time.
func (d *double) pass(t *testing.T, l *Reader, until time.Duration) {
	t.Helper()
	for end := d.now.Add(until); d.now.Before(end); {
		wait, err := l.step(t.Context())
		if err != nil && d.fail == nil {
			t.Fatal(err)
		}
		d.now = d.now.Add(max(wait, 7*time.Millisecond))
	}
}

func refusal(n int, message string) opencti.WorkError {
	return opencti.WorkError{At: start.Add(time.Duration(n) * 13 * time.Millisecond), Message: message, Source: `{"type":"malware","id":"` + id + `"}`}
}

func TestPollingIsCheapAndEnds(t *testing.T) {
	d := newDouble(1)
	d.pass(t, d.loop(), 8*24*time.Hour)
	if len(d.rows) != 0 {
		t.Errorf("got %d works watched after eight days, want 0", len(d.rows))
	}
	if n := len(d.asked); n < 100 || n > 200 {
		t.Errorf("asked %d times in a week, want about one an hour", n)
	}
	if d.asked[0].Before(start.Add(firstTry)) {
		t.Errorf("asked first at %v, want %v after the run's end", d.asked[0].Sub(start), firstTry)
	}
}

func TestKeptOnceAcrossRestarts(t *testing.T) {
	d := newDouble(1)
	d.errors = []opencti.WorkError{refusal(1, "FUNCTIONAL_ERROR one")}
	d.pass(t, d.loop(), time.Minute)
	d.errors = append(d.errors, refusal(2, "FUNCTIONAL_ERROR two"), opencti.WorkError{Message: "1 dead letters"},
		opencti.WorkError{Message: opencti.NotSent, Source: id})
	d.complete = true
	d.pass(t, d.loop(), time.Hour)
	if len(d.letters) != 2 || len(d.rows) != 0 {
		t.Fatalf("got %d letters and %d works left, want 2 and 0", len(d.letters), len(d.rows))
	}
	if l := d.letters[0]; l.Class != class || l.STIX != id || !strings.Contains(l.Error, "one") {
		t.Errorf("got %+v, want the object's id and the platform's words", l)
	}
}

func TestWaysToEnd(t *testing.T) {
	for name, set := range map[string]func(*double){
		"deleted": func(d *double) { d.fail = opencti.ErrWorkGone },
		"no run": func(d *double) {
			setAll(d, func(w *spool.WatchedWork) { w.ID = "" })
			d.fail = errors.New("no such work")
		},
		"complete":      func(d *double) { d.complete = true },
		"reset between": func(d *double) { d.onAsk = func() { clear(d.rows) }; d.errors = []opencti.WorkError{refusal(1, "no")} },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble(3)
			set(d)
			d.pass(t, d.loop(), time.Minute)
			if len(d.rows) != 0 || len(d.letters) != 0 || len(d.asked) > 3 {
				t.Errorf("got %d works left, %d letters, %d questions; want 0, 0, one for each", len(d.rows), len(d.letters), len(d.asked))
			}
		})
	}
}

func setAll(d *double, change func(*spool.WatchedWork)) {
	for run, w := range d.rows {
		change(&w)
		d.rows[run] = w
	}
}

// TestDeletedWorks: each deleted work is logged.
func TestDeletedWorks(t *testing.T) {
	d := newDouble(3)
	d.fail = opencti.ErrWorkGone
	var logs bytes.Buffer
	l := d.loop()
	l.Log = slog.New(slog.NewTextHandler(&logs, nil))
	d.pass(t, l, time.Minute)
	if got := strings.Count(logs.String(), "was deleted on OpenCTI before its errors were read"); got != 3 || len(d.asked) != 3 {
		t.Errorf("told %d times with %d questions, want 3 and 3:\n%s", got, len(d.asked), logs.String())
	}
}

// TestWithoutTheRight: for a user without MODULES this is logged once, and one work
// a day is read, however many there are. What was delivered in the week before the
// user gets the right is read.
func TestWithoutTheRight(t *testing.T) {
	d := newDouble(30)
	d.unread = true
	var logs bytes.Buffer
	l := d.loop()
	l.Log = slog.New(slog.NewTextHandler(&logs, nil))
	d.pass(t, l, time.Hour)
	for run := uint64(31); run <= 33; run++ { // of later runs
		d.rows[run] = spool.WatchedWork{Run: run, ID: "work", Since: d.now}
	}
	d.pass(t, l, 22*time.Hour)
	if len(d.asked) != 1 || len(d.rows) != 33 {
		t.Fatalf("%d questions in a day, %d works left; want 1 and 33", len(d.asked), len(d.rows))
	}
	d.pass(t, l, 6*24*time.Hour+5*time.Hour)
	if told := strings.Count(logs.String(), "may not read works"); told != 1 || len(d.asked) > 8 || len(d.rows) != 3 {
		t.Fatalf("told %d times, %d questions in a week, %d works left; want 1, one a day, and the 3 of the last week:\n%s", told, len(d.asked), len(d.rows), logs.String())
	}
	d.unread, d.complete, d.errors = false, true, []opencti.WorkError{refusal(1, "no")}
	d.pass(t, l, 24*time.Hour)
	if len(d.rows) != 0 || len(d.letters) != 3 {
		t.Errorf("with the right: %d works left, %d letters; want 0 and 3", len(d.rows), len(d.letters))
	}
}

// TestUnnamedObjects: a worker reports a refused large object without naming it.
// Each large object of the run may be the one, and is kept once for a retry.
func TestUnnamedObjects(t *testing.T) {
	d := newDouble(1)
	setAll(d, func(w *spool.WatchedWork) { w.Large = []string{"report--1", "report--2", "report--3"} })
	for i := range 2 {
		e := refusal(i, "PayloadTooLargeError: request entity too large")
		e.Source = "Bundle too large"
		d.errors = append(d.errors, e)
	}
	l := d.loop()
	d.pass(t, l, time.Minute)
	if len(d.letters) != 3 || l.rejected != 2 {
		t.Fatalf("got %d letters of %d refusals, want 3 of 2", len(d.letters), l.rejected)
	}
	for i, letter := range d.letters {
		if letter.STIX != fmt.Sprint("report--", i+1) || !strings.Contains(letter.Error, "another of the 3 large objects") || string(letter.Payload) != "Bundle too large" {
			t.Errorf("letter %d: got %+v, want report--%d and that it may be another", i, letter, i+1)
		}
	}
	e := refusal(3, "FORBIDDEN_ACCESS")
	e.Source, d.complete = "Bundle too large", true
	d.errors = append(d.errors, e)
	setAll(d, func(w *spool.WatchedWork) { w.Large = w.Large[:1] })
	d.pass(t, l, time.Hour)
	if n := len(d.letters); n != 4 || strings.Contains(d.letters[3].Error, "another") {
		t.Errorf("got %d letters, the last %q; want a fourth one that is sure", n, d.letters[n-1].Error)
	}
}

func TestTwentyAtOnce(t *testing.T) {
	d := newDouble(57)
	d.now = start.Add(time.Hour)
	if _, err := d.loop().step(t.Context()); err != nil || len(d.asked) != atOnce {
		t.Errorf("asked for %d works in a pass (%v), want %d", len(d.asked), err, atOnce)
	}
}

func TestAnOutageDelays(t *testing.T) {
	d := newDouble(1)
	d.fail = errors.New("no answer")
	l := d.loop()
	d.pass(t, l, 10*time.Minute)
	if n := len(d.asked); n > 8 {
		t.Errorf("asked %d times in ten minutes of outage, want fewer and fewer", n)
	}
	d.fail, d.complete, d.errors = nil, true, []opencti.WorkError{refusal(1, "no")}
	d.pass(t, l, 2*time.Hour)
	if len(d.letters) != 1 {
		t.Errorf("got %d letters after the outage, want 1", len(d.letters))
	}
}

// TestAStopIsNoFailedTry: a read that a stop interrupts does not count.
func TestAStopIsNoFailedTry(t *testing.T) {
	d := newDouble(1)
	d.now = start.Add(time.Hour)
	before := d.rows[1]
	ctx, stop := context.WithCancel(t.Context())
	d.onAsk, d.fail = stop, context.Canceled
	if _, err := d.loop().step(ctx); err != nil || len(d.asked) != 1 || d.rows[1].Tries != before.Tries || d.rows[1].Due != before.Due {
		t.Errorf("after %d questions (%v) got %+v, want %+v", len(d.asked), err, d.rows[1], before)
	}
}

// TestGivenUp: a work whose errors could never be read is told of once, with what to do.
func TestGivenUp(t *testing.T) {
	d := newDouble(1)
	d.fail = errors.New("no answer")
	var logs bytes.Buffer
	l := d.loop()
	l.Log = slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	d.pass(t, l, 6*24*time.Hour)
	if logs.Len() > 0 {
		t.Errorf("told before it is given up: %s", logs.String())
	}
	d.pass(t, l, 2*24*time.Hour)
	if got := strings.Count(logs.String(), "hint="); got != 1 || len(d.rows) != 0 {
		t.Errorf("told %d times with %d works left, want once and none: %s", got, len(d.rows), logs.String())
	}
}

// TestReadAfterALongStop: a connector that was stopped for longer than works are watched,
// or whose clock jumped ahead, does not give up at the first failure, nor before the
// workers are done.
func TestReadAfterALongStop(t *testing.T) {
	d := newDouble(1)
	d.now = start.Add(keptFor + time.Hour)
	d.fail = errors.New("no answer")
	d.pass(t, d.loop(), time.Minute)
	d.fail = nil
	d.pass(t, d.loop(), 10*time.Minute)
	d.errors = []opencti.WorkError{refusal(1, "no")}
	d.pass(t, d.loop(), time.Hour)
	if len(d.letters) != 1 {
		t.Errorf("got %d letters, want 1", len(d.letters))
	}
	d.pass(t, d.loop(), 24*time.Hour)
	if len(d.rows) != 0 || len(d.asked) > leastTries {
		t.Errorf("%d works left after %d questions, want none after at most %d", len(d.rows), len(d.asked), leastTries)
	}
}

// TestTheClockIsSetBackWithoutTheRight: a user who has got the right is not kept waiting
// until the clock has caught up.
func TestTheClockIsSetBackWithoutTheRight(t *testing.T) {
	d := newDouble(1)
	d.unread = true
	l := d.loop()
	d.pass(t, l, time.Minute)
	d.now = start.AddDate(-1, 0, 0)
	setAll(d, func(w *spool.WatchedWork) { w.Due = time.Time{} })
	d.unread, d.complete, d.errors = false, true, []opencti.WorkError{refusal(1, "no")}
	d.pass(t, l, time.Hour)
	if len(d.letters) != 1 {
		t.Errorf("got %d letters, want 1", len(d.letters))
	}
}

func TestWords(t *testing.T) {
	d := newDouble(1)
	d.complete = true
	for i := range opencti.MaxWorkErrors {
		d.errors = append(d.errors, refusal(i, "FORBIDDEN_ACCESS You are not allowed to do this."))
	}
	d.errors[0].Source = "Bundle too large"
	d.errors[1].Message = "FUNCTIONAL_ERROR Marking definition not allowed for the user"
	d.errors[2].Source = `{"type":"bundle","id":"bundle--1","objects":[{"id":"` + id + `"}]}`
	d.errors[4].Message = "MISSING_REFERENCE_ERROR Element(s) not found"
	d.errors[5].Message = "PayloadTooLargeError: request entity too large"
	d.errors[6].Message = "element too large (ELEMENT_TOO_LARGE)"
	d.errors[7].Message = "VALIDATION_ERROR name"
	d.pass(t, d.loop(), time.Minute)
	if len(d.letters) != opencti.MaxWorkErrors {
		t.Fatalf("got %d letters, want %d", len(d.letters), opencti.MaxWorkErrors)
	}
	for i, want := range []string{"did not say of which object", "allow the marking", "may create and update knowledge", "at least 100",
		"retry it when that is there", "max_payload_body_size", "WORKER_OBJECTS_MAX_REFS", "other: see OpenCTI's words: VALIDATION_ERROR"} {
		if got := d.letters[i].Error; !strings.Contains(got, want) {
			t.Errorf("letter %d: got %q, want %q in it", i, got, want)
		}
	}
	if d.letters[2].STIX != id || d.letters[0].STIX != "" {
		t.Errorf("got ids %q and %q, want that of the bundle's object and none", d.letters[2].STIX, d.letters[0].STIX)
	}
}
