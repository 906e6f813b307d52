package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

// waits says what each stage waits for, in the order of the data flow; "" if none waits.
func waits(status map[string]pipeline.StageStatus) string {
	var all []string
	for _, s := range stages(status) {
		switch s.State {
		case "waiting", "paused", "starting", "retrying":
		default:
			if s.NotReady == "" {
				continue
			}
		}
		text := cmp.Or(s.NotReady, s.Detail, s.State)
		if s.LastError != "" && (s.State == "waiting" || s.State == "retrying") && !strings.Contains(text, s.LastError) {
			text += ": " + s.LastError
		}
		all = append(all, s.Name+": "+text)
	}
	return strings.Join(all, "; ")
}

// undelivered says how far the run of a single import got, why it was stopped and what it waited for then; nil if it
// was delivered.
func (a *app) undelivered(ctx context.Context) error {
	open, err := a.spool.OpenRuns()
	if err != nil {
		return err
	}
	once, done, err := a.schedule.Delivered()
	if err != nil || done && len(open) == 0 {
		return err
	}
	var text []string
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		text = append(text, fmt.Sprintf("connector.run_timeout (%v) is over", a.Config.Connector.RunTimeout))
	}
	for _, r := range open[:min(1, len(open))] {
		text = append(text, fmt.Sprintf("run %d is not %s", r.ID, lacking(r)))
	}
	if once == 0 {
		text = append(text, "this process's own run did not begin")
	}
	if a.waited != "" {
		text = append(text, "waited for: "+a.waited)
	}
	return fmt.Errorf("%w: %s; the spool holds the rest", ErrUndelivered, strings.Join(text, "; "))
}

// lacking returns the step that the run has not finished.
func lacking(r spool.Run) string {
	switch {
	case r.FetchedAt.IsZero():
		return "fetched"
	case r.MappedAt.IsZero():
		return "mapped"
	}
	return "delivered"
}
