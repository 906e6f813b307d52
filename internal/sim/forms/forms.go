// Package forms has the requests that the platform's reference client, OpenCTI's Python connector, is known to send.
// Our client sends nothing else, whatever the clock, the settings and earlier answers say; the stand-in refuses
// anything else.
package forms

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/moment"
)

// A Form is a request that the reference client is known to send.
type Form struct {
	Op     string // as errors, logs and metrics name it
	Method string
	Path   string // "{dataset}" is a dataset that has a list, "{id}" an id from a list
	// Parameters are everything that the request has, each exactly once: in the query, or as the members of a JSON
	// body if Body is set. Parameters with the same name are alternatives.
	Parameters []Parameter
	Body       bool
	Source     string // which generations of the reference client send it
}

// A Parameter is one value of a request.
type Parameter struct {
	Name   string
	Form   string // what it looks like
	Source string
	// match accepts a value; nil if only the server can tell, since the value is a text that it wrote.
	match func(string) bool
}

// dateSinceLayout is in UTC, like moment.Layout.
const dateSinceLayout = "2006-01-02 15:04"

// earliest is the earliest time that is ever asked for: nothing on the platform is older.
var earliest = time.Unix(0, 0).UTC()

const (
	bothGenerations = "all versions since 2021"
	sinceQuery      = "since August 2025 in the query, before in a JSON body of the GET"
	sourceDetails   = "DocIntel's client of 2022, of profiles and reports; only where threatmatch.details is set"
	sinceIOCs       = "since September 2024"
)

var forms = []Form{
	{
		Op: "token", Method: "POST", Path: "/api/developers-platform/token", Body: true, Source: bothGenerations,
		Parameters: []Parameter{
			{"client_id", "text", bothGenerations, notEmpty},
			{"client_secret", "text", bothGenerations, notEmpty},
		},
	},
	{
		Op: "list", Method: "GET", Path: "/api/{dataset}/all", Source: bothGenerations + "; reports until September 2024",
		Parameters: []Parameter{
			{"mode", "compact", bothGenerations, is("compact")},
			{"date_since", "YYYY-MM-DD HH:MM in UTC", sinceQuery, layout(dateSinceLayout)},
		},
	},
	{
		Op: "item", Method: "GET", Path: "/api/stix/{dataset}/{id}", Source: bothGenerations + "; reports until September 2024",
	},
	{
		Op: "details", Method: "GET", Path: "/api/{dataset}/{id}/edit", Source: sourceDetails,
	},
	{
		Op: "groups", Method: "GET", Path: "/api/taxii/groups", Source: sinceIOCs,
	},
	{
		Op: "page", Method: "GET", Path: "/api/taxii/objects", Source: sinceIOCs,
		Parameters: []Parameter{
			{"groupId", "an id that the groups named", sinceIOCs, notEmpty},
			{"stixTypeName", "indicator; other types only where threatmatch.taxii_types names them", sinceIOCs, matches(`^[a-z0-9-]+$`)},
			{"modifiedAfter", "YYYY-MM-DDTHH:MM:SS.mmmZ in UTC", sinceIOCs + ", first question", layout(moment.Layout)},
			{"modifiedAfter", "a text that the server wrote as modified", sinceIOCs + ", later questions: the last object's, as it is", nil},
		},
	},
}

// Forms returns the table of all requests.
func Forms() []Form { return slices.Clone(forms) }

// Missed compares the parameters of a request with the form. It returns "", or the name of the first parameter that
// is missing, unknown, repeated or of another form, and what is expected of it. own reports whether a text could be
// one that the server wrote.
func (f Form) Missed(got url.Values, own func(string) bool) (name, want string) {
	for _, p := range f.Parameters {
		if len(got[p.Name]) != 1 || !f.fits(p.Name, got.Get(p.Name), own) {
			return p.Name, f.expected(p.Name)
		}
	}
	for name := range got {
		if f.expected(name) == "" {
			return name, "no such parameter"
		}
	}
	return "", ""
}

func (f Form) fits(name, value string, own func(string) bool) bool {
	return slices.ContainsFunc(f.Parameters, func(p Parameter) bool {
		if p.Name != name {
			return false
		}
		if p.match == nil {
			return own(value)
		}
		return p.match(value)
	})
}

// expected joins the alternatives of a parameter; "" if there is no such parameter.
func (f Form) expected(name string) string {
	var alternatives []string
	for _, p := range f.Parameters {
		if p.Name == name {
			alternatives = append(alternatives, p.Form)
		}
	}
	return strings.Join(alternatives, ", or ")
}

func notEmpty(s string) bool { return s != "" }

func is(want string) func(string) bool { return func(s string) bool { return s == want } }

func matches(pattern string) func(string) bool { return regexp.MustCompile(pattern).MatchString }

// layout accepts exactly what Format writes by that layout, from 1970 on.
func layout(layout string) func(string) bool {
	return func(s string) bool {
		t, err := time.Parse(layout, s)
		return err == nil && t.Format(layout) == s && !t.Before(earliest)
	}
}
