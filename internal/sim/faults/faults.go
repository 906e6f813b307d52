// Package faults makes an HTTP stand-in misbehave: rules say which requests are
// answered wrongly, how, and how often. Rules are set before or while the server runs.
package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind is what happens to a request.
type Kind string

// The kinds of fault.
const (
	Answer   Kind = "answer"   // Status, ContentType and Body instead of the real answer
	Slow     Kind = "slow"     // the real answer after Delay
	Hang     Kind = "hang"     // no answer until the client gives up
	Reset    Kind = "reset"    // the connection is reset before anything is done
	Lost     Kind = "lost"     // the request is carried out, then the connection is reset
	Cut      Kind = "cut"      // the connection ends in the middle of the real answer
	Truncate Kind = "truncate" // the first half of the real answer, in a whole HTTP message
	Stall    Kind = "stall"    // the first half of the real answer, then nothing until the client gives up
	Flood    Kind = "flood"    // an answer of Size bytes, or until the client gives up
)

// Rule is one fault. The zero values of Route and ID match everything.
type Rule struct {
	Name string `json:"name,omitempty"` // to remove it by
	// Route is the stand-in's name of a request: see the package of the server.
	Route string `json:"route,omitempty"`
	// ID narrows the rule to one thing, such as "profiles/12".
	ID string `json:"id,omitempty"`
	// Rate is the share of matching requests; zero means all.
	Rate float64 `json:"rate,omitempty"`
	// Skip lets so many matching requests pass first.
	Skip int `json:"skip,omitempty"`
	// Times ends the rule after so many faults; zero means never.
	Times int `json:"times,omitempty"`

	Kind        Kind   `json:"kind"`
	Status      int    `json:"status,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	Body        string `json:"body,omitempty"`
	// RetryAfter is the header's value; "+10s" is the date ten seconds from now.
	RetryAfter string `json:"retry_after,omitempty"`
	// Size of a flood; zero means 200 MB.
	Size int `json:"size,omitempty"`

	// Delay of a slow answer.
	Delay Duration `json:"delay,omitempty"`
}

// Duration is a time.Duration that JSON has as text, such as "1.5s".
type Duration time.Duration

// MarshalJSON writes the duration as Go prints it.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads what Go's time.ParseDuration reads.
func (d *Duration) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	*d = Duration(v)
	return err
}

// Set holds the rules of one server. The zero value has none. Safe for concurrent use.
type Set struct {
	mu    sync.Mutex
	rules []*entry
	rng   *rand.Rand
	hits  map[string]int
}

type entry struct {
	Rule
	seen, hit int
}

// Seed makes chance follow from n.
func (s *Set) Seed(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rng = rand.New(rand.NewPCG(n, 1))
}

// Add puts a rule behind the others. The first rule that matches and whose
// chance comes up decides.
func (s *Set) Add(rules ...Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rules {
		s.rules = append(s.rules, &entry{Rule: r})
	}
}

// Remove takes away all rules of a name; "" takes away every rule.
func (s *Set) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = slices.DeleteFunc(s.rules, func(e *entry) bool { return name == "" || e.Name == name })
}

// Rules are the rules in force.
func (s *Set) Rules() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Rule, 0, len(s.rules))
	for _, e := range s.rules {
		out = append(out, e.Rule)
	}
	return out
}

// Hits counts the faults made, by "kind", or "answer <status>" for answers.
func (s *Set) Hits() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.hits))
	for k, n := range s.hits {
		out[k] = n
	}
	return out
}

// Pick decides what happens to a request.
func (s *Set) Pick(route, id string) (Rule, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.rules {
		if e.Route != "" && e.Route != route || e.ID != "" && e.ID != id {
			continue
		}
		e.seen++
		if e.seen <= e.Skip || e.Times > 0 && e.hit >= e.Times {
			continue
		}
		if e.Rate > 0 && s.random() >= e.Rate {
			continue
		}
		e.hit++
		if s.hits == nil {
			s.hits = map[string]int{}
		}
		s.hits[e.label()]++
		return e.Rule, true
	}
	return Rule{}, false
}

func (s *Set) random() float64 {
	if s.rng == nil {
		s.rng = rand.New(rand.NewPCG(1, 1))
	}
	return s.rng.Float64()
}

func (r Rule) label() string {
	if r.Kind == Answer {
		return fmt.Sprintf("answer %d", r.Status)
	}
	return string(r.Kind)
}

// Parse reads a rule as the command line has it: comma-separated key=value with
// the keys name, route, id, rate, skip, times, do, delay and retry_after; "do"
// is a preset (see Presets).
func Parse(text string) (Rule, error) {
	var raw = map[string]any{}
	var do string
	for part := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return Rule{}, fmt.Errorf("fault %q: %q is not key=value", text, part)
		}
		switch key {
		case "do":
			do = value
		case "rate", "skip", "times", "size":
			raw[key] = json.Number(value)
		case "name", "route", "id", "delay", "retry_after":
			raw[key] = value
		default:
			return Rule{}, fmt.Errorf("fault %q: unknown key %q", text, key)
		}
	}
	rule, err := Preset(do)
	if err != nil {
		return Rule{}, fmt.Errorf("fault %q: %w", text, err)
	}
	encoded, err := json.Marshal(raw)
	if err == nil {
		err = json.Unmarshal(encoded, &rule)
	}
	if err != nil {
		return Rule{}, fmt.Errorf("fault %q: %w", text, err)
	}
	return rule, nil
}

// Check says what is wrong with a rule that came from outside.
func (r Rule) Check() error {
	switch r.Kind {
	case Answer:
		if r.Status < 200 || r.Status > 599 {
			return fmt.Errorf("status %d of an answer is not between 200 and 599", r.Status)
		}
	case Slow, Hang, Reset, Lost, Cut, Truncate, Stall, Flood:
	default:
		return fmt.Errorf("unknown kind %q", r.Kind)
	}
	if r.Rate < 0 || r.Rate > 1 {
		return errors.New("the rate is not between 0 and 1")
	}
	return nil
}
