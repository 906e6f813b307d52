package e2e_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/worker"
)

func walkBrokerDown(k *walk) {
	amqp := brokertest.Shared(k.t).VHost(k.t).URL()
	u, err := url.Parse(amqp)
	must(k.t, err)
	closed := closedPort(k.t)
	port, err := strconv.Atoi(closed[strings.Index(closed, ":")+1:])
	must(k.t, err)
	k.also = map[string]string{closed: "rabbitmq:5672"}
	k.begin(options{api: few(), amqp: amqp, platform: opencti.Options{Connection: func(c *opencti.Connection) { c.Port = port }}})
	k.env["CONNECTOR_LOG_LEVEL"] = "warning"
	p := k.start("run")
	k.until("all is mapped", func(s inspect.Status) bool {
		return s.Spool.Messages > 0 && s.Spool.Records == 0 && s.Spool.Tasks == 0 && stage(s, "deliver").NotReady != ""
	})
	k.say("Fetch and map continue: everything is in the spool, and only the messages wait.")
	k.types(0, []string{"status"}, "^NOT READY", "^✗ deliver", "^run 1", "^RabbitMQ", "^backlog")
	k.logs(p, "delivery is held up")
	k.types(1, []string{"check"}, "RabbitMQ", "→")
	k.say("The connector itself needs no action: fix RabbitMQ, or the network path to it. Set `MQ_HOST` and `MQ_PORT` if the\n" +
		"connector cannot use the address that OpenCTI uses; if RabbitMQ can never be reached, as with a hosted OpenCTI, set\n" +
		"`CONNECTOR_QUEUE_PROTOCOL=api`. Sending resumes within half a minute:")
	k.forward(closed, u.Host)
	k.until("the run is delivered", done)
	k.types(0, []string{"status"}, "^ready", "^last run", "^RabbitMQ", "^backlog")
	k.types(0, []string{"check"}, "RabbitMQ")
	p.stop()
}

func walkQueueFull(k *walk) {
	k.begin(options{api: few()})
	k.platform.SetQueueSize(opencti.QueueSize{Messages: 300000, Bytes: 612e6})
	p := k.start("run")
	k.until("delivery pauses", func(s inspect.Status) bool { return stage(s, "deliver").State == "paused" && s.Spool.Messages > 0 })
	k.say("OpenCTI's workers do not keep up. Delivery pauses while the queue holds more than `connector.queue_threshold` MB;\n" +
		"fetch and map continue until the spool is full. The connector stays ready, because it is not at fault.")
	k.types(0, []string{"status"}, "^ready", "^! deliver", "^RabbitMQ", "^backlog")
	k.types(0, []string{"health", "--ready"})
	k.say("Let OpenCTI's workers catch up, with more workers or more time. Delivery checks every ten seconds:")
	k.platform.SetQueueSize(opencti.QueueSize{Messages: 2000, Bytes: 4e6})
	k.until("the run is delivered", done)
	k.types(0, []string{"status"}, "^ready", "^RabbitMQ", "^backlog")
	p.stop()
}

