package admin

// Health answers the probes.
type Health interface {
	// NotAlive returns the parts that have stopped ticking, with the reason; empty if all tick. A part that waits
	// still ticks.
	NotAlive() map[string]string
	// NotReady returns the reasons for not being ready, by part; empty if ready.
	NotReady() map[string]string
}

// Report is the answer to both probes.
type Report struct {
	Alive    bool              `json:"alive"`
	NotAlive map[string]string `json:"not_alive,omitempty"`
	Ready    bool              `json:"ready"`
	NotReady map[string]string `json:"not_ready,omitempty"`
}

// ReportOf asks h for both.
func ReportOf(h Health) Report {
	r := Report{NotAlive: h.NotAlive(), NotReady: h.NotReady()}
	r.Alive, r.Ready = len(r.NotAlive) == 0, len(r.NotReady) == 0
	return r
}
