package verdicts

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/spool"
)

const class = "rejected"

// mostWords limits how much of one error's text is kept.
const mostWords = 2000

// kinds of refusals; the first kind with a word found in the error text applies.
// The hint says what to change before a retry makes sense.
var kinds = []struct {
	name, hint string
	words      []string
}{
	{"marking", "marking: allow the marking to a group of the connector's user on OpenCTI, or send less (threatmatch.tlp_max)", []string{"marking"}},
	{"reference", "missing reference: what it refers to is not on OpenCTI; retry it when that is there, which may be refused itself", []string{"missing_reference", "missing reference"}},
	{"too_large", "too large: raise what OpenCTI takes (app:max_payload_body_size, or WORKER_OBJECTS_MAX_REFS of its workers)", []string{"too large", "too_large", "entity too large"}},
	{"right", "no right: give the connector's user on OpenCTI a role that may create and update knowledge (role Connector)", []string{"forbidden", "not allowed to", "insufficient"}},
}

func kindOf(message string) (kind, hint string) {
	message = strings.ToLower(message)
	for _, k := range kinds {
		if slices.ContainsFunc(k.words, func(w string) bool { return strings.Contains(message, w) }) {
			return k.name, k.hint
		}
	}
	return "other", "other: see OpenCTI's words"
}

// letters makes dead letters from the new errors and records those in w. It returns
// one kind per error.
func (l *Reader) letters(now time.Time, w *spool.WatchedWork, list []opencti.WorkError) (all []spool.DeadLetter, kinds []string) {
	for _, e := range list {
		if e.Source == "" || e.Message == opencti.NotSent {
			continue // reported by the connector itself
		}
		if !see(w, e) {
			continue
		}
		kind, hint := kindOf(e.Message)
		kinds = append(kinds, kind)
		text := hint + ": " + e.Message[:min(len(e.Message), mostWords)] // hint first: tables cut off the end
		ids := []string{objectID(e.Source)}
		switch {
		case ids[0] != "":
		case len(w.Large) == 0:
			text += " (OpenCTI did not say of which object)"
		case !see(w, opencti.WorkError{Message: e.Message}):
			continue // its objects already have dead letters
		default:
			ids = w.Large
			if len(ids) > 1 {
				text += fmt.Sprintf(" (of this or another of the %d large objects of the run: OpenCTI does not name those)", len(ids))
			}
		}
		if len(list) >= opencti.MaxWorkErrors {
			text += fmt.Sprintf(" (one of at least %d)", len(list))
		}
		for _, id := range ids {
			all = append(all, spool.DeadLetter{
				Class: class, Error: strings.ToValidUTF8(text, "?"), Attempts: 1, First: now, Last: now, STIX: id, Payload: []byte(e.Source),
			})
		}
	}
	return all, kinds
}

// see records an error and reports whether it is new.
func see(w *spool.WatchedWork, e opencti.WorkError) bool {
	h := hash(e)
	if slices.Contains(w.Seen, h) {
		return false
	}
	w.Seen = append(w.Seen, h)
	return true
}

func hash(e opencti.WorkError) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d\x00%s\x00%s", e.At.UnixNano(), e.Message, e.Source)
	return h.Sum64()
}

// objectID reads the object's id from an error's source, which is a bundle of one
// object or the object itself. It returns "" if the platform kept neither.
func objectID(source string) string {
	var o struct {
		ID      string `json:"id"`
		Objects []struct {
			ID string `json:"id"`
		} `json:"objects"`
	}
	if json.Unmarshal([]byte(source), &o) != nil {
		return ""
	}
	id := o.ID
	if len(o.Objects) > 0 {
		id = o.Objects[0].ID
	}
	if len(id) > spool.MaxID || !strings.Contains(id, "--") {
		return ""
	}
	return id
}
