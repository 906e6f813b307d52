package fetch

import "time"

// Waits of the fetch stage. All are fully jittered, so that connectors behind one
// address do not retry in step.
const (
	retryFirst = 500 * time.Millisecond
	retryMost  = 30 * time.Second
	// controlEvery is the minimum time between two control requests.
	controlEvery = 5 * time.Second
	downMost     = 5 * time.Minute
	// While the account or address is refused, at most refusedTries are made per
	// refusedWindow.
	refusedTries  = 3
	refusedWindow = time.Minute
)
