package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// Client talks to a running daemon over its socket. It is an inspect.Inspector, and safe for concurrent use.
type Client struct {
	http *http.Client
	slow *http.Client // without a timeout
}

// answerTimeout bounds all requests but those that read the whole spool.
const answerTimeout = time.Minute

// Dial returns a client of the daemon that listens on the socket at path, or an error if none does.
func Dial(ctx context.Context, path string) (*Client, error) {
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	probe, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	_ = probe.Close()
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
	}
	return &Client{
		http: &http.Client{Transport: tr, Timeout: answerTimeout},
		slow: &http.Client{Transport: tr},
	}, nil
}

// Close closes idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Stats implements inspect.Inspector.
func (c *Client) Stats() (inspect.Stats, error) { return get[inspect.Stats](c, "stats", nil) }

// Runs implements inspect.Inspector.
func (c *Client) Runs(before uint64, limit int) ([]inspect.Run, error) {
	return get[[]inspect.Run](c, "runs", url.Values{"before": {strconv.FormatUint(before, 10)}, "limit": {strconv.Itoa(limit)}})
}

// Run implements inspect.Inspector.
func (c *Client) Run(id uint64) (inspect.Run, error) {
	return get[inspect.Run](c, "run", url.Values{"id": {strconv.FormatUint(id, 10)}})
}

// List implements inspect.Inspector.
func (c *Client) List(bucket, after string, limit int) ([]spool.Entry, error) {
	return get[[]spool.Entry](c, "list", url.Values{"bucket": {bucket}, "after": {after}, "limit": {strconv.Itoa(limit)}})
}

// Show implements inspect.Inspector.
func (c *Client) Show(bucket, key string) (spool.Entry, []byte, error) {
	s, err := get[shown](c, "show", url.Values{"bucket": {bucket}, "key": {key}})
	return s.Entry, s.Payload, err
}

// Tasks implements inspect.Inspector.
func (c *Client) Tasks(after string, limit int) ([]inspect.Task, error) {
	return get[[]inspect.Task](c, "tasks", url.Values{"after": {after}, "limit": {strconv.Itoa(limit)}})
}

// Task implements inspect.Inspector.
func (c *Client) Task(key spool.TaskKey) (inspect.Task, error) {
	return get[inspect.Task](c, "task", url.Values{"key": {key.String()}})
}

// Failing implements inspect.Inspector.
func (c *Client) Failing(limit int) ([]inspect.Failing, error) {
	return get[[]inspect.Failing](c, "failing", url.Values{"limit": {strconv.Itoa(limit)}})
}

// Held implements inspect.Inspector.
func (c *Client) Held(limit int) ([]inspect.Held, error) {
	return get[[]inspect.Held](c, "held", url.Values{"limit": {strconv.Itoa(limit)}})
}

// HeldObject implements inspect.Inspector.
func (c *Client) HeldObject(id string) (inspect.Held, error) {
	return get[inspect.Held](c, "held-object", url.Values{"id": {id}})
}

// Dead implements inspect.Inspector.
func (c *Client) Dead(after uint64, limit int) ([]inspect.Dead, error) {
	return get[[]inspect.Dead](c, "dead", url.Values{"after": {strconv.FormatUint(after, 10)}, "limit": {strconv.Itoa(limit)}})
}

// Unsettled implements inspect.Inspector.
func (c *Client) Unsettled() (inspect.Unsettled, error) {
	return get[inspect.Unsettled](c, "unsettled", nil)
}

// Find implements inspect.Inspector.
func (c *Client) Find(ctx context.Context, query string) (inspect.Found, error) {
	return getWith[inspect.Found](ctx, c.slow, "find", url.Values{"q": {query}})
}

// SkipFrom implements inspect.Inspector.
func (c *Client) SkipFrom(d spool.Dataset, to time.Time) (time.Time, error) {
	return get[time.Time](c, "skip-from", url.Values{"dataset": {string(d)}, "to": {to.Format(time.RFC3339Nano)}})
}

// Export implements inspect.Inspector.
func (c *Client) Export(bucket, after string) ([]spool.Exported, string, error) {
	e, err := get[exported](c, "export", url.Values{"bucket": {bucket}, "after": {after}})
	return e.Items, e.Next, err
}

