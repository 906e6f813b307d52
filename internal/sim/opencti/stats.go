package opencti

import (
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"
)

// Request is one request as the stand-in saw it.
type Request struct {
	Route, ID string
	// Status is 0 when no answer was sent; Code is the first error's.
	Status int
	Code   string
	Faulty bool
	At     time.Time
}

// Stats are counts since the start.
type Stats struct {
	// Requests by route; Mutations that were carried out, by name, workEdit's as
	// "workEdit.<field>".
	Requests  map[string]int `json:"requests"`
	Mutations map[string]int `json:"mutations"`
	// Errors by code, faults' own answers not counted.
	Errors map[string]int `json:"errors"`
	// Refused are the messages of documents that the schema refused.
	Refused []string `json:"refused"`
	// Violations are things that a connector must not do.
	Violations []Violation `json:"violations"`
	// Faults made, by kind.
	Faults map[string]int `json:"faults"`
}

// Violation is one thing that a connector must not do.
type Violation struct {
	Rule   string `json:"rule"`
	Detail string `json:"detail"`
}

const keptLines = 1000

func newStats() Stats {
	return Stats{Requests: map[string]int{}, Mutations: map[string]int{}, Errors: map[string]int{}, Refused: []string{}, Violations: []Violation{}}
}

func (s *Server) count(r Request, q *query) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Requests[r.Route]++
	if r.Faulty {
		return
	}
	if q.refused != nil && len(s.stats.Refused) < keptLines {
		s.stats.Refused = append(s.stats.Refused, q.refused.Message)
	}
	if r.Code != "" {
		s.stats.Errors[r.Code]++
	}
}

// carriedOut counts the mutations of a request, also of one whose answer is lost.
func (s *Server) carriedOut(q *query) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range q.mutations {
		s.stats.Mutations[name]++
	}
}

// Stats are the counts so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Requests, out.Mutations, out.Errors = maps.Clone(out.Requests), maps.Clone(out.Mutations), maps.Clone(out.Errors)
	out.Refused, out.Violations = slices.Clone(out.Refused), slices.Clone(out.Violations)
	out.Faults = s.Faults.Hits()
	return out
}

// ResetStats begins counting anew.
func (s *Server) ResetStats() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats = newStats()
}

func (s *Server) violation(rule, detail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addViolation(rule, detail)
}

// addViolation is violation with the lock held.
func (s *Server) addViolation(rule, detail string) {
	if len(s.stats.Violations) < keptLines {
		s.stats.Violations = append(s.stats.Violations, Violation{rule, detail})
	}
}

func (s *Server) brokerError(err error) error {
	s.opt.Log.Warn("the broker refused", "error", err)
	if op, ok := errors.AsType[*net.OpError](err); ok && errors.Is(err, syscall.ECONNREFUSED) { // as Node.js says it
		return &failure{Code: "INTERNAL_SERVER_ERROR", Message: "connect ECONNREFUSED " + op.Addr.String()}
	}
	return &failure{Code: "DATABASE_ERROR", Message: "RabbitMQ: " + err.Error()}
}

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
