package e2e_test

import (
	"time"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/sim/faults"
)

func walkWrongSecret(k *walk) {
	k.begin(options{api: few()})
	right := k.env["THREATMATCH_CLIENT_SECRET"]
	k.env["THREATMATCH_CLIENT_SECRET"] = "not the secret"
	p := k.start("run")
	k.until("fetch is paused", func(s inspect.Status) bool { return stage(s, "fetch").State == "paused" })
	k.say("Nothing is imported, and the log shows:")
	k.logs(p, "fetch is paused")
	k.say("The connector stays up and retries three times a minute; it is alive, but not ready:")
	k.types(0, []string{"status"}, "^NOT READY", "^✗ fetch")
	k.types(1, []string{"health", "--ready"})
	k.types(1, []string{"check"}, "ThreatMatch token", "→ check threatmatch.client")
	k.say("Correct the secret in the settings and restart the connector. It resumes where it was:")
	p.stop()
	k.env["THREATMATCH_CLIENT_SECRET"] = right
	p = k.start("run")
	k.until("the run is delivered", done)
	k.types(0, []string{"health", "--ready"})
	k.types(0, []string{"status"}, "^ready", "^last run")
	p.stop()
}

func walkOneItemFails(k *walk) {
	k.begin(options{api: few()})
	k.env["BUNDLE_MAX_WAIT"] = "PT1S"
	const id = "2"
	k.api.SetFault(faults.Rule{Name: "one", Route: "item", ID: "profiles/" + id, Kind: faults.Answer, Status: 500, ContentType: "application/json", Body: `{"message":"Server Error"}`})
	p := k.start("run")
	k.until("everything else is fetched", func(s inspect.Status) bool {
		return len(s.Runs) == 1 && s.Spool.Tasks == 1 && s.Spool.Records == 0 && k.worker.Counts().Messages > 0
	})
	k.eventually("two tries", func() bool { return k.api.Stats().Total("item") > 12 })
	k.say("Everything else is imported; the run stays open for this one item:")
	k.types(0, []string{"status"}, "^ready", "^! profiles", "^run 1")
	k.types(0, []string{"spool", "ls", "failing"})
	k.types(0, []string{"spool", "find", "profiles/" + id}, "^profiles")
	k.say("A failed try counts only while ThreatMatch answers other requests. After ten failed tries the item is parked: the run\n" +
		"ends without it, `last_run` waits for it, and each later run retries it. After `threatmatch.max_attempts` runs it\n" +
		"becomes a dead letter. All you can do is tell ThreatMatch. Once the item is fixed it is imported without further\n" +
		"action:")
	k.api.Faults.Remove("one")
	k.until("the run is delivered", done)
	k.types(0, []string{"status"}, "^ready", "^last run", "^backlog", "confirmed up to")
	p.stop()
}

func walkOneItemRefused(k *walk) {
	k.begin(options{api: few()})
	const id = "3"
	k.api.SetFault(faults.Rule{Name: "one", Route: "item", ID: "alerts/" + id, Kind: faults.Answer, Status: 404, ContentType: "application/json", Body: `{"message":"Not found."}`})
	k.say("An item that is refused twice in a row (403, 404, 410 and the like) is parked at once. A single run reports this with\n" +
		"its exit code:")
	p := k.start("run", "--once")
	if code := p.code(); code != 3 {
		k.t.Fatalf("exit code %d", code)
	}
	k.print("threatmatch-connector run --once", p.output(), "items could not be fetched", "ends with something missing")
	k.text.WriteString("(exit code 3)\n")
	k.types(0, []string{"spool", "find", "alerts/" + id})
	k.say("The next run retries it automatically. If it is gone for good, `spool drop alerts/3` lets `last_run` move past it. To\n" +
		"retry it now:")
	k.types(0, []string{"spool", "retry", "alerts/" + id, "--yes"}, "tries 1 entry again")
	k.api.Faults.Remove("one")
	k.run(0, "run", "--once")
	k.print("threatmatch-connector run --once", "…\n")
	k.types(0, []string{"spool", "runs"}, "retry")
	k.types(0, []string{"spool", "stats"}, "^tasks")
}

func walkClockBehind(k *walk) {
	k.begin(options{api: few()})
	k.api.Skew(time.Hour)
	k.say("A run ends at the earlier of this machine's time and ThreatMatch's, so nothing is skipped. The log warns:")
	p := k.start("run", "--once")
	if code := p.code(); code != 0 {
		k.t.Fatalf("exit code %d\n%s", code, p.output())
	}
	k.print("threatmatch-connector run --once", p.output(), "the clocks of this machine", "run delivered")
	k.types(1, []string{"check"}, "clock", "→ set the clock")
	k.say("Once the clock is set there is nothing else to do: the next run begins where the last one ended.")
	k.api.Skew(0)
	k.types(0, []string{"check"}, "clock")
}
