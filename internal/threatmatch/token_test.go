package threatmatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/internal/fault"
)

// account is a server that gives out tokens and knows which are valid.
type account struct {
	mu     sync.Mutex
	given  int
	calls  int // data requests
	good   string
	grant  func(n int) string // the answer to the n-th token request
	refuse func(path string) bool
}

func (a *account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if r.URL.Path == tokenPath {
		body, _ := io.ReadAll(r.Body)
		if string(body) != `{"client_id":"id-7","client_secret":"s3cr3t-value"}` || r.Method != http.MethodPost {
			w.WriteHeader(400)
			return
		}
		a.given++
		a.good = fmt.Sprintf("tok-%d", a.given)
		io.WriteString(w, a.grant(a.given))
		return
	}
	a.calls++
	if r.Header.Get("Authorization") != "Bearer "+a.good || a.refuse != nil && a.refuse(r.URL.Path) {
		w.WriteHeader(401)
		io.WriteString(w, laravel)
		return
	}
	switch r.URL.Path {
	case "/api/taxii/groups":
		io.WriteString(w, `[]`)
	default:
		io.WriteString(w, `{"objects":[],"list":[]}`)
	}
}

func expiresAt(format string, d func() int64) func(int) string {
	return func(n int) string {
		return fmt.Sprintf(`{"access_token":"tok-%d","expires_at":`+format+`}`, n, d())
	}
}

func in(d time.Duration) func() int64 { return func() int64 { return time.Now().Add(d).Unix() } }

// toThisCentury moves a bubble's clock, which starts in 2000, to where epoch seconds cannot be mistaken for a
// duration.
func toThisCentury() { time.Sleep(27 * 365 * 24 * time.Hour) }

func TestTokenExpiry(t *testing.T) {
	fixed := func(n int64) func() int64 { return func() int64 { return n } }
	tests := []struct {
		name  string
		grant func(int) string
		calls int // one a minute
		want  int // token requests
	}{
		{"epoch", expiresAt("%d", in(10*time.Minute)), 30, 3},
		{"epoch as text", expiresAt(`"%d"`, in(10*time.Minute)), 30, 3},
		{"milliseconds", expiresAt("%d000", in(10*time.Minute)), 30, 3},
		{"duration", expiresAt("%d", fixed(600)), 30, 3},
		{"expires_in", func(n int) string { return fmt.Sprintf(`{"access_token":"tok-%d","expires_in":600}`, n) }, 30, 3},
		{"missing", func(n int) string { return fmt.Sprintf(`{"access_token":"tok-%d"}`, n) }, 30, 1},
		{"long past", expiresAt("%d", in(-time.Hour)), 30, 1},
		{"short life", expiresAt("%d", fixed(10)), 30, 30},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				toThisCentury()
				a := &account{grant: tt.grant}
				c := newClient(t, testOptions("http://tm"))
				inMemory(c, a.ServeHTTP)
				for range tt.calls {
					if _, err := c.Item(t.Context(), Alerts, "1"); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Minute)
				}
				if a.given != tt.want || a.calls != tt.calls {
					t.Errorf("%d token requests for %d calls, want %d for %d", a.given, a.calls, tt.want, tt.calls)
				}
			})
		})
	}
}

// TestTokenAnswerHasALimit: the token's answer has a limit of its own; exceeding it blames the address, never the
// account or threatmatch.max_body.
func TestTokenAnswerHasALimit(t *testing.T) {
	answer := func(size int) string {
		const rest = `{"access_token":"tok-1","pad":""}`
		return rest[:len(rest)-2] + strings.Repeat("x", size-len(rest)) + rest[len(rest)-2:]
	}
	for _, form := range []string{"length", "chunked"} {
		for _, size := range []int{tokenBody, tokenBody + 1, 6 << 20} {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != tokenPath {
					io.WriteString(w, `{"objects":[]}`)
					return
				}
				if form == "length" {
					w.Header().Set("Content-Length", fmt.Sprint(size))
				} else {
					w.(http.Flusher).Flush()
				}
				io.WriteString(w, answer(size))
			}))
			_, err := newClient(t, testOptions(srv.URL)).Item(t.Context(), Alerts, "1")
			srv.Close()
			if size <= tokenBody {
				if err != nil {
					t.Errorf("%s, %d bytes: got %v, want a token", form, size, err)
				}
				continue
			}
			e := wantError(t, err, KindMalformed, fault.Transient)
			if want := "token: response larger than 65536 bytes"; e.Error() != want {
				t.Errorf("%s, %d bytes: got %q, want %q", form, size, e.Error(), want)
			}
			if got, want := fault.HintOf(err), "check threatmatch.url"; got != want {
				t.Errorf("%s, %d bytes: got the hint %q, want %q", form, size, got, want)
			}
		}
	}
}

