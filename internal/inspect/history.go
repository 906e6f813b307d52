package inspect

import "time"

// History is what a running connector remembers of its last hour and day. It
// begins anew with each process.
type History struct {
	Began time.Time `json:"began"` // of the process
	Hour  []Sample  `json:"hour"`  // oldest first, a sample each 15 s
	Day   []Sample  `json:"day"`   // oldest first, a sample each 5 min
}

// Sample is a span of time that ends at At. Speeds are per second over the span,
// everything else is as of its end.
type Sample struct {
	At time.Time `json:"at"`

	OK        float64 `json:"ok"`        // requests to ThreatMatch that brought what was asked for
	Refused   float64 `json:"refused"`   // of status 4xx
	Failed    float64 `json:"failed"`    // of status 5xx, or with an error in the answer
	None      float64 `json:"none"`      // without an answer
	Objects   float64 `json:"objects"`   // handed over to deliver
	Confirmed float64 `json:"confirmed"` // messages that the broker confirmed

	Tasks    int64 `json:"tasks"` // requests to make
	Records  int64 `json:"records"`
	Waiting  int64 `json:"waiting"` // objects that wait or are held
	Messages int64 `json:"messages"`
	Live     int64 `json:"live_bytes"`
	File     int64 `json:"file_bytes"`

	Oldest int64   `json:"oldest_seconds"` // age of what waits longest for map or deliver
	Behind []int64 `json:"behind_seconds"` // by dataset in their order: how far what is confirmed lies back; -1: nothing is yet

	NotReady []string `json:"not_ready,omitempty"` // parts that were not at some time of the span
	Reset    bool     `json:"reset,omitempty"`     // the state was reset on OpenCTI
}
