package threatmatch

import (
	"time"

	"threatmatch-connector/internal/sim/data"
)

// Now is the stand-in's time. It is never round: what is written with whole
// milliseconds was rounded.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.Clock().Add(s.offset)
	if now.Nanosecond()%int(time.Millisecond) == 0 {
		now = now.Add(98_871_147)
	}
	return now
}

// Skew sets the clock apart from the real one without anything being published.
func (s *Server) Skew(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset = d
}

// Advance moves the clock on and publishes and changes what Options say for so
// long a time. Tokens grow old with it.
func (s *Server) Advance(d time.Duration) {
	from := s.Now()
	s.mu.Lock()
	s.offset += d
	s.mu.Unlock()
	for _, ds := range data.All {
		if n := s.due("new "+string(ds), s.opt.NewPerDay[ds], d); n > 0 {
			s.each(n, from, d, func(at time.Time) { s.publishAt(ds, 1, at) })
		}
		if n := s.due("republish "+string(ds), s.opt.RepublishPerDay[ds], d); n > 0 {
			s.each(n, from, d, func(at time.Time) { s.republishAt(ds, []int{s.next(ds)}, at, true) })
		}
	}
}

// due is how many of so many a day fall into d, the rest kept for the next time.
func (s *Server) due(key string, perDay int, d time.Duration) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed[key] += float64(perDay) * float64(d) / float64(24*time.Hour)
	n := int(s.owed[key])
	s.owed[key] -= float64(n)
	return n
}

// next is the item to change next: every seventh in turn.
func (s *Server) next(d data.Dataset) int {
	count := s.source.Count(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn[d]++
	return 1 + s.turn[d]*7%max(count, 1)
}

func (s *Server) each(n int, from time.Time, d time.Duration, f func(time.Time)) {
	for i := range n {
		f(from.Add(d * time.Duration(i+1) / time.Duration(n+1)))
	}
}

// Publish adds n items to a dataset now and returns their ids. A source that
// cannot change gives none.
func (s *Server) Publish(d data.Dataset, n int) []int { return s.publishAt(d, n, s.Now()) }

func (s *Server) publishAt(d data.Dataset, n int, at time.Time) []int {
	if c, ok := s.source.(data.Changer); ok {
		return c.Publish(d, n, at)
	}
	return nil
}

// Republish changes items of a dataset now: new text, new modification time.
func (s *Server) Republish(d data.Dataset, ids ...int) { s.republishAt(d, ids, s.Now(), true) }

// Touch is an insignificant update of items: they change without being listed again.
func (s *Server) Touch(d data.Dataset, ids ...int) { s.republishAt(d, ids, s.Now(), false) }

func (s *Server) republishAt(d data.Dataset, ids []int, at time.Time, significant bool) {
	if c, ok := s.source.(data.Changer); ok {
		c.Republish(d, ids, at, significant)
	}
}

// Withdraw removes items of a dataset.
func (s *Server) Withdraw(d data.Dataset, ids ...int) {
	if c, ok := s.source.(data.Changer); ok {
		c.Withdraw(d, ids)
	}
}