func TestClockOffByAnHour(t *testing.T) {
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			toThisCentury()
			a := &account{grant: expiresAt("%d", in(10*time.Minute))}
			opt := testOptions("http://tm")
			opt.Now = func() time.Time { return time.Now().Add(off) }
			c := newClient(t, opt)
			inMemory(c, a.ServeHTTP)
			for range 20 {
				if _, err := c.Item(t.Context(), Alerts, "1"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
			}
			if a.given != 2 || a.calls != 20 {
				t.Errorf("clock off by %v: %d token requests, %d calls", off, a.given, a.calls)
			}
		})
	}
}

func TestRevokedTokenIsReplacedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &account{grant: expiresAt("%d", in(time.Hour))}
		c := newClient(t, testOptions("http://tm"))
		inMemory(c, a.ServeHTTP)
		if _, err := c.Groups(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.good = "revoked"
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := c.Item(t.Context(), Alerts, "1"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if a.given != 2 {
			t.Errorf("%d token requests, want 2", a.given)
		}
	})
}

func TestItemThatIsAlways401(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &account{
			grant:  expiresAt("%d", in(time.Hour)),
			refuse: func(path string) bool { return path == "/api/stix/alerts/13" },
		}
		c := newClient(t, testOptions("http://tm"))
		inMemory(c, a.ServeHTTP)
		_, err := c.Item(t.Context(), Alerts, "13")
		wantError(t, err, KindUnauthorised, fault.Permanent)
		if a.calls != 2 {
			t.Errorf("asked %d times, want 2", a.calls)
		}
		if _, err := c.Item(t.Context(), Alerts, "12"); err != nil {
			t.Error(err)
		}
		if err := c.Control(t.Context()); err != nil {
			t.Errorf("control request: %v", err)
		}
	})
}

func TestTokenRefusals(t *testing.T) {
	tests := []struct {
		status int
		kind   Kind
		class  fault.Class
		hint   string
	}{
		{400, KindCredentials, fault.Systemic, "client_secret"},
		{401, KindCredentials, fault.Systemic, "client_secret"},
		{403, KindCredentials, fault.Systemic, "client_secret"},
		{404, KindCredentials, fault.Systemic, "threatmatch.url"},
		{422, KindCredentials, fault.Systemic, "client_secret"},
		{302, KindUnavailable, fault.Transient, "threatmatch.url"},
		{408, KindUnavailable, fault.Transient, ""},
		{425, KindUnavailable, fault.Transient, ""},
		{429, KindThrottled, fault.Transient, ""},
		{500, KindUnavailable, fault.Transient, ""},
		{200, KindMalformed, fault.Transient, ""},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				c := newClient(t, testOptions("http://tm"))
				inMemory(c, func(w http.ResponseWriter, r *http.Request) {
					requests++
					answerWith(tt.status, nil, `{"message":"id-7 and s3cr3t-value are wrong"}`)(w, r)
				})
				_, err := c.Item(t.Context(), Alerts, "1")
				e := wantError(t, err, tt.kind, tt.class)
				if e.Op != "token" || e.Status != tt.status || !strings.Contains(fault.HintOf(err), tt.hint) {
					t.Errorf("got %+v, hint %q", e, fault.HintOf(err))
				}
				if strings.Contains(err.Error(), "s3cr3t") {
					t.Errorf("the secret is in the error: %v", err)
				}
				if tt.class != fault.Systemic {
					return
				}
				for range 120 { // two minutes
					if _, err := c.Item(t.Context(), Alerts, "1"); !fault.Is(err, fault.Systemic) {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
				}
				if requests != 6 {
					t.Errorf("%d tries in two minutes, want 6", requests)
				}
			})
		})
	}
}

