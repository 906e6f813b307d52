package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/threatmatch"
)

// fat is a source whose indicators have 4 KiB of text each that does not
// compress, so that few of them fill a spool.
type fat struct{ data.Source }

type fatSequence struct{ data.Sequence }

func (f fat) Objects(stixType string) data.Sequence {
	s := f.Source.Objects(stixType)
	if stixType == "indicator" {
		return fatSequence{s}
	}
	return s
}

func (f fatSequence) Object(i int) json.RawMessage {
	o := f.Sequence.Object(i)
	noise := make([]byte, 3<<10)
	_, _ = rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(noise)
	return fmt.Appendf(o[:len(o)-1:len(o)-1], `,"description":"%s"}`, base64.StdEncoding.EncodeToString(noise))
}

// TestSpoolFullWhileTheBrokerIsAway fills a small spool while nothing can be
// delivered: fetch pauses instead of failing, and the import ends by itself
// once the broker is back.
func TestSpoolFullWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	node := brokertest.Start(t)
	w := newWorld(t, options{amqp: node.VHost(t).URL(), api: threatmatch.Options{
		Source: fat{data.NewGenerated(data.Options{
			Seed: 5, Start: time.Now().Add(-time.Minute), Dense: true, Profiles: 40, Alerts: 40, Reports: 10, IOCs: 3000,
		})},
	}})
	w.env["SPOOL_MAX_SIZE"] = "8MiB"
	w.env["BUNDLE_MAX_WAIT"] = "PT1S"
	p := w.start("run", "--once")
	w.eventually("the first message", func() bool { return w.worker.Counts().Messages > 0 || p.ended() })
	node.Stop(t)
	w.until("fetch waits for room", func(s inspect.Status) bool { return strings.Contains(stage(s, "fetch").Detail, "waits for room") })
	asked := len(w.api.Stats().Answered)
	time.Sleep(2 * time.Second)
	if now := len(w.api.Stats().Answered); now > asked+10 {
		t.Errorf("fetch goes on without room: %d requests more", now-asked)
	}
	if p.ended() {
		t.Fatalf("the connector ended:\n%s", tail(p.output()))
	}
	node.Restart(t)
	if code := p.code(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, tail(p.output()))
	}
	// A small spool forgets what it sent, and OpenCTI may not have imported it
	// yet when it is asked: what is held for that goes out in the next run.
	w.drained()
	w.run(0, "run", "--once")
	w.intact()
}
