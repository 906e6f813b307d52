package threatmatch

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// The first pause after a 429 without Retry-After is the time of so many requests; each further 429 doubles it.
	pausedRequests = 10
	maxPause       = 5 * time.Minute
	// A 429 halves the rate, down to this fraction of it; each success gives a little back.
	slowest  = 1.0 / 16
	regained = 1.0 / 20
)

// throttle delays all requests of a client: by a steady rate, and by a pause after a 429, which concerns the account
// and not one request.
type throttle struct {
	limiter *rate.Limiter
	full    rate.Limit
	opt     Options

	mu      sync.Mutex
	until   time.Time // no request before this
	since   time.Time // when the current pause began
	strikes int       // 429s since the last success that began a pause
}

func newThrottle(opt Options) *throttle {
	full := rate.Limit(opt.RequestsPerSecond)
	return &throttle{limiter: rate.NewLimiter(full, 1), full: full, opt: opt}
}

// wait returns once a request may be made, or with ctx's error.
func (t *throttle) wait(ctx context.Context) error {
	for {
		if err := t.limiter.Wait(ctx); err != nil {
			return err
		}
		left := t.left()
		if left <= 0 {
			return nil
		}
		if err := sleep(ctx, left); err != nil {
			return err
		}
	}
}

func (t *throttle) left() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.until.Sub(t.opt.Now())
}

// slowDown pauses the client after a 429 to a request sent at the given time, and returns for how long. asked is what
// the server asked for; 0 if nothing.
func (t *throttle) slowDown(sent time.Time, asked time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.opt.Now()
	// Requests that were in progress when the pause began get a 429, too. They belong to the same event.
	fresh := !sent.Before(t.since)
	pause := t.jittered(asked)
	if asked <= 0 {
		pause = t.growing()
	}
	if fresh {
		t.strikes++
		t.since = now
		t.limiter.SetLimit(max(t.limiter.Limit()/2, t.full*slowest))
	}
	if until := now.Add(pause); (fresh || asked > 0) && until.After(t.until) {
		t.until = until
		t.opt.Observer.Paused(pause)
		t.opt.Log.Warn("server asks to slow down", slog.Duration("pause", pause), slog.Int("in_a_row", t.strikes))
	}
	return max(t.until.Sub(now), 0)
}

// jittered adds up to a tenth to a wait that the server asked for, within the cap: several connectors behind one
// address must not come back at the same time.
func (t *throttle) jittered(asked time.Duration) time.Duration {
	return min(asked+time.Duration(t.opt.Rand()*float64(asked)/10), maxRetryAfter)
}

// growing returns a random wait between one and two times the step of this strike.
func (t *throttle) growing() time.Duration {
	first := time.Duration(pausedRequests / float64(t.full) * float64(time.Second))
	step := min(max(first, time.Millisecond)<<min(t.strikes, 16), maxPause/2)
	return min(step+time.Duration(t.opt.Rand()*float64(step)), maxRetryAfter)
}

// succeeded forgets the pauses and gives back some of the rate.
func (t *throttle) succeeded() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.strikes = 0
	if limit := t.limiter.Limit(); limit < t.full {
		t.limiter.SetLimit(min(limit+t.full*regained, t.full))
	}
}

// retryAfter reads a Retry-After header, in seconds or as a date relative to the response's own, and caps it. Zero if
// there is none that is usable.
func (c *Client) retryAfter(h http.Header, answered time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		capped := min(max(seconds, 0), int64(maxRetryAfter/time.Second))
		return time.Duration(capped) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if answered.IsZero() {
		answered = c.opt.Now()
	}
	return min(max(at.Sub(answered), 0), maxRetryAfter)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