func TestTokenForms(t *testing.T) {
	for _, body := range []string{
		``, `{}`, `[]`, `"tok"`, `{"access_token":null}`, `{"access_token":""}`, `{"access_token":7}`,
		`{"access_token":"a\r\nX: y"}`, `{"error":"invalid_client"}`, `{"access_token":"tok`,
	} {
		if access, _, err := decodeToken([]byte(body)); err == nil {
			t.Errorf("%s gave %q", body, access)
		}
	}
	for text, want := range map[string]float64{
		`3600`: 3600, `"3600"`: 3600, `1.5e3`: 1500, `"2026-03-01T12:00:00Z"`: 1772366400,
		`null`: 0, `-5`: 0, `"soon"`: 0, `{}`: 0, `NaN`: 0, `1e300`: 0,
	} {
		if got := number([]byte(text)); got != want {
			t.Errorf("number(%s) = %v, want %v", text, got, want)
		}
	}
}

func TestTokenIsSharedAndLeavable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var under, most, requests atomic.Int64
		c := newClient(t, testOptions("http://tm"))
		fail := errors.New("boom")
		c.token.request = func(ctx context.Context) (*oauthToken, error) {
			requests.Add(1)
			most.Store(max(most.Load(), under.Add(1)))
			defer under.Add(-1)
			if err := sleep(ctx, 10*time.Second); err != nil {
				return nil, err
			}
			return nil, fail
		}
		leader, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.token.get(leader); !errors.Is(err, fault.ErrShutdown) {
				t.Errorf("leader: got %v", err)
			}
		})
		synctest.Wait()
		for range 5 {
			wg.Go(func() {
				if _, err := c.token.get(t.Context()); !errors.Is(err, fail) {
					t.Errorf("waiting: got %v", err)
				}
			})
		}
		impatient, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := c.token.get(impatient); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("impatient: got %v", err)
		}
		cancel(fault.ErrShutdown)
		wg.Wait()
		// The cancelled try counts for nobody; all who waited share the next one.
		if requests.Load() != 2 || most.Load() != 1 {
			t.Errorf("%d requests, %d at once; want 2 and 1", requests.Load(), most.Load())
		}
	})
}

func TestInvalidateOnlyIfEqual(t *testing.T) {
	s := newTokenSource(nil, time.Now)
	s.store(&oauthToken{AccessToken: "new"}, nil)
	s.invalidate("old")
	if got, err := s.Token(); err != nil || got.AccessToken != "new" {
		t.Errorf("a newer token was dropped: %v %v", got, err)
	}
	s.invalidate("new")
	if s.load().token != nil {
		t.Error("the refused token stayed")
	}
}

func TestControl(t *testing.T) {
	tests := []struct {
		name   string
		status map[string]int // by path; absent is 200
		class  fault.Class
		ok     bool
	}{
		{"groups answer", nil, 0, true},
		{"groups refused, lists answer", map[string]int{"/api/taxii/groups": 403}, 0, true},
		{"groups unauthorised, lists answer", map[string]int{"/api/taxii/groups": 401}, 0, true},
		{"one list offered", map[string]int{
			"/api/taxii/groups": 404, "/api/profiles/all": 404, "/api/alerts/all": 403}, 0, true},
		{"all refused", map[string]int{
			"/api/taxii/groups": 404, "/api/profiles/all": 404, "/api/alerts/all": 404, "/api/reports/all": 404}, fault.Systemic, false},
		{"all unauthorised", map[string]int{
			"/api/taxii/groups": 401, "/api/profiles/all": 401, "/api/alerts/all": 401, "/api/reports/all": 401}, fault.Systemic, false},
		{"down", map[string]int{"/api/taxii/groups": 502}, fault.Transient, false},
		{"refused, then down", map[string]int{"/api/taxii/groups": 403, "/api/profiles/all": 500}, fault.Transient, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if status := tt.status[r.URL.Path]; status != 0 {
					w.WriteHeader(status)
				} else if r.URL.Path == "/api/taxii/groups" {
					io.WriteString(w, `[]`)
				} else {
					io.WriteString(w, `{"list":[]}`)
				}
			})
			err := c.Control(t.Context())
			if (err == nil) != tt.ok || err != nil && !fault.Is(err, tt.class) {
				t.Errorf("got %v", err)
			}
		})
	}
}
