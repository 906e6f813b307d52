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

// jitter returns a random wait between first and a ceiling that doubles with each
// try (counted from 1), up to most.
func jitter(tries int, first, most time.Duration, random float64) time.Duration {
	ceiling := most
	if tries < 30 && first<<max(tries, 0) < most {
		ceiling = first << max(tries, 0)
	}
	return first + time.Duration(random*float64(ceiling-first))
}
