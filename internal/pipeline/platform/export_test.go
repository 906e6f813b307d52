package platform

import (
	"time"

	"threatmatch-connector/spool"
)

// StateLayout is how times are written in the state.
const StateLayout = stateTime

// StateText is the state that the spool stands for, as it is sent.
func StateText(s Spool, enabled []spool.Dataset) (string, error) {
	state, err := currentState(s, enabled)
	return state.text(), err
}

// StateAt is where a dataset stands by a state's text.
func StateAt(text string, d spool.Dataset) time.Time {
	s, _ := parseState(text)
	return s.at(d)
}
