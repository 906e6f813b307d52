package threatmatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/moment"
)

// The datasets that have a list and items. IOCs come by Groups and Page.
const (
	Profiles = "profiles"
	Alerts   = "alerts"
	Reports  = "reports"
)

var listed = []string{Profiles, Alerts, Reports}

// List names what has changed in a dataset.
type List struct {
	// IDs in the order of the answer, each once.
	IDs []string
	// Unusable are entries that name no id, cut to 512 bytes: somebody should be told.
	Unusable []string
	// Applied is the date that the server says it filtered by. Zero: it does not say.
	Applied time.Time
	// Date is the server's clock. Zero: it does not say.
	Date time.Time
}

// Body is an answer as it came: a JSON object with an array "objects".
type Body struct {
	Bytes []byte
	Date  time.Time // the server's clock; zero: it does not say
}

// Group is a collection of IOCs.
type Group struct{ ID, Name string }

// Is reports whether a name, in whatever case, or an id means the group.
func (g Group) Is(wanted string) bool {
	return strings.EqualFold(g.Name, wanted) || g.ID == wanted
}

// Page is one answer of IOC paging.
type Page struct {
	Body
	// Objects in the order of the answer. They share memory with Bytes.
	Objects []PageObject
	// More: the server has further objects after these.
	More bool
}

// PageObject is one element of a page. ID and Modified are empty where the
// element has none; Modified is as the server wrote it, without quotes.
type PageObject struct {
	ID, Modified string
	Raw          json.RawMessage
}

// List asks which items of a dataset changed since the given time, which is
// sent in UTC, cut down to the minute.
func (c *Client) List(ctx context.Context, dataset string, since time.Time) (List, error) {
	if !slices.Contains(listed, dataset) {
		return List{}, fmt.Errorf("list %s: no such dataset", dataset)
	}
	var list List
	ans, err := c.get(ctx, listRequest(dataset, since, &list))
	if err != nil {
		return List{}, err
	}
	list.Date = ans.date
	for i, raw := range list.Unusable {
		list.Unusable[i] = c.redact.snippet([]byte(raw))
	}
	return list, nil
}

func listRequest(dataset string, since time.Time, into *List) request {
	return request{
		op: "list", object: dataset,
		path:  "/api/" + dataset + "/all",
		query: url.Values{"mode": {"compact"}, "date_since": {dateSince(since)}},
		decode: func(ans *answer) (kind Kind, err error) {
			*into, kind, err = decodeList(ans.body)
			return kind, err
		},
	}
}

func decodeList(body []byte) (List, Kind, error) {
	found, kind, err := object(body, "list", "date_applied")
	if err != nil {
		return List{}, kind, err
	}
	if !isArray(found["list"]) {
		return List{}, KindMalformed, errors.New(`answer has no array "list"`)
	}
	applied, _ := moment.ParseJSON(found["date_applied"]) // zero: it does not say
	list := List{Applied: applied.Time}
	seen := make(map[string]bool)
	for raw := range elements(found["list"]) {
		id := entryID(raw)
		if id == "" {
			list.Unusable = append(list.Unusable, string(raw))
		} else if !seen[id] {
			seen[id] = true
			list.IDs = append(list.IDs, id)
		}
	}
	return list, "", nil
}

// entryID reads a list entry: an id, or an object that has one.
func entryID(raw []byte) string {
	if raw[0] != '{' {
		return identifier(raw)
	}
	for key, value := range members(raw) {
		if key == "id" {
			return identifier(value)
		}
	}
	return ""
}

// Item gets the STIX bundle of one item. Its "objects" may be empty.
func (c *Client) Item(ctx context.Context, dataset, id string) (Body, error) {
	if !slices.Contains(listed, dataset) || id == "" {
		return Body{}, fmt.Errorf("item %s/%s: no such dataset", dataset, id)
	}
	r := request{
		op: "item", object: dataset + "/" + id,
		path: "/api/stix/" + dataset + "/" + url.PathEscape(id),
		decode: func(ans *answer) (Kind, error) {
			_, kind, err := decodeObjects(ans.body)
			return kind, err
		},
	}
	ans, err := c.get(ctx, r)
	if err != nil {
		return Body{}, err
	}
	return Body{Bytes: ans.body, Date: ans.date}, nil
}

