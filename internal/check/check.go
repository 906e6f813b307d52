// Package check tests the set-up of a connector without changing anything. Its findings are what the command check
// prints.
package check

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/fault"
)

// Verdict is how a check ended.
type Verdict string

// The verdicts. Only Failed keeps the connector from working.
const (
	OK      Verdict = "ok"
	Note    Verdict = "note"    // it works, but somebody should look
	Failed  Verdict = "failed"  // it must be fixed
	Unknown Verdict = "unknown" // it cannot be known yet
)

// Finding is the outcome of one check.
type Finding struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Detail  string  `json:"detail"`
	Hint    string  `json:"hint,omitempty"` // what to do
}

// Options is what Run needs. Running and Timeout are optional.
type Options struct {
	Config  *config.Config
	Now     func() time.Time
	Version string
	Running int           // pid of a connector that runs on the spool; 0 if none
	Timeout time.Duration // for all checks together; zero means 20 s
}

// Run tests the set-up and calls tell with each finding, always from the calling goroutine. It changes nothing
// anywhere: no file, no registration, no ping.
func Run(ctx context.Context, o Options, tell func(Finding)) {
	if o.Timeout <= 0 {
		o.Timeout = 20 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	c := &checker{Options: o, tell: tell}
	c.spool()
	c.outputs()
	if filters := o.Config.Filters(); len(filters) > 0 {
		c.remark("filters", strings.Join(filters, "; "), "each run counts what they drop; after widening one, `repull` fetches what it dropped before")
	}
	// Both at once, so that a server that hangs does not use up the other's time.
	var later []Finding
	var wg sync.WaitGroup
	beside := &checker{Options: o, tell: func(f Finding) { later = append(later, f) }}
	wg.Go(func() { beside.openCTI(ctx) })
	c.threatMatch(ctx)
	wg.Wait()
	for _, f := range later {
		tell(f)
	}
}

type checker struct {
	Options
	tell func(Finding)
}

func (c *checker) ok(name, format string, args ...any) {
	c.tell(Finding{name, OK, fmt.Sprintf(format, args...), ""})
}

func (c *checker) remark(name, detail, hint string) {
	c.tell(Finding{name, Note, detail, hint})
}

func (c *checker) unknown(name, why string) {
	c.tell(Finding{name, Unknown, why, ""})
}

// failed reports err with its own hint, or else the one given.
func (c *checker) failed(name string, err error, hint string) {
	if h := fault.HintOf(err); h != "" {
		hint = h
	}
	c.tell(Finding{name, Failed, fault.Words(err), hint})
}
