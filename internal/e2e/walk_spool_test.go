package e2e_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"path/filepath"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

func walkSpoolFull(k *walk) {
	k.begin(options{api: few()})
	base := k.expose()
	k.env["SPOOL_MAX_SIZE"] = "8MiB"
	k.fillWithDead(20, 500<<10)
	p := k.start("run")
	k.readyz(base, "fetch", "spool export")
	k.until("fetch waits for room", func(s inspect.Status) bool { return stage(s, "fetch").NotReady != "" })
	k.say("Fetching pauses above `spool.max_size` and resumes when map and deliver have made room. It stays paused only if\n" +
		"nothing in the spool can move: then it is full of held objects or dead letters, and the connector is not ready.")
	k.types(0, []string{"status"}, "^NOT READY", "^✗ fetch", "^! dead", "^spool")
	k.types(0, []string{"spool", "stats"}, "^room", "^records", "^bundles", "^held", "^dead letters")
	k.types(0, []string{"spool", "dead", "--limit", "2"})
	k.say("Find out why there are so many, then either export and drop them, retry them once the cause is gone, or raise\n" +
		"`spool.max_size`.")
	dir := filepath.Join(k.t.TempDir(), "dead-letters")
	k.also = map[string]string{dir: "/tmp/dead-letters"}
	k.types(0, []string{"spool", "export", dir, "--only", "dead"}, "^FILE", "^dead-0001")
	args := []string{"spool", "drop"}
	for n := range 20 {
		args = append(args, fmt.Sprint(n+1))
	}
	out := k.run(0, append(args, "--yes")...)
	k.print("threatmatch-connector spool drop $(seq 1 20) --yes", out)
	k.until("the run is delivered", done)
	k.readyz(base, "", "")
	k.types(0, []string{"status"}, "^ready", "^last run", "^spool")
	p.stop()
}

// fillWithDead leaves dead letters in the spool that do not compress.
func (k *walk) fillWithDead(n, size int) {
	k.t.Helper()
	s, err := spool.Open(context.Background(), spool.Options{Dir: k.spool, ConnectorID: connectorID, MaxSize: 64 << 20})
	must(k.t, err)
	run, err := s.StartRun(1, k.api.Now(), spool.RunSpec{Reason: spool.ReasonRepull})
	must(k.t, err)
	noise := rand.NewChaCha8([32]byte{1})
	for i := range n {
		body := make([]byte, size)
		_, _ = noise.Read(body)
		must(k.t, s.CommitMap(1, k.api.Now(), spool.MapCommit{Run: run.ID, Dead: []spool.DeadLetter{{
			Stage: spool.StageMap, Class: "invalid", Error: "a type that nobody knows", Attempts: 1,
			Dataset: spool.Alerts, Source: fmt.Sprint(1000 + i),
			Payload: fmt.Appendf(nil, `{"type":"x-note","id":"x-note--%d","noise":"%s"}`, i, base64.StdEncoding.EncodeToString(body)),
		}}}))
	}
	must(k.t, s.FinishFetch(1, run.ID, k.api.Now()))
	must(k.t, s.FinishMap(1, run.ID, k.api.Now()))
	must(k.t, s.FinishRun(1, run.ID, k.api.Now()))
	must(k.t, s.Close())
}

func walkReset(k *walk) {
	k.begin(options{api: few()})
	k.run(0, "run", "--once")
	must(k.t, k.platform.Reset(connectorID))
	k.say("Someone pressed the reset button in OpenCTI (Data > Ingestion > Connectors). The connector notices with its next ping\n" +
		"or registration, clears everything except the dead letters, and imports again from `threatmatch.import_from_date`, as\n" +
		"requested. OpenCTI merges what it already has.")
	p := k.start("run")
	k.until("the run is delivered", func(s inspect.Status) bool { return done(s) && s.Last.Reason == "reset" })
	k.logs(p, "import starts again", "run delivered")
	k.types(0, []string{"spool", "runs"}, "^RUN", "reset", "once")
	k.say("If it was a mistake there is nothing to undo: the import ends where it was before. A `repull --from DATE` instead of a\n" +
		"reset imports a past window again without forgetting anything.")
	p.stop()
}
