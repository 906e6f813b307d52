package pipeline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/threatmatch"
)

// fakeSource is a ThreatMatch that a test scripts. Its time is the test's.
type fakeSource struct {
	mu     sync.Mutex
	lists  map[string][]string // ids by dataset
	pages  *pager
	groups []threatmatch.Group
	delay  time.Duration // of every answer
	skew   time.Duration // of its clock
	zone   time.Duration // how much later it takes our dates for
	floor  time.Time     // it looks back no further
	// fail decides on the n-th call (from 1) for an object: "list alerts",
	// "item alerts/7", "groups", "page", "control".
	fail func(call string, n int) error
	// calls by object, with the times they came.
	calls map[string][]time.Time
	since map[string][]time.Time // what lists were asked for
}

func newFake(items int) *fakeSource {
	s := &fakeSource{
		lists: map[string][]string{}, calls: map[string][]time.Time{}, since: map[string][]time.Time{},
		groups: []threatmatch.Group{{ID: "1", Name: "All content"}}, pages: &pager{size: 100},
	}
	for _, d := range []string{"profiles", "alerts", "reports"} {
		for i := range items {
			s.lists[d] = append(s.lists[d], fmt.Sprint(i+1))
		}
	}
	return s
}

// call notes a call, waits as the server would, and fails as scripted.
func (s *fakeSource) call(ctx context.Context, name string) error {
	s.mu.Lock()
	s.calls[name] = append(s.calls[name], time.Now())
	n, fail, delay := len(s.calls[name]), s.fail, s.delay
	s.mu.Unlock()
	if err := Rest(ctx, delay); err != nil {
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

func (s *fakeSource) setFail(fail func(string, int) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *fakeSource) count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls[name])
}

func (s *fakeSource) times(name string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.calls[name]...)
}

// asked returns since when the dataset's list was asked for.
func (s *fakeSource) asked(dataset string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.since[dataset]...)
}

func (s *fakeSource) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, times := range s.calls {
		n += len(times)
	}
	return n
}

func (s *fakeSource) List(ctx context.Context, dataset string, since time.Time) (threatmatch.List, error) {
	if err := s.call(ctx, "list "+dataset); err != nil {
		return threatmatch.List{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since[dataset] = append(s.since[dataset], since)
	applied := since.Truncate(time.Minute).Add(s.zone)
	return threatmatch.List{IDs: s.lists[dataset], Applied: later(applied, s.floor), Date: time.Now().Add(s.skew)}, nil
}

func (s *fakeSource) Item(ctx context.Context, dataset, id string) (threatmatch.Body, error) {
	if err := s.call(ctx, "item "+dataset+"/"+id); err != nil {
		return threatmatch.Body{}, err
	}
	return threatmatch.Body{Bytes: fmt.Appendf(nil, `{"objects":[{"id":"%s--%s"}]}`, dataset, id)}, nil
}

func (s *fakeSource) Groups(ctx context.Context) ([]threatmatch.Group, error) {
	if err := s.call(ctx, "groups"); err != nil {
		return nil, err
	}
	return s.groups, nil
}

func (s *fakeSource) Page(ctx context.Context, group, stixType, after string) (threatmatch.Page, error) {
	if err := s.call(ctx, "page"); err != nil {
		return threatmatch.Page{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	page := s.pages.page(after)
	page.Date = time.Now().Add(s.skew)
	return page, nil
}

func (s *fakeSource) Control(ctx context.Context) error { return s.call(ctx, "control") }

// fakeAnswer is an error as the client makes them.
type fakeAnswer struct{ status int }

func (e fakeAnswer) Error() string { return fmt.Sprintf("answered %d", e.status) }

func (e fakeAnswer) Answer() (int, string, string) {
	return e.status, fmt.Sprint(e.status), "the last answer"
}

// answerError classifies as the client does.
func answerError(status int) error {
	if status == 408 || status == 429 || status >= 500 {
		return fmt.Errorf("x: %w", fault.After(0, fakeAnswer{status}))
	}
	return fmt.Errorf("x: %w", fault.Mark(fault.Permanent, fakeAnswer{status}))
}
