package threatmatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"net/url"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/moment"
)

// The datasets that have a list and items. IOCs are fetched with Groups and Page.
const (
	Profiles = "profiles"
	Alerts   = "alerts"
	Reports  = "reports"
)

var listed = []string{Profiles, Alerts, Reports}

// List names what has changed in a dataset.
type List struct {
	// IDs in the order of the response, perhaps with repeats.
	IDs Names
	// Count is the number of different ids.
	Count int
	// Unusable is the number of entries without an id; UnusableEntries are the first of them, each cut to 512 bytes,
	// for an operator to look at.
	Unusable        int
	UnusableEntries []string
	// Applied is the date that the server says it filtered by; zero if it does not say.
	Applied time.Time
	// Date is the server's clock; zero if it does not say.
	Date time.Time

	body Body
}

// Release frees what the list takes. IDs must not be used afterwards.
func (l *List) Release() { l.body.Release() }

// Group is a collection of IOCs.
type Group struct{ ID, Name string }

// Is reports whether wanted is the group's name, ignoring case, or its id.
func (g Group) Is(wanted string) bool {
	return strings.EqualFold(g.Name, wanted) || g.ID == wanted
}

// Page is one response of IOC paging.
type Page struct {
	Body
	// Objects in the order of the response, read again for each loop. They share memory with Bytes. Nil if there are
	// none.
	Objects iter.Seq[PageObject]
	// More: the server has more objects after these.
	More bool
}

// PageObject is one element of a page. ID and Modified are "" if the element has none; Modified is what the server
// wrote, without quotes.
type PageObject struct {
	ID, Modified string
	Raw          json.RawMessage
}

// List asks which items of a dataset have changed since the given time, which is sent in UTC, truncated to the
// minute. Release the list.
func (c *Client) List(ctx context.Context, dataset string, since time.Time) (List, error) {
	if !slices.Contains(listed, dataset) {
		return List{}, fmt.Errorf("list %s: no such dataset", dataset)
	}
	var list List
	r := c.listRequest(dataset, since, &list)
	r.keep = true
	ans, err := c.get(ctx, r)
	if err != nil {
		return List{}, err
	}
	list.Date, list.body = ans.body.Date, ans.body
	return list, nil
}

func (c *Client) listRequest(dataset string, since time.Time, into *List) request {
	return request{
		op: "list", object: dataset,
		path:  "/api/" + dataset + "/all",
		query: url.Values{"mode": {"compact"}, "date_since": {dateSince(since)}},
		decode: func(ans *answer) (kind Kind, err error) {
			*into, kind, err = decodeList(ans.body.Bytes, c.redact.snippet)
			return kind, err
		},
	}
}

// How much is remembered of a list, however long it is.
const (
	maxCounted  = 1 << 20 // ids that are told apart, so that each counts once
	maxUnusable = 100
)

func decodeList(body []byte, snippet func([]byte) string) (List, Kind, error) {
	found, kind, err := object(body, "list", "date_applied")
	if err != nil {
		return List{}, kind, err
	}
	if !isArray(found["list"]) {
		return List{}, KindMalformed, errors.New(`response has no array "list"`)
	}
	applied, _ := moment.ParseJSON(found["date_applied"]) // zero: the server does not say
	list := List{Applied: applied.Time, IDs: Names{walkArray(found["list"])}}
	counted, seed := map[uint64]struct{}{}, maphash.MakeSeed()
	for raw := range elements(found["list"]) {
		id := entryID(raw)
		if id == "" {
			if list.Unusable++; list.Unusable <= maxUnusable {
				list.UnusableEntries = append(list.UnusableEntries, snippet(raw))
			}
			continue
		}
		sum := maphash.String(seed, id)
		if _, again := counted[sum]; again {
			continue
		}
		list.Count++
		if len(counted) < maxCounted {
			counted[sum] = struct{}{}
		}
	}
	return list, "", nil
}

// Names are ids that are read from a response one by one.
type Names struct{ rest arrayWalk }

// NamesOf returns these ids.
func NamesOf(ids ...string) Names {
	text, _ := json.Marshal(ids) // texts always marshal
	return Names{walkArray(text)}
}

// More reports whether there are more entries.
func (n *Names) More() bool { return n.rest.more() }

