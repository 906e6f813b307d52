// Package threatmatch is a client of the ThreatMatch Developer Platform API.
//
// The client makes one attempt per call (and one more with a fresh token after a 401). The fault class of an error says
// what a failure means; when to try again is up to the caller. The client itself handles what concerns the server as
// a whole: the request rate, the pause after a 429, the token, and the memory that large bodies take.
package threatmatch

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options of a Client. BaseURL, ClientID, ClientSecret, RequestsPerSecond, MaxBody, Now and Rand are required. Package
// config has checked what the user sets.
type Options struct {
	// BaseURL is the scheme and host of the platform, with an optional path in front of "/api".
	BaseURL      string
	ClientID     string
	ClientSecret string
	// UserAgent is sent with every request.
	UserAgent string

	// RequestsPerSecond bounds all requests together, token requests too.
	RequestsPerSecond float64
	// MaxBody is the largest response, in bytes after decompression.
	MaxBody int64
	// Dir is where responses of more than 4 MiB are kept, in files without a name. Empty means in memory.
	Dir string
	// ConnectTimeout bounds the dial, and separately the TLS handshake. Zero means 10 s.
	ConnectTimeout time.Duration
	// HeaderTimeout bounds the wait for the beginning of the response. Zero means 2 min.
	HeaderTimeout time.Duration
	// BodyTimeout bounds reading the response. Zero means 5 min.
	BodyTimeout time.Duration

	// Roots are the trusted certificate authorities. Nil means the system's.
	Roots *x509.CertPool
	// Proxy chooses the proxy of a request. Nil means none.
	Proxy func(*http.Request) (*url.URL, error)

	// Transport carries the requests. Nil means the network.
	Transport http.RoundTripper

	// Now is the clock.
	Now func() time.Time
	// Rand returns a number in [0, 1). It must be safe for concurrent use.
	Rand func() float64
	// Log gets debug lines, and warnings about the server as a whole. Nil discards them.
	Log *slog.Logger
	// Observer is called for each request. May be nil.
	Observer Observer
}

// Observer observes what the client does, for metrics. Its methods are called concurrently and must not block.
type Observer interface {
	// Request is called when a request has ended, with its operation ("token", "list", "item", "groups", "page"), its
	// status (0 without a response), the kind of its failure ("" for none), and its duration without waits for the
	// rate limit.
	Request(op string, status int, kind string, d time.Duration)
	// Paused is called when a 429 makes the whole client wait for d.
	Paused(d time.Duration)
}

const (
	connectTimeout = 10 * time.Second
	headerTimeout  = 2 * time.Minute
	bodyTimeout    = 5 * time.Minute
	maxRetryAfter  = 15 * time.Minute // the longest wait that a Retry-After header can ask for
	maxRedirects   = 5
)

// Client calls one ThreatMatch server with one account. It is safe for
// concurrent use. Close it when done.
type Client struct {
	opt    Options
	base   *url.URL
	http   *http.Client
	gate   *throttle
	token  *tokenSource
	large  chan struct{} // holds one permit: its holder may read a large body
	redact *redactor
}

// New returns a client. It makes no request.
func New(opt Options) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(opt.BaseURL, "/"))
	if err != nil {
		return nil, errors.New("threatmatch url: not a URL")
	}
	if opt.RequestsPerSecond <= 0 || opt.MaxBody <= 0 {
		return nil, fmt.Errorf("threatmatch client: %v requests per second and responses of %d bytes: both must be above zero", opt.RequestsPerSecond, opt.MaxBody)
	}
	opt.complete()
	c := &Client{
		opt:    opt,
		base:   base,
		large:  make(chan struct{}, 1),
		redact: &redactor{secret: opt.ClientSecret},
		gate:   newThrottle(opt),
	}
	c.http = &http.Client{Transport: opt.Transport, CheckRedirect: c.checkRedirect}
	if opt.Transport == nil {
		c.http.Transport = newTransport(opt)
	}
	c.token = newTokenSource(c.requestToken, opt.Now)
	return c, nil
}

// Close closes idle connections. Calls in progress are ended by their contexts.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// complete fills in what is optional.
func (o *Options) complete() {
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, connectTimeout)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, headerTimeout)
	o.BodyTimeout = cmp.Or(o.BodyTimeout, bodyTimeout)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observer == nil {
		o.Observer = unobserved{}
	}
}

func newTransport(opt Options) *http.Transport {
	dialer := &net.Dialer{Timeout: opt.ConnectTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 opt.Proxy,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: opt.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   opt.ConnectTimeout,
		ResponseHeaderTimeout: opt.HeaderTimeout,
		ForceAttemptHTTP2:     true,
		// Pings notice a peer that vanished without closing the connection.
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     90 * time.Second,
	}
}

// checkRedirect follows a few redirects of GETs on the same host. For anything else the caller gets the 3xx itself:
// the bearer token and the client secret go to no other host, and never from TLS to plain text.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > maxRedirects || first.Method != http.MethodGet || !sameSite(first.URL, req.URL) {
		return http.ErrUseLastResponse
	}
	return c.gate.wait(req.Context())
}

// sameSite reports whether to is on the host of from, with the same scheme and port or one step up from http to
// https.
func sameSite(from, to *url.URL) bool {
	if !strings.EqualFold(from.Hostname(), to.Hostname()) {
		return false
	}
	if from.Scheme == to.Scheme {
		return port(from) == port(to)
	}
	return from.Scheme == "http" && to.Scheme == "https" && port(from) == "80" && port(to) == "443"
}

func port(u *url.URL) string {
	if u.Scheme == "https" {
		return cmp.Or(u.Port(), "443")
	}
	return cmp.Or(u.Port(), "80")
}

type unobserved struct{}

func (unobserved) Request(string, int, string, time.Duration) {}
func (unobserved) Paused(time.Duration)                       {}
