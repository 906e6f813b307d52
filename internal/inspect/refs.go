package inspect

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"threatmatch-connector/spool"
)

// Reference is a reference from one object to another.
type Reference struct {
	By string `json:"by"` // property: created_by_ref, object_refs, …
	ID string `json:"id"` // the other object
}

// mostReferences limits the references reported in each direction.
const mostReferences = 100

// refsOf returns what the object in a JSON text refers to.
func refsOf(body []byte) []Reference {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return nil
	}
	var all []Reference
	for name, raw := range fields {
		var ids []string
		switch {
		case strings.HasSuffix(name, "_ref"):
			ids = make([]string, 1)
			_ = json.Unmarshal(raw, &ids[0]) // what is not a string is not a reference
		case strings.HasSuffix(name, "_refs"):
			_ = json.Unmarshal(raw, &ids)
		}
		for _, id := range ids {
			if id != "" {
				all = append(all, Reference{name, id})
			}
		}
	}
	return all
}

// few sorts and deduplicates references and limits their number.
func few(all []Reference) []Reference {
	slices.SortFunc(all, func(a, b Reference) int { return cmp.Or(strings.Compare(a.By, b.By), strings.Compare(a.ID, b.ID)) })
	all = slices.Compact(all)
	return all[:min(len(all), mostReferences)]
}

// referrals returns the references from the object in a JSON text to the id.
func referrals(object []byte, id string) []Reference {
	var all []Reference
	for _, r := range refsOf(object) {
		if r.ID == id {
			all = append(all, Reference{r.By, idOf(object)})
		}
	}
	return all
}

// objectsOf reads the objects of a hit: one, or those of a response.
func (d direct) objectsOf(h spool.Hit) []json.RawMessage {
	if h.Bucket == "bundles" {
		o, err := d.objectAt(h)
		if err != nil {
			return nil
		}
		return []json.RawMessage{o.JSON}
	}
	_, body, err := d.Spool.Show(h.Bucket, h.Key)
	if err != nil {
		return nil
	}
	var answer struct {
		ID      string            `json:"id"`
		Objects []json.RawMessage `json:"objects"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return nil
	}
	if answer.ID != "" && answer.Objects == nil {
		return []json.RawMessage{body}
	}
	return answer.Objects
}

func idOf(object []byte) string {
	var o struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(object, &o) // "" on error
	return o.ID
}
