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

	"threatmatch-connector/spool"
)

// Client talks to a running daemon over its socket. It is an Inspector.
type Client struct{ http *http.Client }

// Dial returns a client if a daemon answers on the socket at path.
func Dial(ctx context.Context, path string) (*Client, error) {
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	probe, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	_ = probe.Close()
	return &Client{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
	}}}, nil
}

// Close drops idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Stats implements Inspector.
func (c *Client) Stats() (Stats, error) { return get[Stats](c, "stats", nil) }

// Runs implements Inspector.
func (c *Client) Runs(before uint64, limit int) ([]Run, error) {
	return get[[]Run](c, "runs", url.Values{"before": {strconv.FormatUint(before, 10)}, "limit": {strconv.Itoa(limit)}})
}

// Run implements Inspector.
func (c *Client) Run(id uint64) (Run, error) {
	return get[Run](c, "run", url.Values{"id": {strconv.FormatUint(id, 10)}})
}

// List implements Inspector.
func (c *Client) List(bucket, after string, limit int) ([]spool.Entry, error) {
	return get[[]spool.Entry](c, "list", url.Values{"bucket": {bucket}, "after": {after}, "limit": {strconv.Itoa(limit)}})
}

// Show implements Inspector.
func (c *Client) Show(bucket, key string) (spool.Entry, []byte, error) {
	s, err := get[shown](c, "show", url.Values{"bucket": {bucket}, "key": {key}})
	return s.Entry, s.Payload, err
}

// Dead implements Inspector.
func (c *Client) Dead(after uint64, limit int) ([]Dead, error) {
	return get[[]Dead](c, "dead", url.Values{"after": {strconv.FormatUint(after, 10)}, "limit": {strconv.Itoa(limit)}})
}

// Status returns the daemon's own description as JSON.
func (c *Client) Status() (json.RawMessage, error) { return get[json.RawMessage](c, "status", nil) }

// Trigger starts a run now.
func (c *Client) Trigger() (string, error) { return post[string](c, "trigger", nil) }

// Repull imports a past window again.
func (c *Client) Repull(q RepullRequest) (string, error) { return post[string](c, "repull", q) }

// Retry takes dead letters and parked items back to work.
func (c *Client) Retry(n Names) (string, error) { return post[string](c, "retry", n) }

// Drop removes named entries for good.
func (c *Client) Drop(n Names) (string, error) { return post[string](c, "drop", n) }

// Snapshot lets the daemon write a consistent copy of its spool to path.
func (c *Client) Snapshot(path string) (int64, error) {
	return post[int64](c, "snapshot?path="+url.QueryEscape(path), nil)
}

const base = "http://daemon/v1/"

func get[T any](c *Client, name string, q url.Values) (T, error) {
	return decode[T](name)(c.http.Get(base + name + "?" + q.Encode()))
}

func post[T any](c *Client, name string, body any) (T, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		var zero T
		return zero, err
	}
	return decode[T](name)(c.http.Post(base+name, "application/json", bytes.NewReader(raw)))
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
			var f failure
			if json.Unmarshal(raw, &f) != nil || f.Error == "" {
				f.Error = resp.Status
			}
			if f.NotFound {
				return v, fmt.Errorf("%w: %s", spool.ErrNotFound, f.Error)
			}
			return v, errors.New(f.Error)
		}
		return v, json.Unmarshal(raw, &v)
	}
}
