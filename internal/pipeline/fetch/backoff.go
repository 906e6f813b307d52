package fetch

import "time"

// Waits of the fetch stage. All are jittered in full: connectors behind one
// address must not march in step.
const (
	retryFirst = 500 * time.Millisecond
	retryMost  = 30 * time.Second
	// controlEvery is the least distance between two control requests.
	controlEvery = 5 * time.Second
	downMost     = 5 * time.Minute
	// While account or address are refused there are so many tries in a window.
	refusedTries  = 3
	refusedWindow = time.Minute
)

// jitter returns a random wait from first up to a ceiling that doubles with
// each try (counted from 1) until most.
func jitter(tries int, first, most time.Duration, random float64) time.Duration {
	ceiling := most
	if tries < 30 && first<<max(tries, 0) < most {
		ceiling = first << max(tries, 0)
	}
	return first + time.Duration(random*float64(ceiling-first))
}
