package inspect

import "time"

// History is what a running connector remembers of its last hour and day. It starts
// over with each process.
type History struct {
	Began time.Time `json:"began"` // start of the process
	Hour  []Sample  `json:"hour"`  // oldest first, one sample per 15 s
	Day   []Sample  `json:"day"`   // oldest first, one sample per 5 min
}

// Sample covers a span of time that ends at At. Speeds are per second over the
// span; everything else is as of its end.
type Sample struct {
	At time.Time `json:"at"`

	OK        float64 `json:"ok"`        // requests to ThreatMatch that succeeded
	Refused   float64 `json:"refused"`   // with status 4xx
	Failed    float64 `json:"failed"`    // with status 5xx, or an error in the response
	None      float64 `json:"none"`      // without a response
	Objects   float64 `json:"objects"`   // handed over to deliver
	Confirmed float64 `json:"confirmed"` // messages that the broker confirmed

	Tasks    int64 `json:"tasks"` // pending requests
	Records  int64 `json:"records"`
	Waiting  int64 `json:"waiting"` // objects that wait or are held
	Messages int64 `json:"messages"`
	Live     int64 `json:"live_bytes"`
	File     int64 `json:"file_bytes"`

	Oldest int64   `json:"oldest_seconds"` // age of the oldest data waiting for map or deliver
	Behind []int64 `json:"behind_seconds"` // by dataset, in their order: age of the confirmed watermark; -1: none yet

	NotReady []string `json:"not_ready,omitempty"` // parts that were not ready at some time in the span
	Reset    bool     `json:"reset,omitempty"`     // the state was reset on OpenCTI
}
