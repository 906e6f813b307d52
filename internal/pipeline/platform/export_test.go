package platform

import (
	"time"

	"threatmatch-connector/spool"
)

// StateLayout is how times are written in the state.
const StateLayout = stateTime

// StateText is the state to store on OpenCTI, as it is sent.
func StateText(s Spool, enabled []spool.Dataset) (string, error) {
	state, err := currentState(s, enabled)
	return state.text(), err
}

// StateAt is a dataset's position according to a state's text.
func StateAt(text string, d spool.Dataset) time.Time {
	return parseState(text).at(d)
}
