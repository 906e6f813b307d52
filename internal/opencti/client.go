// Package opencti speaks the part of an OpenCTI platform's GraphQL API that an external-import connector needs:
// probe, register, ping, queue size, works and looking up ids. It retries nothing and has no policy: the class and
// the sentinel of an error say what it means.
//
// The only mutations it can send are registerConnector, pingConnector, workAdd, workEdit (with delete on a work given
// by id) and stixBundlePush. It never deletes a connector or its queues.
package opencti

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"threatmatch-connector/internal/fault"
)

const (
	defaultTimeout = time.Minute
	maxBody        = 16 << 20 // of a response, in bytes
)

// Options is what New needs. URL and Token are required; package config has checked them.
type Options struct {
	// URL is the platform's address as users see it, with its base path; "/graphql" is appended.
	URL   string
	Token string
	// Version is this connector's, for the User-Agent and the registration.
	Version string
	// Connector is the one that registers, pings and opens works.
	Connector Connector
	// Headers are sent with every request, for gateways in front of the platform.
	Headers map[string]string
	// Roots are the trusted certificate authorities. Nil means the system's.
	Roots *x509.CertPool
	// Insecure accepts any certificate.
	Insecure bool
	// Proxy chooses the proxy of a request. Nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// NoQueue: the platform's broker is not used, and registering does not ask for it.
	NoQueue bool
	// Timeout bounds one request with its response. Zero: 1m.
	Timeout time.Duration
	// Logger gets one debug line per request. May be nil.
	Logger *slog.Logger
	// Waiting is called before each request, and what it returns when that has ended. May be nil.
	Waiting func(context.Context) (done func())
	// Observer is called after each request with the name of its GraphQL operation and the classified error. It must
	// not block. May be nil.
	Observer func(operation string, err error, took time.Duration)
}

// Client talks to one platform. It is safe for concurrent use.
type Client struct {
	opt      Options
	endpoint string
	http     *http.Client

	mu   sync.Mutex
	caps *Capabilities // nil until probed
	// noAlive is set once the platform has shown that it lacks isWorkAlive.
	noAlive bool
}

// New returns a client. It sends nothing.
func New(opt Options) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(opt.URL, "/"))
	if err != nil {
		return nil, errors.New("opencti url: not a URL")
	}
	opt.Timeout = cmp.Or(opt.Timeout, defaultTimeout)
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Waiting == nil {
		opt.Waiting = func(context.Context) func() { return func() {} }
	}
	if opt.Observer == nil {
		opt.Observer = func(string, error, time.Duration) {}
	}
	return &Client{
		opt:      opt,
		endpoint: u.String() + "/graphql",
		http: &http.Client{
			Transport: transport(opt),
			// A redirected POST would become a GET, or send the token elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close closes idle connections. The client must not be used afterwards.
func (c *Client) Close() { c.http.CloseIdleConnections() }

type request struct {
	Query     string         `json:"query"`
	Variables map[string]any `json:"variables,omitempty"`

	timeout time.Duration // zero: that of the client
}

// call sends one GraphQL document and decodes its data into out. op says what is done to what, for errors and logs.
func (c *Client) call(ctx context.Context, op string, req request, out any) error {
	defer c.opt.Waiting(ctx)()
	began := time.Now()
	err := c.exchange(ctx, req, out)
	took := time.Since(began)
	c.opt.Logger.DebugContext(ctx, "opencti request", "operation", op, "duration", took, "ok", err == nil)
	switch {
	case err != nil && ctx.Err() != nil:
		// The caller gave up; the platform is not to blame.
		return fmt.Errorf("%s: %w", op, context.Cause(ctx))
	case err != nil:
		err = fmt.Errorf("%s: %w", op, classify(err))
	}
	c.opt.Observer(req.operation(), err, took)
	return err
}

// operation returns the name of the document.
func (r request) operation() string {
	_, rest, _ := strings.Cut(r.Query, " ")
	return rest[:max(strings.IndexAny(rest, "({ "), 0)]
}

// body returns the request as it is sent, as short as JSON allows, or an error if it is longer than platforms accept.
func (r request) body() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, err
	}
	if b.Len() > maxRequest {
		return nil, &Error{Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("not sent: the request has %d bytes", b.Len())}
	}
	return b.Bytes(), nil
}

func (c *Client) exchange(ctx context.Context, in request, out any) error {
	body, err := in.body()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(in.timeout, c.opt.Timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range c.opt.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.opt.Token)
	req.Header.Set("User-Agent", "threatmatch-connector/"+cmp.Or(c.opt.Version, "0.0.0"))
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return err
	}
	if len(text) > maxBody {
		return fault.Mark(fault.Permanent, fmt.Errorf("response larger than %d bytes", maxBody))
	}
	return c.fitToShow(decode(resp, text, out))
}

// fitToShow shortens what the platform, or something in front of it, says, and first removes our own secrets: some
// repeat the headers of a request that they refuse.
func (c *Client) fitToShow(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	const least = 6 // a shorter header value is not a secret, and may occur anywhere
	secrets := []string{c.opt.Token}
	for _, value := range c.opt.Headers {
		value = strings.TrimSpace(value)
		secrets = append(secrets, value, value[strings.LastIndex(value, " ")+1:]) // also without a scheme such as Basic
	}
	for _, text := range []*string{&e.Code, &e.Message, &e.location} {
		for _, s := range secrets {
			if len(s) >= least {
				*text = strings.ReplaceAll(*text, s, "[redacted]")
			}
		}
		*text = excerpt(*text)
	}
	return err
}