func walkTooLarge(k *walk) {
	const large = "malware--5e1f0e6c-7d0a-4d38-9b2e-1c5a3c1f4b77"
	node := brokertest.Start(k.t, "max_message_size = 65536")
	k.begin(options{api: few(), amqp: node.VHost(k.t).URL()})
	k.api.SetFault(faults.Rule{Name: "large", Route: "item", ID: "alerts/4", Kind: faults.Answer, Status: 200, ContentType: "application/json", Body: fmt.Sprintf(
		`{"type":"bundle","objects":[{"type":"malware","spec_version":"2.1","id":%q,"created":"2026-11-01T10:00:00.000Z","modified":"2026-11-01T10:00:00.000Z","name":"Large","is_family":false,"description":%q}]}`,
		large, strings.Repeat("long ", 16<<10))})
	k.say("RabbitMQ closes the channel with 406 if a message is larger than its `max_message_size`. The connector gives up on\n" +
		"that one message, keeps it whole as a dead letter, and sends everything else:")
	p := k.start("run", "--once")
	if code := p.code(); code != 3 {
		k.t.Fatalf("exit code %d\n%s", code, p.output())
	}
	k.print("threatmatch-connector run --once", p.output(), "a message became a dead letter|dead letters", "ends with something missing")
	k.text.WriteString("(exit code 3)\n")
	k.types(0, []string{"spool", "dead"})
	k.types(0, []string{"spool", "find", large})
	if out := k.run(0, "spool", "find", "alerts/4"); !strings.Contains(out, "dead letter 1 (deliver, too_large)") {
		k.t.Errorf("find the item: %s", out)
	}
	k.say("Raise `max_message_size` on RabbitMQ (OpenCTI's own compose file has 512 MiB), then retry the dead letter:")
	node.Ctl(k.t, "eval", "application:set_env(rabbit, max_message_size, 134217728).")
	k.types(0, []string{"spool", "retry", "--all", "--class", "too_large", "--yes"}, "tries 1 entry again")
	k.run(0, "run", "--once")
	k.print("threatmatch-connector run --once", "…\n")
	k.types(0, []string{"spool", "dead"}, "healed")
	k.eventually("the large object arrives", func() bool { return k.worker.Has(large) })
}

// forward lets what connects to one address reach another, until the test ends.
func (k *walk) forward(from, to string) {
	k.t.Helper()
	ln, err := net.Listen("tcp", from)
	must(k.t, err)
	k.t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			for _, line := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					_, _ = io.Copy(line[0], line[1])
					_ = line[0].Close()
				}()
			}
		}
	}()
}

func walkRejected(k *walk) {
	k.begin(options{api: few()})
	k.worker.Behave(worker.Behaviour{Refuse: map[string]string{"report": "FUNCTIONAL_ERROR Marking definition not allowed for the user"}})
	p := k.start("run")
	k.until("the refusals are read back", func(s inspect.Status) bool { return done(s) && s.Spool.Rejected > 0 })
	k.say("RabbitMQ has confirmed everything, but OpenCTI's workers could not import some of it. Once a run is delivered, the\n" +
		"connector reads the errors of its work back, for as long as OpenCTI processes it, at most a week. Each refused object\n" +
		"is kept as a dead letter of class `rejected`, stage `platform`:")
	k.logs(p, "OpenCTI refused objects of a run")
	k.types(0, []string{"status"}, "^ready", "^! rejected", "^last run")
	k.types(0, []string{"spool", "dead", "--limit", "2"})
	k.say("The text starts with what is wrong and what to change, and ends with OpenCTI's own message:\n\n" +
		"| it starts with | what it means | what to do |\n" +
		"|---|---|---|\n" +
		"| marking | the connector's user may not use the object's marking | allow it to a group of that user, or send less with `threatmatch.tlp_max` |\n" +
		"| no right | its role may not create or change knowledge | give it the role Connector |\n" +
		"| missing reference | the object refers to something that is not on OpenCTI, often because that was refused itself | fix that one first, then retry both |\n" +
		"| too large | the object is larger than OpenCTI or its workers accept | raise the limit named in the text. OpenCTI does not say which object it was: every large object of the run that may be meant is listed |\n" +
		"| other | anything else, such as a value that OpenCTI does not accept | read OpenCTI's message; what cannot be fixed stays until `spool drop` |\n\n" +
		"OpenCTI keeps 100 errors per work, so there may be more than are listed. A user without the capability MODULES cannot\n" +
		"read them at all, which the log says once. When OpenCTI is fixed, retry:")
	k.worker.Behave(worker.Behaviour{})
	k.types(0, []string{"spool", "retry", "--all", "--class", "rejected", "--yes"})
	k.until("they are healed", func(s inspect.Status) bool { return done(s) && s.Spool.Rejected == 0 })
	k.say("A retry fetches the items again; for IOCs, the page that contains them. The dead letters are marked healed when their\n" +
		"objects are sent again, and reopened if OpenCTI refuses those too.")
	k.types(0, []string{"status"}, "^ready", "^last run")
	p.stop()
}
