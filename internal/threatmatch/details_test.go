package threatmatch

import (
	"net/http"
	"testing"

	"threatmatch-connector/internal/fault"
)

// TestDetails: an item and what the portal says of it come in one body; an answer to either that is not data is an
// error.
func TestDetails(t *testing.T) {
	const item, edit = `{"type":"bundle","objects":[{"id":"x"}]}`, `{"data":{"id":"7","known_as":"A"}}`
	for _, c := range []struct {
		name, edit, item, want string
		status                 int
		class                  fault.Class
	}{
		{name: "both", edit: edit, item: item, want: `{"details":{"id":"7","known_as":"A"},"objects":[{"id":"x"}]}`},
		{name: "spaced", edit: ` { "data" : {} } `, item: ` {"objects" : [ ] }`, want: `{"details":{},"objects":[ ]}`},
		{name: "no data", edit: `{"message":"x"}`, item: item, class: fault.Transient},
		{name: "data of another kind", edit: `{"data":[]}`, item: item, class: fault.Transient},
		{name: "an error", edit: `{"error":"x","data":{}}`, item: item, class: fault.Transient},
		{name: "a page", edit: `<html>`, item: item, class: fault.Transient},
		{name: "refused", edit: `{}`, status: http.StatusForbidden, item: item, class: fault.Permanent},
		{name: "no item", edit: edit, item: `{}`, class: fault.Transient},
	} {
		_, client := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/api/reports/7/edit":
				if c.status != 0 {
					w.WriteHeader(c.status)
				}
				_, _ = w.Write([]byte(c.edit))
			case "/api/stix/reports/7":
				_, _ = w.Write([]byte(c.item))
			default:
				t.Errorf("%s: asked for %s", c.name, r.URL.Path)
			}
		})
		body, err := client.Details(t.Context(), Reports, "7")
		if class, _ := fault.Of(err); string(body.Bytes) != c.want || (err != nil) != (c.want == "") || err != nil && class != c.class {
			t.Errorf("%s: got %s, %v; want %s, class %v", c.name, body.Bytes, err, c.want, c.class)
		}
	}
}
