package threatmatch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/moment"
)

const (
	// While the credentials are refused the server sees at most three tries a minute, some seconds apart, from all
	// callers together: in between, the refusal is answered from memory.
	refusedTries  = 3
	refusedWindow = time.Minute
	refusedApart  = 5 * time.Second
	// earlyExpiry is how long before its end a token is renewed; at most a fifth of its life.
	earlyExpiry = 30 * time.Second
	// Smaller numbers are seconds of life, larger ones a point in time: 10^9 s is September 2001, and no token lives
	// 31 years.
	epochSeconds = 1e9
	epochMillis  = 1e12
)

// tokenSource keeps one token and gets the next one when it is needed. Only one request for a token is in progress at
// a time; those who wait for it share its result, good or bad, and can stop waiting by their contexts.
type tokenSource struct {
	request func(context.Context) (*oauth2.Token, error)
	now     func() time.Time
	lock    chan struct{} // a mutex that a context can give up

	state chan tokenState // of capacity one: the state and its lock
}

type tokenState struct {
	token   *oauth2.Token // nil if there is none that is usable
	renew   time.Time     // when to replace it; zero: when it is refused
	tries   int           // requests that have ended, with a token or without
	failure error         // of the last request
	refused []time.Time   // when the latest tries were refused, since the last success
}

var _ oauth2.TokenSource = (*tokenSource)(nil)

func newTokenSource(request func(context.Context) (*oauth2.Token, error), now func() time.Time) *tokenSource {
	s := &tokenSource{
		request: request, now: now,
		lock:  make(chan struct{}, 1),
		state: make(chan tokenState, 1),
	}
	s.state <- tokenState{}
	return s
}

// Token implements oauth2.TokenSource, without a context.
func (s *tokenSource) Token() (*oauth2.Token, error) {
	return s.token(context.Background())
}

// get returns the access token.
func (s *tokenSource) get(ctx context.Context) (string, error) {
	t, err := s.token(ctx)
	if err != nil {
		return "", err
	}
	return t.AccessToken, nil
}

func (s *tokenSource) token(ctx context.Context) (*oauth2.Token, error) {
	before := s.load()
	if before.usable(s.now()) {
		return before.token, nil
	}
	select {
	case s.lock <- struct{}{}:
		defer func() { <-s.lock }()
	case <-ctx.Done():
		return nil, stopped(ctx, request{op: "token"}, ctx.Err())
	}
	current := s.load()
	switch {
	case current.usable(s.now()):
		return current.token, nil
	case current.failure != nil && current.tries > before.tries:
		return nil, current.failure // another caller's try, made while we waited
	case fault.Is(current.failure, fault.Systemic) && s.now().Before(current.holdUntil()):
		return nil, current.failure
	}
	t, err := s.request(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, err // our caller stopped; that means nothing for the others
	}
	s.store(t, err)
	return t, err
}

// invalidate drops the token if it is still the one that was refused.
func (s *tokenSource) invalidate(refused string) {
	st := <-s.state
	if st.token != nil && st.token.AccessToken == refused {
		st.token = nil
	}
	s.state <- st
}

func (s *tokenSource) load() tokenState {
	st := <-s.state
	s.state <- st
	return st
}

func (s *tokenSource) store(t *oauth2.Token, err error) {
	st := <-s.state
	now := s.now()
	st.tries++
	st.token, st.failure, st.renew = t, err, time.Time{}
	switch {
	case err == nil:
		st.refused = nil
	case fault.Is(err, fault.Systemic):
		st.refused = append(st.refused[max(len(st.refused)-refusedTries+1, 0):len(st.refused):len(st.refused)], now)
	}
	if t != nil && !t.Expiry.IsZero() {
		st.renew = t.Expiry.Add(-min(earlyExpiry, t.Expiry.Sub(now)/5))
	}
	s.state <- st
}

// holdUntil returns when refused credentials may be tried again.
func (st tokenState) holdUntil() time.Time {
	if len(st.refused) == 0 {
		return time.Time{}
	}
	hold := st.refused[len(st.refused)-1].Add(refusedApart)
	if full := st.refused[0].Add(refusedWindow); len(st.refused) == refusedTries && full.After(hold) {
		return full
	}
	return hold
}

func (st tokenState) usable(now time.Time) bool {
	return st.token != nil && (st.renew.IsZero() || now.Before(st.renew))
}

// requestToken asks the token endpoint.
func (c *Client) requestToken(ctx context.Context) (*oauth2.Token, error) {
	post, err := json.Marshal(map[string]string{"client_id": c.opt.ClientID, "client_secret": c.opt.ClientSecret})
	if err != nil {
		return nil, err
	}
	var access string
	var expires float64
	ans, err := c.send(ctx, request{
		op: "token", path: "/api/developers-platform/token", post: post,
		decode: func(ans *answer) (kind Kind, err error) {
			access, expires, err = decodeToken(ans.body.Bytes)
			return KindMalformed, err
		},
	}, "")
	if err != nil {
		return nil, err
	}
	c.redact.addToken(access)
	return &oauth2.Token{AccessToken: access, TokenType: "Bearer", Expiry: c.expiry(expires, ans.body.Date)}, nil
}

var errNoToken = errors.New("response has no access token")

// decodeToken reads a response from the token endpoint. expires is what it says about the end of the token, 0 if nothing
// usable.
func decodeToken(body []byte) (access string, expires float64, err error) {
	var raw struct {
		AccessToken string          `json:"access_token"`
		ExpiresAt   json.RawMessage `json:"expires_at"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return "", 0, errNoToken
	}
	if raw.AccessToken == "" || strings.ContainsFunc(raw.AccessToken, notHeader) {
		return "", 0, errNoToken
	}
	if expires = number(raw.ExpiresAt); expires == 0 {
		expires = number(raw.ExpiresIn)
	}
	return raw.AccessToken, expires, nil
}

func notHeader(c rune) bool { return c <= ' ' || c >= 0x7f }

// number reads a JSON number, also in quotes, or a date; 0 if it is neither.
func number(raw []byte) float64 {
	text := string(bytes.Trim(raw, `" `))
	if f, err := strconv.ParseFloat(text, 64); err == nil && f > 0 && f < 1e15 {
		return f
	}
	if at, ok := moment.ParseJSON(raw); ok {
		return float64(at.Time.Unix())
	}
	return 0
}

// expiry converts what the endpoint says to our own clock. A point in time is read relative to the response's date, so
// that a wrong clock on either side does not make every token look expired. Zero if it is unknown: a 401 will tell.
func (c *Client) expiry(expires float64, answered time.Time) time.Time {
	now := c.opt.Now()
	var life time.Duration
	switch {
	case expires <= 0:
		return time.Time{}
	case expires < epochSeconds:
		life = time.Duration(expires * float64(time.Second))
	default:
		if expires >= epochMillis {
			expires /= 1000
		}
		if answered.IsZero() {
			answered = now
		}
		life = time.Unix(int64(expires), 0).Sub(answered)
	}
	if life <= 0 {
		return time.Time{}
	}
	return now.Add(life)
}
