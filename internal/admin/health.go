package admin

// Health answers the probes.
type Health interface {
	// NotAlive returns the parts that do not tick any more, with why; empty while
	// all do. A part that waits is alive.
	NotAlive() map[string]string
	// NotReady returns the reasons for not being ready, by part; empty when ready.
	NotReady() map[string]string
}

// Report is the answer to both probes.
type Report struct {
	Alive    bool              `json:"alive"`
	NotAlive map[string]string `json:"not_alive,omitempty"`
	Ready    bool              `json:"ready"`
	NotReady map[string]string `json:"not_ready,omitempty"`
}

// ReportOf asks both.
func ReportOf(h Health) Report {
	r := Report{NotAlive: h.NotAlive(), NotReady: h.NotReady()}
	r.Alive, r.Ready = len(r.NotAlive) == 0, len(r.NotReady) == 0
	return r
}
