package threatmatch

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestListForms(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name, body string
		ids        []string
		unusable   int
		applied    time.Time
	}{
		{"ints", `{"list":[3,1,2]}`, []string{"3", "1", "2"}, 0, time.Time{}},
		{"strings", `{"list":["3","a b/c"]}`, []string{"3", "a b/c"}, 0, time.Time{}},
		{"objects", `{"list":[{"id":3,"title":"x"},{"title":"]}","id":"4"}]}`, []string{"3", "4"}, 0, time.Time{}},
		{"mixed and repeated", `{"list":[3,"3",{"id":3},4]}`, []string{"3", "4"}, 0, time.Time{}},
		{"large id", `{"list":[9007199254740993]}`, []string{"9007199254740993"}, 0, time.Time{}},
		{"unusable", `{"list":[1,null,{},{"id":null},"",1.5,[2],"..","7/edit",true,"` + strings.Repeat("x", 257) + `"]}`, []string{"1"}, 10, time.Time{}},
		{"spaced", " {\n \"list\" : [ 1 , 2 ] , \"x\" : { } }\r\n", []string{"1", "2"}, 0, time.Time{}},
		{"rfc3339", `{"date_applied":"2026-03-01T12:00:00Z","list":[]}`, nil, 0, noon},
		{"offset", `{"date_applied":"2026-03-01T14:00:00+02:00","list":[]}`, nil, 0, noon},
		{"minutes", `{"date_applied":"2026-03-01 12:00","list":[]}`, nil, 0, noon},
		{"seconds", `{"date_applied":"2026-03-01 12:00:00","list":[]}`, nil, 0, noon},
		{"carbon", `{"date_applied":{"date":"2026-03-01 13:00:00.000000","timezone_type":3,"timezone":"Europe/Paris"},"list":[]}`, nil, 0, noon},
		{"unreadable", `{"date_applied":"yesterday","list":[]}`, nil, 0, time.Time{}},
		{"null date", `{"date_applied":null,"list":[]}`, nil, 0, time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list, _, err := decodeList([]byte(tt.body), func(b []byte) string { return string(b) })
			if err != nil {
				t.Fatal(err)
			}
			if ids := distinct(list.IDs); !slices.Equal(ids, tt.ids) || list.Count != len(tt.ids) || list.Unusable != tt.unusable || !list.Applied.Equal(tt.applied) {
				t.Errorf("got %+v", list)
			}
		})
	}
}

func TestListRequest(t *testing.T) {
	var got *http.Request
	_, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(r.Context())
		w.Header().Set("Date", "Sun, 01 Mar 2026 12:00:00 GMT")
		w.Write([]byte(`{"list":[7]}`))
	})
	zone := time.FixedZone("", 2*3600)
	list, err := c.List(t.Context(), Profiles, time.Date(2026, 3, 1, 9, 30, 59, 0, zone))
	if err != nil {
		t.Fatal(err)
	}
	if got.URL.RequestURI() != "/api/profiles/all?date_since=2026-03-01+07%3A30&mode=compact" {
		t.Errorf("asked %s", got.URL.RequestURI())
	}
	if got.Header.Get("Authorization") != "Bearer tok-1" || got.Header.Get("Accept") != "application/json" {
		t.Errorf("sent %v", got.Header)
	}
	if !list.Date.Equal(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("date %v", list.Date)
	}
	if _, err := c.List(t.Context(), "iocs", time.Time{}); err == nil {
		t.Error("a dataset without a list was asked for")
	}
}

func TestItemPathIsEscaped(t *testing.T) {
	var uri string
	h := withToken(func(w http.ResponseWriter, r *http.Request) {
		uri = r.URL.EscapedPath()
		w.Write([]byte(`{"objects":[{"error":"x"},{"type":"y"}]}`))
	})
	srv := httptest.NewServer(http.StripPrefix("/tenant", h))
	defer srv.Close()
	c := newClient(t, testOptions(srv.URL+"/tenant/"))
	if _, err := c.Item(t.Context(), Reports, "a/../b?c#d e"); err != nil {
		t.Fatal(err)
	}
	if uri != "/api/stix/reports/a%2F..%2Fb%3Fc%23d%20e" {
		t.Errorf("asked %s", uri)
	}
}

func TestGroupForms(t *testing.T) {
	groups, _, err := decodeGroups([]byte(`[{"id":1,"name":"All content"},{"name":" My ","id":"b"},{"name":"no id"},5]`))
	want := []Group{{"1", "All content"}, {"b", "My"}}
	if err != nil || !slices.Equal(groups, want) {
		t.Errorf("got %v %v", groups, err)
	}
}

func TestPageForms(t *testing.T) {
	for value, more := range map[string]bool{
		"true": true, "1": true, `"true"`: true, "false": false, "null": false, "0": false, `""`: false,
	} {
		page, _, err := decodePage([]byte(`{"more":` + value + `,"objects":[]}`))
		if err != nil || page.More != more {
			t.Errorf("more %s: got %v %v", value, page.More, err)
		}
	}
	page, _, err := decodePage([]byte(`{"objects":[
		{"type":"indicator","id":"indicator--1","modified":"2026-01-01T00:00:00.123456Z","x":{"id":"no"}},
		{"error":"gone"}, 7 ]}`))
	objects := collect(page)
	if err != nil || page.More || len(objects) != 3 {
		t.Fatalf("got %+v %v", page, err)
	}
	first := objects[0]
	if first.ID != "indicator--1" || first.Modified != "2026-01-01T00:00:00.123456Z" || !json.Valid(first.Raw) {
		t.Errorf("got %+v", first)
	}
	if objects[1].ID != "" || string(objects[2].Raw) != "7" {
		t.Errorf("got %+v", objects[1:])
	}
}

// FuzzBodies feeds all decoders: none may panic, and the walkers must yield what encoding/json reads.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{
		`{"list":[1,"2",{"id":3}],"date_applied":"2026-03-01 12:00"}`,
		`{"objects":[{"id":"a","modified":"b"},{"error":1}],"more":true}`,
		`[{"id":1,"name":"All content"}]`, `{"error":"x"}`, `{"a\"}":"{\\"} `, `[[],{}, [1 ]]`, `{"":{"":[0]}}`, `"x"`, `-1.5e3`,
		`{"access_token":"t","expires_at":"3600"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		decodeList(body, func(b []byte) string { return string(b) })
		decodePage(body)
		decodeGroups(body)
		decodeToken(body)
		if !json.Valid(body) {
			return
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(body, &object) == nil && object != nil {
			got := map[string]json.RawMessage{}
			for k, v := range members(body) {
				got[string(k)] = v
			}
			if !reflect.DeepEqual(got, object) {
				t.Errorf("members of %q: got %q, want %q", body, got, object)
			}
		}
		var array []json.RawMessage
		if json.Unmarshal(body, &array) == nil && array != nil {
			got := []json.RawMessage{}
			for v := range elements(body) {
				got = append(got, v)
			}
			if !reflect.DeepEqual(got, array) {
				t.Errorf("elements of %q: got %q, want %q", body, got, array)
			}
		}
	})
}

// distinct returns the ids of a list, each once.
func distinct(n Names) []string {
	var ids []string
	for n.More() {
		for _, id := range n.Next(2) {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}
