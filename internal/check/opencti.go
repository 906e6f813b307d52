package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"threatmatch-connector/internal/clients"
	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/opencti"
)

// openCTI checks address, token, version and rights, and then the broker, or pushing where RabbitMQ is not used.
func (c *checker) openCTI(ctx context.Context) {
	cfg := c.Config
	if cfg.Offline() {
		c.ok("OpenCTI", "offline: bundles go to a directory only")
		return
	}
	rest := []string{"OpenCTI token", "OpenCTI rights", "RabbitMQ connection", "RabbitMQ route"}
	if cfg.Pushes() {
		rest = append(rest[:2], "OpenCTI push")
	}
	skip := func(why string) {
		for _, name := range rest {
			c.unknown(name, why)
		}
	}
	if !c.reach(ctx, "OpenCTI address", "opencti.url", cfg.OpenCTI.URL, clients.Roots(cfg.OpenCTICAs()), !cfg.VerifyOpenCTI()) {
		skip("not tried: OpenCTI is not reached")
		return
	}
	opt := clients.OpenCTIOptions(cfg, c.Version)
	opt.Timeout = c.Timeout
	client, err := opencti.New(opt)
	if err != nil {
		c.failed("OpenCTI token", err, "")
		return
	}
	defer client.Close()
	caps, err := client.Probe(ctx)
	if err != nil {
		name := "OpenCTI API"
		if e, ok := errors.AsType[*opencti.Error](err); ok && slices.Contains([]string{"AUTH_REQUIRED", "AUTH_FAILURE", "UNAUTHENTICATED", "OTP_REQUIRED"}, e.Code) {
			name, rest = "OpenCTI token", rest[1:]
		}
		c.failed(name, err, openCTIHint(err))
		skip("not tried: OpenCTI does not answer as it should")
		return
	}
	me, err := client.Me(ctx)
	if err != nil {
		c.failed("OpenCTI token", err, openCTIHint(err))
	} else {
		c.ok("OpenCTI token", "of the user %q", me.Name)
	}
	c.version(caps)
	if err == nil {
		c.rights(me)
	}
	if cfg.Pushes() {
		c.push(ctx, client)
		return
	}
	c.broker(ctx, client)
}

// push checks that OpenCTI takes bundles by its API, and of the size that we send.
func (c *checker) push(ctx context.Context, client *opencti.Client) {
	const name = "OpenCTI push"
	switch err := client.TryPush(ctx, opencti.MaxBundle); {
	case err == nil:
		c.ok(name, "accepts bundles of at least 8 MiB through its API; RabbitMQ is not used")
	case errors.Is(err, opencti.ErrTooLarge):
		c.remark(name, "accepts bundles through its API, but none of 8 MiB: smaller ones are sent, and a single object that is too large becomes a dead letter",
			"let OpenCTI (app:max_payload_body_size), or the proxy in front of it, accept requests of 20 MB")
	default:
		c.failed(name, err, openCTIHint(err))
	}
}

// openCTIHint says what to do about an answer that has no hint of its own.
func openCTIHint(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no response in time: check whether OpenCTI is overloaded, or raise --timeout"
	case fault.Is(err, fault.Transient):
		return "OpenCTI, or a proxy in front of it, has a problem: look at its logs and its dependencies; the connector tries again by itself"
	}
	return "check opencti.url, and the log of OpenCTI"
}

func (c *checker) version(caps opencti.Capabilities) {
	if caps.Affected() {
		c.remark("OpenCTI version", caps.Version+": this version may end a run's work too early, so runs are sent one after the other", "upgrade OpenCTI to 7.260601 or later")
		return
	}
	c.ok("OpenCTI version", "%s", caps.Version)
}

// rights checks the capabilities of the token's user.
func (c *checker) rights(me opencti.User) {
	const name, hint = "OpenCTI rights", "give the user the role Connector, or one with these capabilities"
	switch {
	case !me.Can("CONNECTORAPI"):
		c.failed(name, errors.New("the user may not register connectors: CONNECTORAPI is missing"), hint)
	case !me.Can("MODULES"):
		c.remark(name, "the user may not see the size of the connector's queue: MODULES is missing", hint+"; until then connector.queue_threshold has no effect")
	default:
		c.ok(name, "register connectors, see queues")
	}
}

// broker checks the broker at the address that the platform or our own settings name. A platform names it only to
// connectors that it knows.
func (c *checker) broker(ctx context.Context, client *opencti.Client) {
	const name, route = "RabbitMQ connection", "RabbitMQ route"
	if !c.Config.Connector.SendToQueue {
		c.ok(name, "not used: connector.send_to_queue is off")
		return
	}
	reg, err := client.Lookup(ctx)
	known := err == nil
	if err != nil && !errors.Is(err, opencti.ErrUnknownConnector) && (c.Config.MQ.Host == "" || c.Config.MQ.User == "") {
		c.failed(name, err, openCTIHint(err))
		c.unknown(route, "not tried: the broker's address is not known")
		return
	}
	b := clients.Broker(c.Config.MQ, reg.Broker)
	if !known {
		if b.Host == "" || b.User == "" {
			c.unknown(name, "not known until the connector has registered for the first time: OpenCTI gives the address then (or set mq.host, mq.user, mq.pass)")
			c.unknown(route, "OpenCTI creates it when the connector registers for the first time")
			return
		}
		b.Port = cmp.Or(b.Port, map[bool]int{false: 5672, true: 5671}[b.UseTLS])
		b.VHost = cmp.Or(b.VHost, "/")
	}
	pub, err := delivery.New(delivery.Options{
		Broker: b, Name: c.Config.Connector.Name + " check", TLS: clients.BrokerTLS(c.Config.MQ), DialTimeout: c.Timeout,
	})
	if err != nil {
		c.failed(name, err, "")
		return
	}
	defer pub.Close(ctx)
	address := fmt.Sprintf("%s:%d, virtual host %s, user %s", b.Host, b.Port, b.VHost, b.User)
	if err := pub.Check(ctx, "", ""); err != nil {
		c.failed(name, fault.Say(err, address+": "+fault.Words(err)), "check MQ_HOST and MQ_PORT: the address must be reachable from here")
		c.unknown(route, "not tried: RabbitMQ is not reached")
		return
	}
	if clients.InClear(c.Config, b) {
		c.remark(name, address+"; the password is sent there unencrypted, although OpenCTI is reached by https", "set MQ_USE_SSL, if the broker supports TLS")
	} else {
		c.ok(name, "%s", address)
	}
	c.route(ctx, pub, reg, known)
}

// route checks that the exchange and the queue exist.
func (c *checker) route(ctx context.Context, pub *delivery.Publisher, reg opencti.Registration, known bool) {
	const name = "RabbitMQ route"
	if !known {
		c.unknown(name, "OpenCTI creates it when the connector registers for the first time")
		return
	}
	if err := pub.Check(ctx, reg.Exchange, reg.Queue); err != nil {
		c.failed(name, err, "check the broker's user and its rights on the virtual host")
		return
	}
	c.ok(name, "exchange %s to queue %s", reg.Exchange, reg.Queue)
}
