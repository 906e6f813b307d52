package threatmatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// largeBody is how many bytes of a body any number of requests may read at once. The rest of larger bodies is read
// one body at a time.
const largeBody = 4 << 20

// errorBody is how many bytes are read of an error's body.
const errorBody = 64 << 10

// tokenBody is the largest response of the token endpoint in bytes, whatever MaxBody is.
const tokenBody = 64 << 10

// request is one call: its name in errors and what it sends.
type request struct {
	op, object string
	path       string
	query      url.Values
	post       []byte // a JSON body; nil makes it a GET
	// decode reads a response with a success status, or says what is wrong with it.
	decode func(*answer) (Kind, error)
	keep   bool // the body is used after decode, and the caller releases it
}

// answer is a response with a success status.
type answer struct {
	status int
	size   int
	body   Body // empty unless the request keeps it
}

// get makes a data request, and repeats it once with a fresh token after a 401.
func (c *Client) get(ctx context.Context, r request) (*answer, error) {
	token, err := c.token.get(ctx)
	if err != nil {
		return nil, err
	}
	ans, err := c.send(ctx, r, token)
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != KindUnauthorised {
		return ans, err
	}
	c.token.invalidate(token)
	if token, err = c.token.get(ctx); err != nil {
		return nil, err
	}
	return c.send(ctx, r, token)
}

// send makes one attempt once the throttle allows it.
func (c *Client) send(ctx context.Context, r request, token string) (*answer, error) {
	if err := c.gate.wait(ctx); err != nil {
		return nil, stopped(ctx, r, err)
	}
	sent := c.opt.Now()
	ans, fail := c.attempt(ctx, r, token)
	if fail == nil {
		c.gate.succeeded()
		c.report(ctx, r, ans.status, ans.size, nil, c.opt.Now().Sub(sent))
		return ans, nil
	}
	if ctx.Err() != nil {
		return nil, stopped(ctx, r, fail)
	}
	fail.Op, fail.Object = r.op, r.object
	if fail.Kind == KindThrottled {
		fail.RetryAfter = c.gate.slowDown(sent, fail.RetryAfter)
	}
	c.report(ctx, r, fail.Status, 0, fail, c.opt.Now().Sub(sent))
	return nil, fail.marked()
}

// report passes a request to observer and log. Nothing in it is secret: the credentials are in a header or in the
// body.
func (c *Client) report(ctx context.Context, r request, status, bytes int, fail *Error, took time.Duration) {
	kind := ""
	if fail != nil {
		kind = string(fail.Kind)
	}
	c.opt.Observer.Request(r.op, status, kind, took)
	c.opt.Log.DebugContext(ctx, "threatmatch request", "operation", r.op, "object", r.object, "path", r.path, "query", r.query.Encode(),
		"status", status, "failure", kind, "bytes", bytes, "duration", took)
}

// stopped is the error of a request that its caller ended: it has no fault class of ours, but the caller's own cause.
func stopped(ctx context.Context, r request, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if r.object == "" {
		return fmt.Errorf("%s: %w", r.op, err)
	}
	return fmt.Errorf("%s %s: %w", r.op, r.object, err)
}

// errSlow is the cause of a request that we ended because it was slow.
var errSlow = errors.New("no response in time")

// errLarger is the cause of a failure because of a response's size.
var errLarger = errors.New("response larger")

// attempt makes the request and reads its response within the timeouts.
func (c *Client) attempt(ctx context.Context, r request, token string) (*answer, *Error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	guard := time.AfterFunc(2*c.opt.ConnectTimeout+c.opt.HeaderTimeout, func() { cancel(errSlow) })
	defer guard.Stop()

	req, err := c.build(ctx, r, token)
	if err != nil {
		return nil, &Error{Kind: KindMalformed, cause: err}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &Error{Kind: kindOfCause(ctx, err), cause: shorten(ctx, err)}
	}
	defer resp.Body.Close()
	guard.Reset(c.opt.BodyTimeout)

	return c.judge(ctx, r, resp, guard)
}

// judge reads a response and tells data from failure.
func (c *Client) judge(ctx context.Context, r request, resp *http.Response, guard *time.Timer) (*answer, *Error) {
	ans := &answer{status: resp.StatusCode}
	date, _ := http.ParseTime(resp.Header.Get("Date")) // zero: the server does not say
	kind := kindOfStatus(resp.StatusCode)
	if r.post != nil {
		kind = kindOfTokenStatus(resp.StatusCode)
	}
	if kind != "" {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, errorBody))
		return nil, &Error{
			Status: resp.StatusCode, Kind: kind,
			RetryAfter: c.retryAfter(resp.Header, date),
			Snippet:    c.redact.snippet(body),
		}
	}
	limit, tooLarge := c.opt.MaxBody, KindTooLarge
	if r.post != nil { // no setting allows more: a server that answers so gives no tokens
		limit, tooLarge = tokenBody, KindMalformed
	}
	var fail *Error
	if ans.body, fail = c.read(ctx, resp, guard, limit, tooLarge); fail == nil {
		fail = c.decode(r, ans, resp.Header.Get("Content-Type"))
	}
	if fail != nil {
		fail.Status = resp.StatusCode
		return nil, fail
	}
	ans.body.Date = date
	return ans, nil
}

// decode lets the request read its response. It releases the body unless decoding succeeds and the request keeps it.
func (c *Client) decode(r request, ans *answer, contentType string) (fail *Error) {
	defer func() {
		if fail != nil || !r.keep {
			ans.body.Release()
		}
	}()
	if fail := c.toUTF8(&ans.body, contentType); fail != nil {
		return fail
	}
	ans.size = len(ans.body.Bytes)
	if kind, err := r.decode(ans); err != nil {
		return &Error{Kind: kind, Snippet: c.redact.snippet(ans.body.Bytes), cause: err}
	}
	return nil
}

func (c *Client) build(ctx context.Context, r request, token string) (*http.Request, error) {
	u := c.base.JoinPath()
	u.Path, u.RawPath = "", ""
	target := u.String() + c.base.EscapedPath() + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	method, body := http.MethodGet, io.Reader(nil)
	if r.post != nil {
		method, body = http.MethodPost, bytes.NewReader(r.post)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	// Without this header the platform answers failures with HTML pages.
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.opt.UserAgent)
	if r.post != nil {
		req.Header.Set("Content-Type", "application/json")
	} else {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req, nil
}

// kindOfCause classifies a failure to get or to read a response.
func kindOfCause(ctx context.Context, err error) Kind {
	var timeout net.Error
	if errors.Is(context.Cause(ctx), errSlow) || errors.As(err, &timeout) && timeout.Timeout() {
		return KindTimeout
	}
	return KindNetwork
}

// shorten removes method and URL, which the operation already tells.
func shorten(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errSlow) {
		return errSlow
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
