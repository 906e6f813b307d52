package spool

import "time"

// MessageLimit is the largest message that the broker accepts, as far as it said.
type MessageLimit struct {
	Bytes int64     `json:"bytes"`
	Until time.Time `json:"until"` // not trusted from then on, because an operator may have raised it
}

// LimitLife is how long a limit that the broker reported is trusted: an operator may raise it at any time.
const LimitLife = time.Hour

// With returns the smaller of the limit and the operator's own one, 0 if there is neither. A limit that would be
// trusted for longer than any is from before the clock was set back.
func (l MessageLimit) With(own int64, now time.Time) int64 {
	left := l.Until.Sub(now)
	if l.Bytes > 0 && left > 0 && left <= LimitLife && (own == 0 || l.Bytes < own) {
		return l.Bytes
	}
	return own
}

// SaveMessageLimit stores what the broker accepts, also over resets. Meta returns it. A run that retries forgets it.
func (s *Spool) SaveMessageLimit(l MessageLimit) error {
	return s.update("save message limit", frees(), func(t *txn) error {
		t.meta().save(keyLimit, l)
		return nil
	})
}

// limit returns the stored limit. One that cannot be read is unknown.
func (tb metaBucket) limit() MessageLimit {
	var l MessageLimit
	if tb.read(keyLimit, &l) != nil {
		return MessageLimit{}
	}
	return l
}