// Next returns up to most more ids; none at the end.
func (n *Names) Next(most int) []string {
	var ids []string
	for len(ids) < most {
		raw, ok := n.rest.next()
		if !ok {
			break
		}
		if id := entryID(raw); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// entryID reads a list entry: an id, or an object that has one.
func entryID(raw []byte) string {
	if raw[0] != '{' {
		return identifier(raw)
	}
	for key, value := range members(raw) {
		if string(key) == "id" {
			return identifier(value)
		}
	}
	return ""
}

// Item gets the STIX bundle of one item. Its "objects" may be empty. Release the body.
func (c *Client) Item(ctx context.Context, dataset, id string) (Body, error) {
	if !slices.Contains(listed, dataset) || id == "" {
		return Body{}, fmt.Errorf("item %s/%s: no such dataset", dataset, id)
	}
	r := request{
		keep: true,
		op:   "item", object: dataset + "/" + id,
		path: "/api/stix/" + dataset + "/" + url.PathEscape(id),
		decode: func(ans *answer) (Kind, error) {
			found, kind, err := decodeObjects(ans.body.Bytes)
			ans.body.objects = found["objects"]
			return kind, err
		},
	}
	ans, err := c.get(ctx, r)
	if err != nil {
		return Body{}, err
	}
	return ans.body, nil
}

// decodeObjects checks a response with STIX objects and returns its members.
func decodeObjects(body []byte) (map[string][]byte, Kind, error) {
	found, kind, err := object(body, "objects", "more")
	if err != nil {
		return nil, kind, err
	}
	if !isArray(found["objects"]) {
		return nil, KindMalformed, errors.New(`response has no array "objects"`)
	}
	return found, "", nil
}

// Groups lists the IOC collections of the account.
func (c *Client) Groups(ctx context.Context) ([]Group, error) {
	var groups []Group
	_, err := c.get(ctx, request{
		op: "groups", path: "/api/taxii/groups",
		decode: func(ans *answer) (kind Kind, err error) {
			groups, kind, err = decodeGroups(ans.body.Bytes)
			return kind, err
		},
	})
	return groups, err
}

// maxGroups is far more than any account has.
const maxGroups = 10_000

func decodeGroups(body []byte) ([]Group, Kind, error) {
	if !json.Valid(body) {
		return nil, KindMalformed, errNotJSON
	}
	trimmed := body[space(body, 0):]
	if !isArray(trimmed) {
		if _, kind, err := object(body); err != nil {
			return nil, kind, err
		}
		return nil, KindMalformed, errors.New("response is not an array of groups")
	}
	var groups []Group
	for raw := range elements(trimmed) {
		var g Group
		for key, value := range members(raw) {
			switch string(key) {
			case "id":
				g.ID = identifier(value)
			case "name":
				g.Name = strings.TrimSpace(text(value))
			}
		}
		if g.ID == "" {
			continue
		}
		if groups = append(groups, g); len(groups) > maxGroups {
			return nil, KindMalformed, fmt.Errorf("response has more than %d groups", maxGroups)
		}
	}
	return groups, "", nil
}

// Page gets the objects of a group and a STIX type that were modified after a time. after is sent as it is: in the
// form of ModifiedAfter, or text as the server wrote it. Release the page.
func (c *Client) Page(ctx context.Context, group, stixType, after string) (Page, error) {
	var page Page
	r := request{
		keep: true,
		op:   "page", object: group + "/" + stixType,
		path:  "/api/taxii/objects",
		query: url.Values{"groupId": {group}, "stixTypeName": {stixType}, "modifiedAfter": {after}},
		decode: func(ans *answer) (kind Kind, err error) {
			page, kind, err = decodePage(ans.body.Bytes)
			return kind, err
		},
	}
	ans, err := c.get(ctx, r)
	if err != nil {
		return Page{}, err
	}
	ans.body.objects = page.objects
	page.Body = ans.body
	return page, nil
}

func decodePage(body []byte) (Page, Kind, error) {
	found, kind, err := decodeObjects(body)
	if err != nil {
		return Page{}, kind, err
	}
	objects := pageObjects(found["objects"])
	if len(body) <= pieceBytes && few(found["objects"]) { // walked once, since paging looks at all of them several times
		objects = slices.Values(slices.Collect(objects))
	}
	return Page{Body: Body{objects: found["objects"]}, Objects: objects, More: truth(found["more"])}, "", nil
}

func pageObjects(list []byte) iter.Seq[PageObject] {
	return func(yield func(PageObject) bool) {
		for raw := range elements(list) {
			if !yield(pageObject(raw)) {
				return
			}
		}
	}
}

func pageObject(raw []byte) PageObject {
	o := PageObject{Raw: raw}
	for key, value := range members(raw) {
		switch string(key) {
		case "id":
			o.ID = text(value)
		case "modified":
			if o.Modified = text(value); o.Modified == "" && value[0] != '"' {
				o.Modified = string(value)
			}
		}
	}
	return o
}

// truth reads a boolean in any form in which the platform writes them.
func truth(value []byte) bool {
	switch string(value) {
	case "true", "1", `"true"`, `"1"`:
		return true
	}
	return false
}

// Control checks whether the server answers this account at all: it asks for the groups or, if these alone are
// refused, for what changed in a dataset just now. An error of class Systemic means that the account or the address
// is refused.
func (c *Client) Control(ctx context.Context) error {
	_, err := c.Groups(ctx)
	for _, dataset := range listed {
		if !fault.Is(err, fault.Permanent) {
			return err
		}
		// Not repeated as by get: the token is as fresh as can be.
		var token string
		if token, err = c.token.get(ctx); err == nil {
			_, err = c.send(ctx, c.listRequest(dataset, c.opt.Now(), new(List)), token)
		}
	}
	if e, ok := errors.AsType[*Error](err); ok && fault.Is(err, fault.Permanent) {
		refusal := *e
		refusal.Kind = KindCredentials
		return refusal.marked()
	}
	return err
}
