package threatmatch

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/moment"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/faults"
)

func TestRefusals(t *testing.T) {
	c := newClient(t, Options{Generate: small()})
	jsonBody := []string{"Content-Type", "application/json"}
	good := `{"client_id":"sim-client","client_secret":"sim-secret"}`
	rows := []struct {
		name, method, path, body string
		headers                  []string
		want                     int
	}{
		{"no token", "GET", "/api/profiles/all?mode=compact&date_since=2026-01-01+00:00", "", nil, 401},
		{"wrong token", "GET", "/api/taxii/groups", "", []string{"Authorization", "Bearer x"}, 401},
		{"no token, a browser", "GET", "/api/taxii/groups", "", []string{"Accept", "*/*"}, 302},
		{"token by GET", "GET", "/api/developers-platform/token", "", nil, 405},
		{"token as form", "POST", "/api/developers-platform/token", "client_id=a&client_secret=b", []string{"Content-Type", "application/x-www-form-urlencoded"}, 422},
		{"no secret", "POST", "/api/developers-platform/token", `{"client_id":"sim-client"}`, jsonBody, 422},
		{"wrong secret", "POST", "/api/developers-platform/token", `{"client_id":"sim-client","client_secret":"x"}`, jsonBody, 401},
		{"right secret", "POST", "/api/developers-platform/token", good, jsonBody, 200},
		{"unknown route", "GET", "/api/nothing", "", nil, 404},
	}
	for _, row := range rows {
		if got, text, _ := c.do(row.method, row.path, row.body, row.headers...); got != row.want {
			t.Errorf("%s: %d %s, want %d", row.name, got, text, row.want)
		}
	}
	c.signIn()
	for path, want := range map[string]int{
		"/api/profiles/all?mode=full":                                 422,
		"/api/profiles/all?mode=extended&date_since=2026-01-01+00:00": 422,
		"/api/profiles/all":                                           422,
		"/api/stix/profiles/3?format=json":                            422,
		"/api/taxii/objects?groupId=101&stixTypeName=indicator&modifiedAfter=2026-10-29T08:19:59.098871147Z": 422,
		"/api/taxii/objects?groupId=101&stixTypeName=indicator&modifiedAfter=2026-10-29T08:19:59Z":           422,
		"/api/taxii/objects?groupId=101&stixTypeName=indicator&modifiedAfter=2026-10-29T08:19:59.098Z":       200,
		"/api/profiles/all?mode=compact&date_since=yesterday":                                                422,
		"/api/profiles/all?mode=compact&date_since=2026-01-01T00:00:00Z":                                     422,
		"/api/profiles/all?mode=compact&date_since=2026-01-01+00:00":                                         200,
		"/api/iocs/all?mode=compact&date_since=2026-01-01+00:00":                                             404,
		"/api/stix/profiles/31":                               404,
		"/api/stix/profiles/x":                                404,
		"/api/taxii/objects?groupId=7&stixTypeName=indicator": 422,
		"/api/taxii/objects?groupId=101":                      422,
		"/api/taxii/objects?groupId=101&stixTypeName=indicator&modifiedAfter=2026-01-01 10:00": 422,
	} {
		if got, text, _ := c.do("GET", strings.ReplaceAll(path, " ", "%20"), ""); got != want {
			t.Errorf("%s: %d %s, want %d", path, got, text, want)
		}
	}
	if got, _, _ := c.do("POST", "/api/profiles/all?mode=compact&date_since=2026-01-01+00:00", ""); got != http.StatusMethodNotAllowed {
		t.Errorf("list by POST: %d", got)
	}
}

func TestTokenForms(t *testing.T) {
	for form, want := range map[Expiry]float64{Epoch: float64(start.Add(time.Minute).Unix()), Duration: 60, Absent: 0} {
		c := newClient(t, Options{TokenLifetime: time.Minute, Expiry: form})
		_, text, _ := c.do("POST", "/api/developers-platform/token", `{"client_id":"sim-client","client_secret":"sim-secret"}`, "Content-Type", "application/json")
		var answer map[string]any
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatal(err)
		}
		if got, _ := answer["expires_at"].(float64); got != want {
			t.Errorf("%s: expires_at %v, want %v", form, got, want)
		}
		c.signIn()
		if got, _, _ := c.do("GET", "/api/taxii/groups", ""); got != 200 {
			t.Errorf("%s: fresh token: %d", form, got)
		}
		c.s.Advance(time.Minute)
		if got, _, _ := c.do("GET", "/api/taxii/groups", ""); got != 401 {
			t.Errorf("%s: expired token: %d", form, got)
		}
		c.signIn()
		c.s.RevokeTokens()
		if got, _, _ := c.do("GET", "/api/taxii/groups", ""); got != 401 {
			t.Errorf("%s: revoked token: %d", form, got)
		}
	}
}

