package threatmatch

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"threatmatch-connector/internal/sim/data"
)

// detailed are the datasets of which the portal has details.
var detailed = []data.Dataset{data.Profiles, data.Reports}

// portalTypes are the portal's numbers and names of what a profile is about.
var portalTypes = map[string]struct{ id, name, slug string }{
	"threat-actor":  {"1", "Threat Actors", "threat-actors"},
	"intrusion-set": {"1", "Threat Actors", "threat-actors"},
	"incident":      {"3", "Incidents", "incidents"},
	"campaign":      {"4", "Operations", "operations"},
	"malware":       {"5", "Malware & Tools", "malware-tools"},
	"tool":          {"5", "Malware & Tools", "malware-tools"},
}

// details is GET /api/{profiles|reports}/{id}/edit, with the loose types that
// the portal's own client has to read: numbers and booleans as texts here and there.
func (s *Server) details(w http.ResponseWriter, r *http.Request) {
	route, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/api/"), "/")
	d := data.Dataset(route)
	if slices.Contains(s.opt.NotOffered, d) {
		s.notFound(w, r)
		return
	}
	id, err := strconv.Atoi(r.PathValue("id"))
	objects, found := s.source.Item(d, id)
	if err != nil || !found {
		s.fail(w, r, http.StatusNotFound, "No query results for model.", nil)
		return
	}
	var entry data.Entry
	for e := range s.source.Entries(d) {
		if e.ID == id {
			entry = e
		}
	}
	about := map[string]any{
		"id": id, "status_id": 1, "title": entry.Title, "slug": "", "image": nil, "content": "<p>As the portal shows <b>it</b>.</p>",
		"known_as": entry.Title + " also, Also " + entry.Title, "published": 1, "update_summary": nil, "author": "Analyst",
		"published_at": data.Stamp(entry.Created), "relevanceName": "Global", "relevanceSlug": "global", "is_flagged": "false",
		"type_id": entry.Kind, "capability_id": nil, "additional_dates": map[string]string{
			"First Seen": entry.Created.AddDate(-1, 0, 0).Format("2006-01-02"), "Last Seen": entry.Created.Format("2006-01-02"),
		},
		"tlp":             map[string]any{"colour": "amber", "caveat": "", "shortcode": "amber", "colour_code": "#FFC000", "label": "TLP: AMBER"},
		"linked_profiles": linkedProfiles(objects, entry.Title), "tagsFull": []map[string]string{{"id": "306", "name": "Nation State", "slug": "nation-state"}},
		"tags": []int{306}, "profile_types": "",
	}
	if d == data.Reports {
		about["id"], about["published"], about["related"] = strconv.Itoa(id), true, []int{id + 1}
	}
	s.json(w, map[string]any{"data": about})
}

// linkedProfiles are the other profiles that an item's objects name.
func linkedProfiles(objects []json.RawMessage, title string) []map[string]any {
	rows := []map[string]any{}
	for i, raw := range objects {
		var o struct{ Type, Name string }
		if json.Unmarshal(raw, &o) != nil || o.Name == "" || strings.EqualFold(o.Name, title) {
			continue
		}
		if t, ok := portalTypes[o.Type]; ok {
			rows = append(rows, map[string]any{"id": strconv.Itoa(1000 + i), "title": o.Name, "listing_description": "", "type_id": t.id,
				"typeName": t.name, "typeSlug": t.slug, "content_label": "New", "capabilityName": "", "capability_id": nil, "is_flagged": "true", "read": "false"})
		}
	}
	return rows
}
