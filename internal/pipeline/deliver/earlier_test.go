package deliver_test

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"io"
	"testing"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/pipeline/pipelinetest"
)

// Spools of a version that told bundle by bundle, killed with a run of two bundles
// of twelve messages, the second message of each too large: in the first bundle,
// with four messages confirmed; when it was counted and not yet removed; and while
// OpenCTI was told of the second one. They are never changed.
var (
	//go:embed testdata/earlier-midbundle.db.gz
	earlierMidbundle []byte
	//go:embed testdata/earlier-counted.db.gz
	earlierCounted []byte
	//go:embed testdata/earlier-telling.db.gz
	earlierTelling []byte
)

// TestEarlierSpool: what such a version told, sent, settled and counted is neither
// told, settled nor counted again, and the rest is.
func TestEarlierSpool(t *testing.T) {
	for _, c := range []struct {
		name    string
		db      []byte
		arrived int // of the messages, before the kill
		settled int
		sent    int // by us; what was not confirmed comes again
	}{
		{"in mid-bundle", earlierMidbundle, 9, 0, 8 + 11},
		{"counted, not removed", earlierCounted, 11, 1, 11},
		{"telling", earlierTelling, 11, 1, 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			pipelinetest.InWorld(t, pipelinetest.Profiles()[2], func(w *pipelinetest.World) {
				ctx := context.Background()
				_, err := w.OpenCTI.Register(ctx)
				w.Must(err)
				id, err := w.OpenCTI.AddWork(ctx, "ThreatMatch run @ 2000-01-01T00:00:00Z, run 1", !w.OpenCTI.Affected)
				w.Must(err)
				w.Must(w.OpenCTI.AddExpectations(ctx, id, 12))
				for range c.settled {
					w.Must(w.OpenCTI.ReportExpectation(ctx, id, "not sent", ""))
				}
				z, err := gzip.NewReader(bytes.NewReader(c.db))
				w.Must(err)
				db, err := io.ReadAll(z)
				w.Must(err)
				w.Replace(db)
				w.Broker.Limit = 2000
				w.Start()
				w.Settle()
				for range c.arrived {
					w.OpenCTI.Consume(delivery.Envelope{WorkID: id}, "")
				}
				if dropped := w.Broker.WorkOff(100); dropped > 0 {
					t.Errorf("workers dropped %d messages", dropped)
				}
				k := w.LastWork()
				if k.ID != id || k.Expected != 24 || k.Processed < 24 || !k.Complete || len(k.Reports) != 2 {
					t.Errorf("work %+v with %d settled; want 24 expected and no more than two settled", k.Work, len(k.Reports))
				}
				run, err := w.Spool.Run(1)
				w.Must(err)
				if sent := len(w.Order()); sent != c.sent || run.Work.Sent != 22 || run.Work.Ahead != 0 || !run.Work.Unsure {
					t.Errorf("sent %d, want %d; work %+v", sent, c.sent, run.Work)
				}
			})
		})
	}
}
