package pipelinetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/threatmatch"
)

// Source is a ThreatMatch scripted by a test. Its clock is the test's.
type Source struct {
	Mu      sync.Mutex
	Lists   map[string][]string // ids by dataset
	Pages   *Pager
	Offered []threatmatch.Group
	Delay   time.Duration // delay of every response
	Skew    time.Duration // of its clock
	Zone    time.Duration // how much later it reads our dates
	Floor   time.Time     // it looks back no further
	// fail decides about the n-th call (from 1) for an object: "list alerts", "item
	// alerts/7", "groups", "page", "control".
	fail func(call string, n int) error
	// calls by object, with their times.
	calls map[string][]time.Time
	since map[string][]time.Time // the times from which lists were requested
}

func NewSource(items int) *Source {
	s := &Source{
		Lists: map[string][]string{}, calls: map[string][]time.Time{}, since: map[string][]time.Time{},
		Offered: []threatmatch.Group{{ID: "1", Name: "All content"}}, Pages: &Pager{Size: 100},
	}
	for _, d := range []string{"profiles", "alerts", "reports"} {
		for i := range items {
			s.Lists[d] = append(s.Lists[d], fmt.Sprint(i+1))
		}
	}
	return s
}

// call records a call, waits as the server would, and fails as scripted.
func (s *Source) call(ctx context.Context, name string) error {
	s.Mu.Lock()
	s.calls[name] = append(s.calls[name], time.Now())
	n, fail, delay := len(s.calls[name]), s.fail, s.Delay
	s.Mu.Unlock()
	if err := sleep(ctx, delay); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", name, context.Cause(ctx))
	}
	if fail == nil {
		return nil
	}
	return fail(name, n)
}

func (s *Source) SetFail(fail func(string, int) error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.fail = fail
}

func (s *Source) Count(name string) int {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return len(s.calls[name])
}

func (s *Source) Times(name string) []time.Time {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return append([]time.Time(nil), s.calls[name]...)
}

// Asked returns the times from which the dataset's list was requested.
func (s *Source) Asked(dataset string) []time.Time {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return append([]time.Time(nil), s.since[dataset]...)
}

func (s *Source) Total() int {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	n := 0
	for _, times := range s.calls {
		n += len(times)
	}
	return n
}

func (s *Source) List(ctx context.Context, dataset string, since time.Time) (threatmatch.List, error) {
	if err := s.call(ctx, "list "+dataset); err != nil {
		return threatmatch.List{}, err
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.since[dataset] = append(s.since[dataset], since)
	applied := since.Truncate(time.Minute).Add(s.Zone)
	if applied.Before(s.Floor) {
		applied = s.Floor
	}
	return threatmatch.List{IDs: threatmatch.NamesOf(s.Lists[dataset]...), Count: len(s.Lists[dataset]), Applied: applied, Date: time.Now().Add(s.Skew)}, nil
}

func (s *Source) Details(ctx context.Context, dataset, id string) (threatmatch.Body, error) {
	if err := s.call(ctx, "details "+dataset+"/"+id); err != nil {
		return threatmatch.Body{}, err
	}
	return threatmatch.Body{Bytes: fmt.Appendf(nil, `{"details":{},"objects":[{"id":"%s--%s"}]}`, dataset, id)}, nil
}

func (s *Source) Item(ctx context.Context, dataset, id string) (threatmatch.Body, error) {
	if err := s.call(ctx, "item "+dataset+"/"+id); err != nil {
		return threatmatch.Body{}, err
	}
	return threatmatch.Body{Bytes: fmt.Appendf(nil, `{"objects":[{"id":"%s--%s"}]}`, dataset, id)}, nil
}

func (s *Source) Groups(ctx context.Context) ([]threatmatch.Group, error) {
	if err := s.call(ctx, "groups"); err != nil {
		return nil, err
	}
	return s.Offered, nil
}

func (s *Source) Page(ctx context.Context, group, stixType, after string) (threatmatch.Page, error) {
	if err := s.call(ctx, "page"); err != nil {
		return threatmatch.Page{}, err
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	page := s.Pages.Page(after)
	page.Date = time.Now().Add(s.Skew)
	return page, nil
}

func (s *Source) Control(ctx context.Context) error { return s.call(ctx, "control") }

// FakeAnswer is an error like those of the client.
func FakeAnswer(status int) error {
	return &threatmatch.Error{Status: status, Kind: threatmatch.Kind(fmt.Sprint(status)), Snippet: "the last answer"}
}

// AnswerError classifies a status like the client does.
func AnswerError(status int) error {
	if status == 408 || status == 429 || status >= 500 {
		return fmt.Errorf("x: %w", fault.After(0, FakeAnswer(status)))
	}
	return fmt.Errorf("x: %w", fault.Mark(fault.Permanent, FakeAnswer(status)))
}

// InBubble runs a test with its own clock, set well after the epoch.
func InBubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(26 * 365 * 24 * time.Hour)
		fn(t)
	})
}

// FailWith returns a script that answers the named calls with a status.
func FailWith(status int, calls ...string) func(string, int) error {
	return func(call string, _ int) error {
		for _, c := range calls {
			if strings.HasPrefix(call, c) {
				return AnswerError(status)
			}
		}
		return nil
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 { // in a bubble the race detector is confused by a timer that fires at once
		return context.Cause(ctx)
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