type listAnswer struct {
	DateApplied time.Time `json:"date_applied"`
	List        []any     `json:"list"`
}

func TestLists(t *testing.T) {
	c := newClient(t, Options{Generate: small()}).signIn()
	var all, late listAnswer
	c.get("/api/profiles/all?mode=compact&date_since=2026-01-01+00:00", &all)
	if len(all.List) != 30 {
		t.Fatalf("%d profiles", len(all.List))
	}
	c.get("/api/profiles/all?mode=compact&date_since="+url.QueryEscape(start.Add(-10*24*time.Hour).Format(dateSince)), &late)
	if n := len(late.List); n != 15 {
		t.Errorf("%d of the last ten of twenty days, want 15", n)
	}
	if want := start.Add(-10 * 24 * time.Hour); !late.DateApplied.Equal(want) {
		t.Errorf("date_applied %v, want %v", late.DateApplied, want)
	}
	_, text, _ := c.do("GET", "/api/profiles/all", `{"mode":"compact","date_since":"2026-10-22 12:00"}`, "Content-Type", "application/json")
	var body listAnswer
	if err := json.Unmarshal(text, &body); err != nil || len(body.List) != 15 {
		t.Errorf("parameters in the body: %s", text)
	}
}

func TestListInAnotherZone(t *testing.T) {
	c := newClient(t, Options{Generate: small(), Zone: time.FixedZone("behind", -5*3600), StringIDs: true}).signIn()
	var got listAnswer
	c.get("/api/alerts/all?mode=compact&date_since=2026-10-22+12:00", &got)
	if want := time.Date(2026, 10, 22, 17, 0, 0, 0, time.UTC); !got.DateApplied.Equal(want) {
		t.Errorf("date_applied %v, want %v", got.DateApplied, want)
	}
	if _, isText := got.List[0].(string); !isText {
		t.Errorf("id %v is no text", got.List[0])
	}
}

func TestAdvancePublishes(t *testing.T) {
	c := newClient(t, Options{
		Generate:        small(),
		NewPerDay:       map[data.Dataset]int{data.Alerts: 4, data.IOCs: 10},
		RepublishPerDay: map[data.Dataset]int{data.Profiles: 3},
		TokenLifetime:   1000 * time.Hour,
	}).signIn()
	c.s.Advance(12 * time.Hour)
	c.s.Advance(12 * time.Hour)
	since := url.QueryEscape(start.Format(dateSince))
	for d, want := range map[data.Dataset]int{data.Alerts: 4, data.Profiles: 3, data.Reports: 0} {
		var got listAnswer
		c.get("/api/"+string(d)+"/all?mode=compact&date_since="+since, &got)
		if len(got.List) != want {
			t.Errorf("%s: %v, want %d", d, got.List, want)
		}
	}
	if ids := c.walk(start); len(ids) != 10 {
		t.Errorf("%d new IOCs", len(ids))
	}
	if _, _, h := c.do("GET", "/api/taxii/groups", ""); h.Get("Date") != start.Add(24*time.Hour).Format(http.TimeFormat) {
		t.Errorf("Date: %s", h.Get("Date"))
	}
}

// walk pages through the IOCs as the connector's documentation has it: from
// the last modified on, what was seen at that instant dropped.
func (c *client) walk(from time.Time) []string {
	c.t.Helper()
	var ids []string
	seen := map[string]bool{}
	after := from
	for range 1000 {
		var page struct {
			More    bool
			Objects []struct {
				ID       string
				Modified time.Time
			}
		}
		c.get("/api/taxii/objects?groupId=101&stixTypeName=indicator&modifiedAfter="+url.QueryEscape(moment.Format(after)), &page)
		fresh := 0
		for _, o := range page.Objects {
			if !seen[o.ID] {
				seen[o.ID] = true
				ids = append(ids, o.ID)
				fresh++
			}
			if o.Modified.After(after) {
				after = o.Modified
			}
		}
		if !page.More || fresh == 0 {
			break
		}
		after = after.Add(-time.Millisecond)
	}
	return ids
}

