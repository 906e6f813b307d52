package platform

import (
	"slices"
	"time"
)

// keepSent is how many of our own states we remember, to tell a stale echo from the
// state of a second writer.
const keepSent = 100

// notes is what the platform loop stores in the spool.
type notes struct {
	Sent    []string      `json:"sent,omitempty"`      // our latest states, canonical, oldest first; includes the adopted one
	Echoed  string        `json:"echoed,omitempty"`    // the latest state that OpenCTI certainly stored, since the last reset
	Stamp   time.Time     `json:"stamp,omitzero"`      // the latest time of a state reset that OpenCTI reported
	Unknown bool          `json:"unknown,omitempty"`   // OpenCTI did not know us; the next registration decides
	Empty   time.Time     `json:"empty,omitzero"`      // a first look found an empty state; the second look decides
	Reset   *pendingReset `json:"reset,omitempty"`     // begun, and not known to be done
	Old     []oldWork     `json:"old_works,omitempty"` // from before a reset, to be deleted on OpenCTI
}

// pendingReset is written before the spool is reset.
type pendingReset struct {
	Epoch  uint64    `json:"epoch"` // the epoch that it ends
	Stamp  time.Time `json:"stamp,omitzero"`
	Reason string    `json:"reason"`
}

// oldWork is a work to delete. Without an id it is unknown whether the work exists:
// it is searched for by name until Until, because a late request may still create
// it.
type oldWork struct {
	Name  string    `json:"name"`
	ID    string    `json:"id,omitempty"`
	Until time.Time `json:"until,omitzero"`
	Sent  bool      `json:"sent,omitempty"` // everything was sent: keep it if it is complete
}

// remember records a state as ours and reports whether it was new.
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

// discard adds a work to delete, replacing what was known about it.
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
