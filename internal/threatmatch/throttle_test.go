package threatmatch

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/internal/fault"
)

// clocked counts requests by the time of their arrival.
type clocked struct {
	mu    sync.Mutex
	times []time.Duration
	start time.Time
}

func (k *clocked) note() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.times = append(k.times, time.Since(k.start))
	return len(k.times)
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &clocked{start: time.Now()}
		opt := testOptions("http://tm")
		opt.RequestsPerSecond = 10
		c := newClient(t, opt)
		inMemory(c, func(w http.ResponseWriter, r *http.Request) {
			k.note()
			withToken(answerWith(200, nil, `{"objects":[]}`))(w, r)
		})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 25 {
					if _, err := c.Item(t.Context(), Alerts, "1"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		// 100 items and the token at ten a second.
		if took := time.Since(k.start); took < 9900*time.Millisecond || took > 10200*time.Millisecond {
			t.Errorf("took %v", took)
		}
		for i := range len(k.times) - 10 {
			if k.times[i+10]-k.times[i] < 990*time.Millisecond {
				t.Fatalf("more than ten requests within a second from %v on", k.times[i])
			}
		}
	})
}

func TestThrottledAnswerPausesEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &clocked{start: time.Now()}
		opt := testOptions("http://tm")
		opt.Rand = func() float64 { return 0 }
		c := newClient(t, opt)
		inMemory(c, withToken(func(w http.ResponseWriter, r *http.Request) {
			if k.note() == 2 {
				w.Header().Set("Retry-After", "60")
				w.WriteHeader(429)
				return
			}
			io.WriteString(w, `{"objects":[]}`)
		}))
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for range 4 {
					_, err := c.Item(t.Context(), Alerts, "1")
					if err != nil && !fault.Is(err, fault.Transient) {
						t.Error(err)
					}
					time.Sleep(time.Second)
				}
			})
		}
		wg.Wait()
		for _, at := range k.times[3:] {
			if at < 60*time.Second {
				t.Errorf("a request at %v, within the pause", at)
			}
		}
	})
}

func TestPausesGrowAndAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttled := true
		opt := testOptions("http://tm")
		opt.RequestsPerSecond = 5
		opt.Rand = func() float64 { return 0 }
		c := newClient(t, opt)
		inMemory(c, withToken(func(w http.ResponseWriter, r *http.Request) {
			if throttled {
				w.WriteHeader(429)
				return
			}
			io.WriteString(w, `{"objects":[]}`)
		}))
		ask := func() time.Duration {
			_, err := c.Item(t.Context(), Alerts, "1")
			if err == nil {
				return 0
			}
			return wantError(t, err, KindThrottled, fault.Transient).RetryAfter
		}
		var pauses []time.Duration
		for range 9 {
			pauses = append(pauses, ask())
		}
		const s = time.Second
		if want := []time.Duration{2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 64 * s, 128 * s, 150 * s, 150 * s}; !slices.Equal(pauses, want) {
			t.Errorf("got %v, want %v", pauses, want)
		}
		if c.gate.limiter.Limit() >= c.gate.full {
			t.Error("the rate did not go down")
		}
		throttled = false
		for range 60 {
			ask()
		}
		if c.gate.limiter.Limit() != c.gate.full {
			t.Error("the rate did not come back")
		}
		throttled = true
		if got := ask(); got != 2*s {
			t.Errorf("after successes: %v", got)
		}
	})
}

func TestAnswersOfOnePauseCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := testOptions("http://tm")
		opt.Rand = func() float64 { return 0 }
		opt.RequestsPerSecond = 5
		g := newThrottle(mustDefault(opt))
		time.Sleep(time.Second)
		sent := time.Now()
		time.Sleep(time.Second)
		for range 5 {
			if got := g.slowDown(sent, 0); got != 2*time.Second {
				t.Errorf("pause %v", got)
			}
		}
		if g.strikes != 1 {
			t.Errorf("%d strikes", g.strikes)
		}
	})
}

func mustDefault(o Options) Options { o.complete(); return o }

func TestLargeBodiesAreReadOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, testOptions("http://tm"))
		var mu sync.Mutex
		reading, most := 0, 0
		c.http.Transport = transport(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == tokenPath {
				return &http.Response{StatusCode: 200, Body: io.NopCloser(&repeat{head: `{"access_token":"t"}`})}, nil
			}
			rest := &repeat{head: `{"objects":["`, n: 6 << 20, tail: `"]}`}
			rest.at = func(pos int, first bool) {
				mu.Lock()
				if first {
					reading++
					most = max(most, reading)
				} else {
					reading--
				}
				mu.Unlock()
				time.Sleep(time.Second)
			}
			return &http.Response{StatusCode: 200, ContentLength: -1, Body: io.NopCloser(rest)}, nil
		})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := c.Item(t.Context(), Alerts, "1"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most != 1 {
			t.Errorf("%d large bodies at once", most)
		}
	})
}

// repeat reads head, n times "x", tail; it calls at after 5 MiB and at the end.
type repeat struct {
	head, tail string
	n, pos     int
	at         func(pos int, first bool)
	inside     bool
}

func (r *repeat) Read(p []byte) (int, error) {
	total := len(r.head) + r.n + len(r.tail)
	if r.at != nil && !r.inside && r.pos > 5<<20 {
		r.inside = true
		r.at(r.pos, true)
	}
	if r.pos == total {
		if r.inside {
			r.inside = false
			r.at(r.pos, false)
		}
		return 0, io.EOF
	}
	n := min(len(p), total-r.pos, 64<<10)
	for i := range n {
		switch at := r.pos + i; {
		case at < len(r.head):
			p[i] = r.head[at]
		case at < len(r.head)+r.n:
			p[i] = 'x'
		default:
			p[i] = r.tail[at-len(r.head)-r.n]
		}
	}
	r.pos += n
	return n, nil
}

func TestHungServerTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, testOptions("http://tm"))
		c.http.Transport = transport(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		start := time.Now()
		_, err := c.Groups(t.Context())
		wantError(t, err, KindTimeout, fault.Transient)
		if took := time.Since(start); took != 2*time.Minute+20*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