func TestPages(t *testing.T) {
	for _, exclusive := range []bool{false, true} {
		for _, tie := range []int{0, 20, 49} {
			for _, sub := range []bool{false, true} {
				t.Run(fmt.Sprintf("exclusive=%v tie=%d sub=%v", exclusive, tie, sub), func(t *testing.T) {
					g := small()
					g.TieEvery, g.TieSize, g.SubMillisecond = 100, tie, sub
					c := newClient(t, Options{Generate: g, PageSize: 50, Exclusive: exclusive, OmitMore: true, ShufflePages: true}).signIn()
					if ids := c.walk(start.Add(-1000 * time.Hour)); len(ids) != 260 {
						t.Errorf("%d of 260", len(ids))
					}
				})
			}
		}
	}
}

func TestFaultsAndCounts(t *testing.T) {
	c := newClient(t, Options{Generate: small()}).signIn()
	want := map[string]int{"403": 403, "429": 429, "502": 502, "error": 200, "reset": 0, "lost": 0, "cut": -1, "truncate": 200}
	for name, status := range want {
		rule := faults.Must(name)
		rule.Route, rule.ID, rule.Times = "item", "profiles/4", 1
		c.s.SetFault(rule)
		got, text, h := c.do("GET", "/api/stix/profiles/4", "")
		if got != status {
			t.Errorf("%s: %d %s, want %d", name, got, text, status)
		}
		if name == "429" && h.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
		if status == 200 && json.Valid(text) != (name == "error") {
			t.Errorf("%s: %s", name, text)
		}
		if got, _, _ := c.do("GET", "/api/stix/profiles/5", ""); got != 200 {
			t.Errorf("%s: other item: %d", name, got)
		}
	}
	c.s.Heal()
	if got, _, _ := c.do("GET", "/api/stix/profiles/4", ""); got != 200 {
		t.Errorf("healed: %d", got)
	}
	s := c.s.Stats()
	if s.Asked["profiles/4"] != len(want)+1 || s.Answered["profiles/4"] != 1 || !slices.Equal(s.Repeated, []string{"profiles/5"}) {
		t.Errorf("asked %d, answered %d, repeated %v", s.Asked["profiles/4"], s.Answered["profiles/4"], s.Repeated)
	}
	if s.Requests["item"][429] != 1 || s.Faults["answer 429"] != 1 || s.Total("token") != 1 || s.PeakPerSecond < 2 {
		t.Errorf("stats %+v", s)
	}
}

func TestHeavyFaults(t *testing.T) {
	c := newClient(t, Options{Generate: small()}).signIn()
	flood := faults.Must("flood")
	flood.Route, flood.Times, flood.Size = "groups", 1, 3_000_000
	wait := faults.Must("429")
	wait.Route, wait.RetryAfter = "list", "+90s"
	stall := faults.Must("stall")
	stall.Route = "item"
	c.s.SetFault(flood, wait, stall)
	if status, text, _ := c.do("GET", "/api/taxii/groups", ""); status != 200 || len(text) < 3_000_000 || !json.Valid(text) {
		t.Errorf("flood: %d, %d bytes", status, len(text))
	}
	if _, _, h := c.do("GET", "/api/alerts/all?mode=compact&date_since=2026-01-01+00:00", ""); h.Get("Retry-After") != start.Add(90*time.Second).Format(http.TimeFormat) {
		t.Errorf("Retry-After %q", h.Get("Retry-After"))
	}
	c.http.Timeout = 200 * time.Millisecond
	if status, text, _ := c.do("GET", "/api/stix/profiles/2", ""); status != -1 || len(text) == 0 {
		t.Errorf("stall: %d after %d bytes", status, len(text))
	}
}

func TestHangEndsWithTheServer(t *testing.T) {
	c := newClient(t, Options{Faults: []faults.Rule{faults.Must("hang")}})
	done := make(chan int)
	go func() {
		got, _, _ := c.do("GET", "/api/taxii/groups", "")
		done <- got
	}()
	for c.s.Faults.Hits()["hang"] == 0 {
		time.Sleep(time.Millisecond)
	}
	c.s.Stop()
	if got := <-done; got != 0 {
		t.Errorf("hung request: %d", got)
	}
	c.s.Heal()
	if err := c.s.Start(); err != nil {
		t.Fatal(err)
	}
	if c.signIn(); c.token == "" {
		t.Error("no token after the restart")
	}
}

func TestNotOffered(t *testing.T) {
	c := newClient(t, Options{Generate: small(), NotOffered: []data.Dataset{data.Reports, data.IOCs}, HTMLErrors: true, Gzip: true}).signIn()
	for _, path := range []string{"/api/reports/all?mode=compact&date_since=2026-01-01+00:00", "/api/taxii/groups", "/api/stix/reports/1"} {
		got, text, _ := c.do("GET", path, "")
		if got != 404 || !strings.HasPrefix(string(text), "<!DOCTYPE") {
			t.Errorf("%s: %d %s", path, got, text)
		}
	}
}
