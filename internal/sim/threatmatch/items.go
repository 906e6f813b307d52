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

// list is GET /api/{profiles|alerts|reports}/all. Its parameters come in the
// query, or, from older clients, as JSON in the body.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	d, ok := s.offered(r)
	if !ok {
		s.notFound(w, r)
		return
	}
	text := r.URL.Query().Get("date_since")
	if text == "" {
		text = bodyParameters(r).Get("date_since")
	}
	since, err := time.ParseInLocation(dateSince, text, s.opt.Zone)
	if err != nil {
		s.fail(w, r, http.StatusUnprocessableEntity, "The given data was invalid.",
			map[string][]string{"date_since": {"The date since does not match the format Y-m-d H:i."}})
		return
	}
	rows := []any{}
	for e := range s.source.Entries(d) {
		if e.Updated.Before(since) || s.opt.ListExclusive && !e.Updated.Truncate(time.Minute).After(since) {
			continue
		}
		rows = append(rows, s.idOf(e))
	}
	answer := map[string]any{"list": rows}
	if !s.opt.OmitDateApplied {
		answer["date_applied"] = since.UTC().Format("2006-01-02T15:04:05Z")
	}
	s.json(w, answer)
}

func (s *Server) idOf(e data.Entry) any {
	if s.opt.StringIDs {
		return strconv.Itoa(e.ID)
	}
	return e.ID
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
