package worker

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"threatmatch-connector/internal/sim/splitter"
)

// platforms says whether the platform or a worker made the message.
func (m *checked) platforms() bool { return m.env.Type == "bundle" && m.env.BundleType == "" }

// unsplit says whether the message is a bundle of several objects that a worker
// takes apart: only the platform makes such.
func (m *checked) unsplit() bool {
	return m.platforms() && len(m.bundle.Objects) > 1 && (m.env.NoSplit == nil || !*m.env.NoSplit)
}

// split takes a bundle apart, announces what comes of it and queues each part, on the
// message's own channel: the parts are in the queue before its acknowledgement.
func (w *Worker) split(m *checked, requeue func(body []byte) error) bool {
	parts, err := splitter.Split(m.content)
	if err != nil || len(parts) == 0 {
		w.violate("split", "", fmt.Sprintf("a bundle of %d objects that cannot be split: %v", len(m.bundle.Objects), err))
		w.mu.Lock()
		w.counts.Lost++
		w.mu.Unlock()
		return false
	}
	if len(parts) < len(m.bundle.Objects) {
		w.violate("split", "", fmt.Sprintf("of a bundle of %d objects %d are sent", len(m.bundle.Objects), len(parts)))
	}
	if m.work != "" {
		w.opt.Platform.Expect(m.work, len(parts))
	}
	for _, part := range parts {
		env := m.env
		env.Content = base64.StdEncoding.EncodeToString(part)
		body, err := json.Marshal(env)
		if err == nil {
			err = requeue(body)
		}
		if err != nil {
			return true // the channel is gone, and the message comes again
		}
	}
	w.mu.Lock()
	w.counts.Split++
	w.mu.Unlock()
	return true
}
