package threatmatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"

	"threatmatch-connector/internal/moment"
	"threatmatch-connector/internal/sim/forms"
)

// ops are the routes as the table of forms names them.
var ops = map[string]string{"list": "list", "item": "item", "details": "details", "groups": "groups", "objects": "page"}

// foreign compares a request with what the reference client is known to send.
// It returns the parameter that has another form, "" for none, and what was
// expected.
func (s *Server) foreign(r *http.Request) (name, want string) {
	route, _ := routeOf(r)
	for _, form := range forms.Forms() {
		if form.Op != ops[route] {
			continue
		}
		got, query := r.URL.Query(), true
		if route == "list" && len(got) == 0 {
			got, query = bodyParameters(r), false // as older versions sent them
		}
		if query && r.ContentLength > 0 {
			return "body", "none"
		}
		own := func(text string) bool { return s.wrote(got.Get("stixTypeName"), text) }
		if name, want = form.Missed(got, own); name != "" {
			want = fmt.Sprintf("%s: want %s", form.Op, want)
		}
		return name, want
	}
	return "route", "none of this name in the reference client"
}

// refuseForeign answers a request that the reference client never sends.
func (s *Server) refuseForeign(w http.ResponseWriter, r *http.Request) bool {
	name, want := s.foreign(r)
	if name == "" {
		return false
	}
	what := fmt.Sprintf("%s %s: %s is not as the reference client sends it (%s)", r.Method, r.URL, name, want)
	s.stats.refused(what)
	s.opt.Log.Warn("foreign request", "request", what)
	s.fail(w, r, http.StatusUnprocessableEntity, what, map[string][]string{name: {"expected of " + want}})
	return true
}

// bodyParameters are the members of a JSON body, which can be read again.
func bodyParameters(r *http.Request) url.Values {
	var members map[string]string
	got := url.Values{}
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err == nil && json.Unmarshal(body, &members) == nil {
		for k, v := range members {
			got.Set(k, v)
		}
	}
	return got
}

// wrote reports whether text is the modified of an object, or has the form of
// one where these have no zone.
func (s *Server) wrote(stixType, text string) bool {
	r, ok := moment.Parse(text)
	seq := s.source.Objects(stixType)
	if !ok || seq.Len() == 0 {
		return false
	}
	if r.Layout != "" {
		first, _ := moment.Parse(modifiedOf(seq.Object(0)))
		return first.Layout == r.Layout
	}
	i := sort.Search(seq.Len(), func(i int) bool { return !seq.Time(i).Before(r.Time) })
	for ; i < seq.Len() && seq.Time(i).Equal(r.Time); i++ {
		if modifiedOf(seq.Object(i)) == text {
			return true
		}
	}
	return false
}

func modifiedOf(object json.RawMessage) string {
	var o struct{ Modified string }
	if json.Unmarshal(object, &o) != nil {
		return ""
	}
	return o.Modified
}