// Snapshot implements inspect.Inspector.
func (c *Client) Snapshot(w io.Writer) (int64, error) {
	resp, err := c.slow.Get(base + "snapshot")
	if err != nil || resp.StatusCode != http.StatusOK {
		_, err := decode[struct{}]("snapshot")(resp, err)
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := io.Copy(w, resp.Body)
	if err == nil && resp.Trailer.Get(lengthTrailer) != strconv.FormatInt(n, 10) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return n, fmt.Errorf("copy the daemon's snapshot: %w", err)
	}
	return n, nil
}

// Status returns the daemon's description of itself.
func (c *Client) Status() (inspect.Status, error) { return get[inspect.Status](c, "status", nil) }

// History returns the daemon's samples of the last hour and day.
func (c *Client) History() (inspect.History, error) {
	return get[inspect.History](c, "history", nil)
}

// Setup returns what the daemon was started with.
func (c *Client) Setup() (inspect.Setup, error) { return get[inspect.Setup](c, "setup", nil) }

// Health asks whether the daemon is alive and ready.
func (c *Client) Health(ctx context.Context) (Report, error) {
	return getWith[Report](ctx, c.http, "health", nil)
}

// Message returns a message of a bundle exactly as it goes to the broker.
func (c *Client) Message(run, bundle uint64, index int) ([]byte, error) {
	return get[[]byte](c, "message", url.Values{
		"run": {strconv.FormatUint(run, 10)}, "bundle": {strconv.FormatUint(bundle, 10)}, "index": {strconv.Itoa(index)},
	})
}

// Trigger starts a run now.
func (c *Client) Trigger(ctx context.Context) (Answer, error) { return c.post(ctx, "trigger", nil) }

// Repull implements Changes.
func (c *Client) Repull(ctx context.Context, q RepullRequest) (Answer, error) {
	return c.post(ctx, "repull", q)
}

// Skip implements Changes.
func (c *Client) Skip(ctx context.Context, q SkipRequest) (Answer, error) {
	return c.post(ctx, "skip", q)
}

// Pause implements Changes.
func (c *Client) Pause(ctx context.Context, q StageRequest) (Answer, error) {
	return c.post(ctx, "pause", q)
}

// Resume implements Changes.
func (c *Client) Resume(ctx context.Context, q StageRequest) (Answer, error) {
	return c.post(ctx, "resume", q)
}

// Retry implements Changes.
func (c *Client) Retry(ctx context.Context, n Names) (Answer, error) { return c.post(ctx, "retry", n) }

// Drop implements Changes.
func (c *Client) Drop(ctx context.Context, n Names) (Answer, error) { return c.post(ctx, "drop", n) }

const base = "http://daemon/v1/"

func get[T any](c *Client, name string, q url.Values) (T, error) {
	return getWith[T](context.Background(), c.http, name, q)
}

func getWith[T any](ctx context.Context, hc *http.Client, name string, q url.Values) (T, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+name+"?"+q.Encode(), nil)
	if err != nil {
		var zero T
		return zero, err
	}
	return decode[T](name)(hc.Do(req))
}

func (c *Client) post(ctx context.Context, name string, body any) (Answer, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return Answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+name, bytes.NewReader(raw))
	if err != nil {
		return Answer{}, err
	}
	return decode[Answer](name)(c.http.Do(req))
}

func decode[T any](name string) func(*http.Response, error) (T, error) {
	return func(resp *http.Response, err error) (T, error) {
		var v T
		if err != nil {
			return v, fmt.Errorf("ask the daemon for %s: %w", name, err)
		}
		defer func() { _ = resp.Body.Close() }()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			return v, fmt.Errorf("read the daemon's %s: %w", name, err)
		}
		if resp.StatusCode != http.StatusOK {
			return v, failed(resp.Status, raw)
		}
		return v, json.Unmarshal(raw, &v)
	}
}

// failed turns the daemon's answer to a failed request back into an error.
func failed(status string, raw []byte) error {
	var f failure
	if json.Unmarshal(raw, &f) != nil || f.Error == "" {
		return fmt.Errorf("the daemon answered %s: it may be another version", status)
	}
	err := errors.New(f.Error)
	switch {
	case f.NotFound:
		err = remoteError{f.Error, spool.ErrNotFound}
	case f.BadKey:
		err = remoteError{f.Error, spool.ErrKey}
	case f.Corrupt:
		err = remoteError{f.Error, spool.ErrCorrupt}
	}
	if f.Hint != "" {
		return fault.Hint(err, f.Hint)
	}
	return err
}

// remoteError is an error that the daemon reported. It wraps the spool's error of that meaning.
type remoteError struct {
	text string
	is   error
}

func (e remoteError) Error() string { return e.text }
func (e remoteError) Unwrap() error { return e.is }
