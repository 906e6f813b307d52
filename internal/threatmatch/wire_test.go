package threatmatch

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"threatmatch-connector/internal/sim/forms"
)

// noText is the own function of a server that wrote no times.
func noText(string) bool { return false }

// formOf finds the form of a request, and its parameters.
func formOf(t *testing.T, r *http.Request) (forms.Form, url.Values) {
	t.Helper()
	for _, f := range forms.Forms() {
		path := strings.NewReplacer("{dataset}", "alerts", "{id}", "12").Replace(f.Path)
		if r.Method != f.Method || r.URL.EscapedPath() != path {
			continue
		}
		got := r.URL.Query()
		if f.Body {
			var members map[string]string
			if err := json.NewDecoder(r.Body).Decode(&members); err != nil {
				t.Errorf("%s: body is not an object of texts: %v", f.Op, err)
			}
			for k, v := range members {
				got.Add(k, v)
			}
		} else if rest, _ := io.ReadAll(r.Body); len(rest) > 0 {
			t.Errorf("%s has a body: %q", f.Op, rest)
		}
		return f, got
	}
	t.Errorf("%s %s is in no form", r.Method, r.URL)
	return forms.Form{}, nil
}

// TestEveryRequestHasItsForm makes each call at times that are never round.
func TestEveryRequestHasItsForm(t *testing.T) {
	for _, now := range []string{
		"2026-10-29T08:19:59.098871147Z", "2026-10-29T10:19:59.999999999+02:00", "1969-12-31T23:59:59.9Z", "0001-01-01T00:00:00Z", "-",
	} {
		at, err := time.Parse(time.RFC3339Nano, now)
		if err != nil { // a window that reaches back beyond the first year
			at = time.Time{}.Add(-10 * time.Minute)
		}
		var mu sync.Mutex
		var ops []string
		srv, c := serve(t, nil)
		srv.Config.Handler = withToken(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			form, got := formOf(t, r)
			if name, want := form.Missed(got, noText); name != "" {
				t.Errorf("at %s: %s sends %s %q, want %s", now, form.Op, name, got[name], want)
			}
			if r.Header.Get("Accept") != "application/json" || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
				t.Errorf("%s sends the headers %v", form.Op, r.Header)
			}
			ops = append(ops, form.Op)
			answer := `{"list":[],"objects":[]}`
			if form.Op == "groups" {
				answer = `[]`
			}
			io.WriteString(w, answer)
		})
		for _, call := range []func(context.Context) error{
			func(ctx context.Context) error { _, err := c.List(ctx, Alerts, at); return err },
			func(ctx context.Context) error { _, err := c.Item(ctx, Alerts, "12"); return err },
			func(ctx context.Context) error { _, err := c.Groups(ctx); return err },
			func(ctx context.Context) error {
				_, err := c.Page(ctx, "101", "indicator", ModifiedAfter(at))
				return err
			},
			c.Control,
		} {
			if err := call(t.Context()); err != nil {
				t.Errorf("at %s: %v", now, err)
			}
		}
		if want := []string{"list", "item", "groups", "page", "groups"}; !slices.Equal(ops, want) {
			t.Errorf("got requests %v, want %v", ops, want)
		}
	}
}

func TestTokenRequestHasItsForm(t *testing.T) {
	asked := 0
	srv, c := serve(t, nil)
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; r.URL.Path == tokenPath {
			form, got := formOf(t, r)
			if name, want := form.Missed(got, noText); name != "" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("token sends %v, missed %s: %s", got, name, want)
			}
			io.WriteString(w, `{"access_token":"a","expires_at":3600}`)
			return
		}
		io.WriteString(w, `[]`)
	})
	if _, err := c.Groups(t.Context()); err != nil || asked != 2 {
		t.Errorf("got %d requests, %v; want 2", asked, err)
	}
}
