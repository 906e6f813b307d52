package config

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with the settings.
type Problem struct {
	Key     string `json:"key,omitempty"`    // path in config.yml, for example "connector.id"; "" for a whole file
	Value   string `json:"value,omitempty"`  // as it was given; "" for a secret, an unknown name and a missing value
	Source  string `json:"source,omitempty"` // "config.yml:12", "environment THREATMATCH_URL"; "" if not set anywhere
	Message string `json:"message"`
	Allowed string `json:"allowed,omitempty"` // what may be given; "" if the message says it
	Nearest string `json:"nearest,omitempty"` // what was probably meant; "" if nothing is near
}

// Error returns the problem in one line.
func (p Problem) Error() string {
	var b strings.Builder
	if p.Source != "" {
		b.WriteString(p.Source + ": ")
	}
	if p.Key != "" && !strings.HasSuffix(p.Source, " "+p.Key) { // the name of an unknown variable is its source
		b.WriteString(p.Key)
		if p.Value != "" {
			fmt.Fprintf(&b, " = %q", p.Value)
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	if p.Allowed != "" {
		b.WriteString("; allowed: " + p.Allowed)
	}
	if p.Nearest != "" {
		fmt.Fprintf(&b, "; did you mean %q?", p.Nearest)
	}
	return b.String()
}

// Problems is everything that is wrong with the settings, in the order of the table, after those that belong to no
// setting. It is the error that Load returns.
type Problems []Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.Is and errors.As each problem.
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

// ProblemsOf returns the problems in err, nil if there are none.
func ProblemsOf(err error) []Problem {
	if ps, ok := errors.AsType[Problems](err); ok {
		return ps
	}
	return nil
}

// Warning is something that the user should know but that stops nothing.
type Warning struct {
	Key     string `json:"key"`              // path in config.yml, or the name that is not known
	Source  string `json:"source,omitempty"` // as in Problem
	Message string `json:"message"`          // holds no secret
}

// String returns the warning in one line.
func (w Warning) String() string {
	return Problem{Key: w.Key, Source: w.Source, Message: w.Message}.Error()
}

// Report says where the settings come from.
type Report struct {
	File     string            // the config.yml that was read; "" if none
	Warnings []Warning         // each once, in a fixed order
	Origins  map[string]string // setting key -> where its value comes from: a source, or "default"
}

// refusal says why a text is not a value of its kind.
type refusal struct {
	message, nearest string
}

func (r *refusal) Error() string { return r.message }
