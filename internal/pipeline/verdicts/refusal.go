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

// class of the dead letters.
const class = "rejected"

// mostWords bounds what is kept of one error's text.
const mostWords = 2000

// kinds of refusals, the first whose words stand in the text. A hint says what to
// change on the platform, where trying again alone cannot help.
var kinds = []struct {
	name, hint string
	words      []string
}{
	{"marking", "allow the marking to a group of the connector's user on OpenCTI, or lower what the user sends (threatmatch.tlp_level)", []string{"marking"}},
	{"right", "give the connector's user on OpenCTI a role that may create and update knowledge (role Connector)", []string{"forbidden", "not allowed to", "insufficient"}},
	{"reference", "", []string{"missing_reference", "missing reference"}},
}

func kindOf(message string) (kind, hint string) {
	message = strings.ToLower(message)
	for _, k := range kinds {
		if slices.ContainsFunc(k.words, func(w string) bool { return strings.Contains(message, w) }) {
			return k.name, k.hint
		}
	}
	return "other", ""
}

// letters makes dead letters of the errors that are new, and notes them in w.
func (l *Reader) letters(now time.Time, w *spool.WatchedWork, list []opencti.WorkError) (all []spool.DeadLetter, kinds []string) {
	for _, e := range list {
		if e.Source == "" || e.Message == opencti.NotSent {
			continue // said by the connector itself
		}
		h := hash(e)
		if slices.Contains(w.Seen, h) {
			continue
		}
		w.Seen = append(w.Seen, h)
		kind, hint := kindOf(e.Message)
		text := e.Message[:min(len(e.Message), mostWords)]
		if hint != "" {
			text = hint + ": " + text // first, since tables cut the end
		}
		id := objectID(e.Source)
		if id == "" {
			text += " (OpenCTI did not say of which object)"
		}
		if len(list) >= opencti.MaxWorkErrors {
			text += fmt.Sprintf(" (one of at least %d)", len(list))
		}
		all = append(all, spool.DeadLetter{
			Class: class, Error: strings.ToValidUTF8(text, "?"), Attempts: 1, First: now, Last: now, STIX: id, Payload: []byte(e.Source),
		})
		kinds = append(kinds, kind)
	}
	return all, kinds
}

func hash(e opencti.WorkError) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d\x00%s\x00%s", e.At.UnixNano(), e.Message, e.Source)
	return h.Sum64()
}

// objectID reads the id of the object in an error's source: a bundle of one
// object, or the object itself. "" where the platform kept neither.
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
