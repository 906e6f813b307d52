package fault

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestOf(t *testing.T) {
	base := errors.New("boom")
	tests := []struct {
		name  string
		err   error
		want  Class
		after time.Duration
		hint  string
	}{
		{"nil", nil, Transient, 0, ""},
		{"unmarked", base, Transient, 0, ""},
		{"marked", Mark(Permanent, base), Permanent, 0, ""},
		{"wrapped mark", fmt.Errorf("get item 7: %w", Mark(Systemic, base)), Systemic, 0, ""},
		{"outer mark wins", Mark(Fatal, Mark(Transient, base)), Fatal, 0, ""},
		{"after", After(time.Minute, base), Transient, time.Minute, ""},
		{"hint keeps class and delay", Hint(After(time.Minute, base), "wait"), Transient, time.Minute, "wait"},
		{"mark keeps hint", Mark(Fatal, Hint(base, "look")), Fatal, 0, "look"},
		{"cancelled", fmt.Errorf("read: %w", context.Canceled), Shutdown, 0, ""},
		{"deadline is transient", context.DeadlineExceeded, Transient, 0, ""},
		{"shutdown with a time", fmt.Errorf("x: %w", ShutdownBy(time.Unix(1, 0))), Shutdown, 0, ""},
		{"shutdown beats a mark", Mark(Permanent, fmt.Errorf("x: %w", ErrShutdown)), Shutdown, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, after := Of(tt.err)
			if got != tt.want || after != tt.after || HintOf(tt.err) != tt.hint {
				t.Errorf("got %v %v %q, want %v %v %q", got, after, HintOf(tt.err), tt.want, tt.after, tt.hint)
			}
			if tt.err != nil && !errors.Is(Mark(Permanent, tt.err), tt.err) {
				t.Error("Mark hides the error from errors.Is")
			}
		})
	}
	if Mark(Fatal, nil) != nil || After(1, nil) != nil || Hint(nil, "x") != nil {
		t.Error("a nil error must stay nil")
	}
}

func TestStopBy(t *testing.T) {
	want := time.Unix(1_700_000_000, 0)
	for _, tt := range []struct {
		cause error
		known bool
	}{{ShutdownBy(want), true}, {ErrShutdown, false}, {nil, false}} {
		outer, cancel := context.WithCancelCause(t.Context())
		inner, done := context.WithTimeout(outer, time.Hour)
		if _, ok := StopBy(inner); ok {
			t.Errorf("%v: a time before the end", tt.cause)
		}
		cancel(tt.cause)
		if got, ok := StopBy(inner); ok != tt.known || ok && !got.Equal(want) {
			t.Errorf("%v: got %v, %v", tt.cause, got, ok)
		}
		done()
	}
}
