package threatmatch

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"threatmatch-connector/internal/sim/data"
)

const dateSince = "2006-01-02 15:04"

// offered is the dataset of a path, if the server has it.
func (s *Server) offered(r *http.Request) (data.Dataset, bool) {
	d := data.Dataset(r.PathValue("dataset"))
	return d, slices.Contains(data.ItemDatasets, d) && !slices.Contains(s.opt.NotOffered, d)
}

// parameters of a list come in the query, or, from older clients, as JSON in the
// body of the GET.
func parameters(r *http.Request) (mode, since string) {
	q := r.URL.Query()
	mode, since = q.Get("mode"), q.Get("date_since")
	if mode == "" && since == "" {
		var body struct {
			Mode  string `json:"mode"`
			Since string `json:"date_since"`
		}
		if json.NewDecoder(r.Body).Decode(&body) == nil {
			return body.Mode, body.Since
		}
	}
	return mode, since
}

// list is GET /api/{profiles|alerts|reports}/all.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	d, ok := s.offered(r)
	if !ok {
		s.notFound(w, r)
		return
	}
	mode, text := parameters(r)
	if mode != "compact" && mode != "extended" {
		s.fail(w, r, http.StatusUnprocessableEntity, "The given data was invalid.", map[string][]string{"mode": {"The selected mode is invalid."}})
		return
	}
	var since time.Time
	if text != "" {
		var err error
		if since, err = time.ParseInLocation(dateSince, text, s.opt.Zone); err != nil {
			s.fail(w, r, http.StatusUnprocessableEntity, "The given data was invalid.",
				map[string][]string{"date_since": {"The date since does not match the format Y-m-d H:i."}})
			return
		}
	}
	rows := []any{}
	for e := range s.source.Entries(d) {
		if e.Updated.Before(since) || s.opt.ListExclusive && !e.Updated.Truncate(time.Minute).After(since) {
			continue
		}
		rows = append(rows, s.row(d, e, mode))
	}
	answer := map[string]any{"list": rows}
	if !s.opt.OmitDateApplied {
		answer["date_applied"] = since.UTC().Format("2006-01-02T15:04:05Z")
	}
	s.json(w, answer)
}

func (s *Server) row(d data.Dataset, e data.Entry, mode string) any {
	var id any = e.ID
	if s.opt.StringIDs {
		id = strconv.Itoa(e.ID)
	}
	if mode == "compact" {
		return id
	}
	row := map[string]any{
		"id": id, "type_id": e.Kind, "title": e.Title, "published_at": e.Created.Format(time.RFC3339),
		"published_updated_at": nil, "published_insignificant_updated_at": nil,
	}
	if !e.Updated.Equal(e.Created) {
		row["published_updated_at"] = e.Updated.Format(time.RFC3339)
	}
	if !e.Touched.Equal(e.Updated) {
		row["published_insignificant_updated_at"] = e.Touched.Format(time.RFC3339)
	}
	if d == data.Reports {
		row["priority_id"] = "2"
	} else {
		row["capability_id"] = 3
	}
	return row
}

// item is GET /api/stix/{profiles|alerts|reports}/{id}.
func (s *Server) item(w http.ResponseWriter, r *http.Request) {
	d, ok := s.offered(r)
	if !ok {
		s.notFound(w, r)
		return
	}
	id, err := strconv.Atoi(r.PathValue("id"))
	objects, found := s.source.Item(d, id)
	if err != nil || !found {
		s.fail(w, r, http.StatusNotFound, "No query results for model.", nil)
		return
	}
	if objects == nil {
		objects = []json.RawMessage{}
	}
	s.json(w, map[string]any{
		"type": "bundle", "id": fmt.Sprintf("bundle--%08x-0000-4000-8000-%012x", int(d[0]), id), "spec_version": "2.1", "objects": objects,
	})
}

// client is GET /api/developers-platform: the settings of the API client.
func (s *Server) client(w http.ResponseWriter, _ *http.Request) {
	s.json(w, map[string]any{"client": map[string]string{"id": s.opt.ClientID, "name": "Stand-in client"}})
}
