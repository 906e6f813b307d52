package threatmatch

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Request is one request as the stand-in saw it.
type Request struct {
	Route, ID string
	// Status is 0 when no answer was sent.
	Status int
	// Faulty: a fault answered, not the server.
	Faulty bool
	At     time.Time
}

// Stats are counts since the start. Ids are dataset/number for items, the type
// and modifiedAfter for pages of objects.
type Stats struct {
	// Requests by route and status; status 0 is no answer.
	Requests map[string]map[int]int `json:"requests"`
	// Asked and Answered count requests for an item or a page, and whole true answers to them.
	Asked    map[string]int `json:"asked"`
	Answered map[string]int `json:"answered"`
	// Repeated are ids that were truly answered more than once.
	Repeated []string `json:"repeated"`
	// PeakPerSecond is the most requests in any second.
	PeakPerSecond int `json:"peak_per_second"`
	// Foreign are requests that the reference client never sends, with the form
	// that they miss; the first hundred.
	Foreign []string `json:"foreign"`
	// Faults made, by kind.
	Faults map[string]int `json:"faults"`
}

// Total is the number of requests of a route, or of all for "".
func (s Stats) Total(route string) int {
	n := 0
	for r, byStatus := range s.Requests {
		for _, count := range byStatus {
			if route == "" || r == route {
				n += count
			}
		}
	}
	return n
}

type recorder struct {
	mu       sync.Mutex
	requests map[string]map[int]int
	asked    map[string]int
	answers  map[string]int
	window   []time.Time // arrivals of the last second
	peak     int
	foreign  []string
}

func (c *recorder) init() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests, c.asked, c.answers = map[string]map[int]int{}, map[string]int{}, map[string]int{}
	c.window, c.peak, c.foreign = nil, 0, nil
}

func (c *recorder) arrived(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.window = append(c.window, at)
	c.window = slices.DeleteFunc(c.window, func(t time.Time) bool { return at.Sub(t) >= time.Second })
	c.peak = max(c.peak, len(c.window))
}

func (c *recorder) answered(r Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests[r.Route] == nil {
		c.requests[r.Route] = map[int]int{}
	}
	c.requests[r.Route][r.Status]++
	if r.Route != "item" && r.Route != "objects" {
		return
	}
	c.asked[r.ID]++
	if r.Status == http.StatusOK && !r.Faulty {
		c.answers[r.ID]++
	}
}

func (c *recorder) refused(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.foreign) < 100 {
		c.foreign = append(c.foreign, what)
	}
}

// Stats are the counts so far.
func (s *Server) Stats() Stats {
	c := &s.stats
	c.mu.Lock()
	defer c.mu.Unlock()
	out := Stats{
		Requests: map[string]map[int]int{}, Asked: maps.Clone(c.asked), Answered: maps.Clone(c.answers),
		Repeated: []string{}, Foreign: append([]string{}, c.foreign...), PeakPerSecond: c.peak, Faults: s.Faults.Hits(),
	}
	for route, byStatus := range c.requests {
		out.Requests[route] = maps.Clone(byStatus)
	}
	for id, n := range c.answers {
		if n > 1 {
			out.Repeated = append(out.Repeated, id)
		}
	}
	slices.Sort(out.Repeated)
	return out
}

// ResetStats begins counting anew.
func (s *Server) ResetStats() { s.stats.init() }

// recording tells of an answer just before its first byte goes out, so that who
// has read an answer finds it counted.
type recording struct {
	http.ResponseWriter
	tell func(status int)
	told bool
}

func (r *recording) once(status int) {
	if !r.told {
		r.told = true
		r.tell(status)
	}
}

func (r *recording) WriteHeader(status int) {
	r.once(status)
	r.ResponseWriter.WriteHeader(status)
}

func (r *recording) Write(p []byte) (int, error) {
	r.once(http.StatusOK)
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recording) Unwrap() http.ResponseWriter { return r.ResponseWriter }