// decodeObjects checks an answer that carries STIX objects.
func decodeObjects(body []byte) (map[string][]byte, Kind, error) {
	found, kind, err := object(body, "objects", "more")
	if err != nil {
		return nil, kind, err
	}
	if !isArray(found["objects"]) {
		return nil, KindMalformed, errors.New(`answer has no array "objects"`)
	}
	return found, "", nil
}

// Groups lists the IOC collections of the account.
func (c *Client) Groups(ctx context.Context) ([]Group, error) {
	var groups []Group
	_, err := c.get(ctx, request{
		op: "groups", path: "/api/taxii/groups",
		decode: func(ans *answer) (kind Kind, err error) {
			groups, kind, err = decodeGroups(ans.body)
			return kind, err
		},
	})
	return groups, err
}

func decodeGroups(body []byte) ([]Group, Kind, error) {
	if !json.Valid(body) {
		return nil, KindMalformed, errNotJSON
	}
	trimmed := body[space(body, 0):]
	if !isArray(trimmed) {
		if _, kind, err := object(body); err != nil {
			return nil, kind, err
		}
		return nil, KindMalformed, errors.New("answer is not an array of groups")
	}
	var groups []Group
	for raw := range elements(trimmed) {
		var g Group
		for key, value := range members(raw) {
			switch key {
			case "id":
				g.ID = identifier(value)
			case "name":
				g.Name = strings.TrimSpace(text(value))
			}
		}
		if g.ID != "" {
			groups = append(groups, g)
		}
	}
	return groups, "", nil
}

// Page gets the objects of a group and a STIX type that were modified after a
// time, which is sent as it is given: in the form of ModifiedAfter, or a text
// of the server's own.
func (c *Client) Page(ctx context.Context, group, stixType, after string) (Page, error) {
	var page Page
	r := request{
		op: "page", object: group + "/" + stixType,
		path:  "/api/taxii/objects",
		query: url.Values{"groupId": {group}, "stixTypeName": {stixType}, "modifiedAfter": {after}},
		decode: func(ans *answer) (kind Kind, err error) {
			page, kind, err = decodePage(ans.body)
			return kind, err
		},
	}
	ans, err := c.get(ctx, r)
	if err != nil {
		return Page{}, err
	}
	page.Date = ans.date
	return page, nil
}

func decodePage(body []byte) (Page, Kind, error) {
	found, kind, err := decodeObjects(body)
	if err != nil {
		return Page{}, kind, err
	}
	page := Page{Body: Body{Bytes: body}, More: truth(found["more"])}
	for raw := range elements(found["objects"]) {
		o := PageObject{Raw: raw}
		for key, value := range members(raw) {
			switch key {
			case "id":
				o.ID = text(value)
			case "modified":
				if o.Modified = text(value); o.Modified == "" && value[0] != '"' {
					o.Modified = string(value)
				}
			}
		}
		page.Objects = append(page.Objects, o)
	}
	return page, "", nil
}

// truth reads a boolean as loosely as the platform writes them.
func truth(value []byte) bool {
	switch string(value) {
	case "true", "1", `"true"`, `"1"`:
		return true
	}
	return false
}

// Control asks whether the server answers this account at all: it lists the
// groups or, where only that is refused, what changed in a dataset just now.
// An error of class Systemic says that account or address are refused.
func (c *Client) Control(ctx context.Context) error {
	_, err := c.Groups(ctx)
	for _, dataset := range listed {
		if !fault.Is(err, fault.Permanent) {
			return err
		}
		// Without the replay of get: the token is as fresh as can be.
		var token string
		if token, err = c.token.get(ctx); err == nil {
			_, err = c.send(ctx, listRequest(dataset, c.opt.Now(), new(List)), token)
		}
	}
	if e, ok := errors.AsType[*Error](err); ok && fault.Is(err, fault.Permanent) {
		refusal := *e
		refusal.Kind = KindCredentials
		return refusal.marked()
	}
	return err
}
