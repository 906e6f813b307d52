package platform

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"threatmatch-connector/spool"
)

// keepSent is how many of our own states are remembered, so that a stale echo
// is told from the state of a second writer.
const keepSent = 100

// notes is what the platform loop keeps in the spool.
type notes struct {
	Sent    []string      `json:"sent,omitempty"`      // our latest states, canonical, oldest first; also the adopted one
	Echoed  string        `json:"echoed,omitempty"`    // the latest state that OpenCTI surely stored, since the last reset
	Stamp   time.Time     `json:"stamp,omitzero"`      // the latest time of a state reset that OpenCTI told
	Unknown bool          `json:"unknown,omitempty"`   // OpenCTI did not know us; the next registration decides
	Empty   time.Time     `json:"empty,omitzero"`      // a first look found an empty state; the second one decides
	Reset   *pendingReset `json:"reset,omitempty"`     // begun and not known to be done
	Old     []oldWork     `json:"old_works,omitempty"` // of before a reset, to be deleted on OpenCTI
}

// pendingReset is written before the spool is reset.
type pendingReset struct {
	Epoch  uint64    `json:"epoch"` // the one that it ends
	Stamp  time.Time `json:"stamp,omitzero"`
	Reason string    `json:"reason"`
}

// oldWork is a work to delete. Without an id its fate is unknown: it is
// searched by its name until Until, since a late request may still open it.
type oldWork struct {
	Name  string    `json:"name"`
	ID    string    `json:"id,omitempty"`
	Until time.Time `json:"until,omitzero"`
	Sent  bool      `json:"sent,omitempty"` // everything was sent: it is kept if it is complete
}

func loadNotes(m spool.Meta) (notes, error) {
	var n notes
	if len(m.Platform) == 0 {
		return n, nil
	}
	if err := json.Unmarshal(m.Platform, &n); err != nil {
		return n, fmt.Errorf("read platform notes: %w", err)
	}
	return n, nil
}

// remember notes a state as ours; it reports whether that is news.
func (n *notes) remember(canonical string) bool {
	if canonical == "" || slices.Contains(n.Sent, canonical) {
		return false
	}
	n.Sent = append(n.Sent, canonical)
	if over := len(n.Sent) - keepSent; over > 0 {
		n.Sent = slices.Delete(n.Sent, 0, over)
	}
	return true
}

// discard adds a work to delete, replacing what was known of it.
func (n *notes) discard(w oldWork) {
	for i, o := range n.Old {
		if o.Name == w.Name && (o.ID == "" || o.ID == w.ID) {
			if w.ID != "" {
				n.Old[i] = w
			}
			return
		}
	}
	n.Old = append(n.Old, w)
}
