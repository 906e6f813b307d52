package threatmatch

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"time"

	"threatmatch-connector/internal/moment"
	"threatmatch-connector/internal/sim/data"
)

// groups is GET /api/taxii/groups. Every group has all content here.
func (s *Server) groups(w http.ResponseWriter, r *http.Request) {
	if slices.Contains(s.opt.NotOffered, data.IOCs) {
		s.notFound(w, r)
		return
	}
	rows := make([]any, len(s.opt.Groups))
	for i, name := range s.opt.Groups {
		rows[i] = map[string]any{"id": s.groupID(i), "name": name}
	}
	s.json(w, rows)
}

func (s *Server) groupID(i int) any {
	if s.opt.StringIDs {
		return strconv.Itoa(101 + i)
	}
	return 101 + i
}

func (s *Server) knownGroup(id string) bool {
	n, err := strconv.Atoi(id)
	return err == nil && n > 100 && n <= 100+len(s.opt.Groups)
}

// objects is GET /api/taxii/objects: a page of objects ascending by modified.
func (s *Server) objects(w http.ResponseWriter, r *http.Request) {
	if slices.Contains(s.opt.NotOffered, data.IOCs) {
		s.notFound(w, r)
		return
	}
	q := r.URL.Query()
	wrong := map[string][]string{}
	if !s.knownGroup(q.Get("groupId")) {
		wrong["groupId"] = []string{"The selected group id is invalid."}
	}
	after, ok := moment.Parse(q.Get("modifiedAfter"))
	if !ok {
		wrong["modifiedAfter"] = []string{"The modified after is not a valid date."}
	}
	if len(wrong) > 0 {
		s.fail(w, r, http.StatusUnprocessableEntity, "The given data was invalid.", wrong)
		return
	}
	page, more := s.page(s.source.Objects(q.Get("stixTypeName")), after.Time)
	answer := map[string]any{"objects": page, "more": more}
	if !more && s.opt.OmitMore {
		delete(answer, "more")
	}
	s.json(w, answer)
}

func (s *Server) page(seq data.Sequence, after time.Time) (page []json.RawMessage, more bool) {
	first := sort.Search(seq.Len(), func(i int) bool {
		if s.opt.Exclusive {
			return seq.Time(i).After(after)
		}
		return !seq.Time(i).Before(after)
	})
	end := min(first+s.opt.PageSize, seq.Len())
	page = make([]json.RawMessage, 0, end-first)
	for i := first; i < end; i++ {
		page = append(page, seq.Object(i))
	}
	if s.opt.ShufflePages {
		r := rand.New(rand.NewPCG(s.opt.Seed, uint64(first)))
		r.Shuffle(len(page), func(i, j int) { page[i], page[j] = page[j], page[i] })
	}
	return page, end < seq.Len()
}
