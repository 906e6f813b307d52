package opencti

import (
	"cmp"
	"context"
	"log/slog"
	"regexp"
	"strings"
	"time"
)

// Connector is how the platform knows this connector. Slug and Options.Version are sent only to platforms that accept
// both, and only if the version is a semantic one.
type Connector struct {
	ID, Name, Type string
	Scope          []string
	Slug           string
}

// Registration is what the platform tells a connector that registered. It has declared the connector's exchange and
// queues by then.
type Registration struct {
	Echo
	// Applicant is the user that owns what is imported: the applicant_id of every message.
	Applicant string
	// Messages go to Exchange with RoutingKey; Queue is the queue behind them. They and Broker are empty with
	// Options.NoQueue.
	Exchange, RoutingKey, Queue string
	Broker                      Broker
	// Version is the platform's, as it names it.
	Version string
	// Affected and SplitsPushed: see those of Capabilities.
	Affected, SplitsPushed bool
}

// Broker is the platform's own view of its RabbitMQ.
type Broker struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	VHost    string `json:"vhost"`
	UseTLS   bool   `json:"use_ssl"`
	User     string `json:"user"`
	Password string `json:"pass"`
}

// LogValue keeps the password out of logs.
func (b Broker) LogValue() slog.Value {
	return slog.GroupValue(slog.String("host", b.Host), slog.Int("port", b.Port), slog.String("vhost", b.VHost),
		slog.Bool("tls", b.UseTLS), slog.String("user", b.User))
}

// The documents select what all of 6.x and 7.x know, plus what the probe found.
const (
	brokerFields = ` config { connection { host vhost use_ssl port user pass } push push_routing push_exchange }`
	queueQuery   = `query ConnectorQueue($id: String!) { connector(id: $id) { id connector_queue_details { messages_number messages_size } } }`
)

// stateFields are the fields of the connector's state.
func (c Capabilities) stateFields() string {
	if c.StateTimestamp {
		return `id connector_state connector_state_timestamp`
	}
	return `id connector_state`
}

// registerQuery asks for the broker only if the connector uses it: a platform may keep its address to itself.
func registerQuery(state string, noQueue bool) string {
	broker := brokerFields
	if noQueue {
		broker = ""
	}
	return `mutation RegisterConnector($input: RegisterConnectorInput) { registerConnector(input: $input) { ` +
		state + ` connector_user_id` + broker + ` } }`
}

func pingQuery(state string) string {
	return `mutation PingConnector($id: ID!, $state: String, $connectorInfo: ConnectorInfoInput) {
 pingConnector(id: $id, state: $state, connectorInfo: $connectorInfo) { ` + state + ` } }`
}

func storedQuery(state string) string {
	return `query StoredState($id: String!) { connector(id: $id) { ` + state + ` updated_at } }`
}

type connectorNode struct {
	ID        string    `json:"id"`
	State     string    `json:"connector_state"`
	Timestamp time.Time `json:"connector_state_timestamp"`
	Updated   time.Time `json:"updated_at"`
	UserID    string    `json:"connector_user_id"`
	Config    *struct {
		Connection   Broker `json:"connection"`
		Push         string `json:"push"`
		PushRouting  string `json:"push_routing"`
		PushExchange string `json:"push_exchange"`
	} `json:"config"`
	Queue *struct {
		Number float64 `json:"messages_number"`
		Size   float64 `json:"messages_size"`
	} `json:"connector_queue_details"`
}

// semver matches what OpenCTI accepts as the version of a connector.
var semver = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// Register makes the connector known, or updates it, and lets the platform declare its queues. It does not change the
// stored state. It probes first, since the platform may have been upgraded.
func (c *Client) Register(ctx context.Context) (Registration, error) {
	in := c.opt.Connector
	op := "register connector " + in.ID
	caps, err := c.Probe(ctx)
	if err != nil {
		return Registration{}, err
	}
	input := map[string]any{
		"id": in.ID, "name": in.Name, "type": in.Type, "scope": in.Scope,
		"auto": false, "only_contextual": false, "playbook_compatible": false,
	}
	version := strings.TrimPrefix(c.opt.Version, "v")
	if caps.RegisterVersion && semver.MatchString(version) && in.Slug != "" {
		input["version"], input["slug"] = version, in.Slug
	}
	query := registerQuery(caps.stateFields(), c.opt.NoQueue)
	var out struct {
		Node *connectorNode `json:"registerConnector"`
	}
	err = c.call(ctx, op, request{Query: query, Variables: map[string]any{"input": input}}, &out)
	if err != nil {
		if isValidation(err) {
			c.forget()
		}
		return Registration{}, err
	}
	if out.Node == nil || out.Node.Config == nil && !c.opt.NoQueue {
		return Registration{}, incomplete(op)
	}
	r := out.Node.registration()
	r.Version, r.Affected, r.SplitsPushed = caps.Version, caps.Affected(), caps.SplitsPushed()
	return r, nil
}

func (n *connectorNode) echo() Echo { return Echo{State: n.State, Reset: n.Timestamp} }

func (n *connectorNode) registration() Registration {
	r := Registration{Echo: n.echo(), Applicant: n.UserID}
	if n.Config == nil {
		return r
	}
	r.Exchange, r.RoutingKey, r.Queue = n.Config.PushExchange, n.Config.PushRouting, n.Config.Push
	r.Broker = n.Config.Connection
	return r
}

// ConnectorInfo is what the platform shows about a connector.
type ConnectorInfo struct {
	RunAndTerminate bool
	// Buffering: nothing is sent now, because the queue is too full or refuses messages.
	Buffering bool
	// QueueThreshold and QueueSize are in megabytes of 1,000,000 bytes.
	QueueThreshold, QueueSize float64
	// NextRun and LastRun may be zero.
	NextRun, LastRun time.Time
}

func (i ConnectorInfo) variables() map[string]any {
	return map[string]any{
		"run_and_terminate": i.RunAndTerminate, "buffering": i.Buffering,
		"queue_threshold": i.QueueThreshold, "queue_messages_size": i.QueueSize,
		"next_run_datetime": dateTime(i.NextRun), "last_run_datetime": dateTime(i.LastRun),
	}
}

// dateTime formats t in UTC without a fraction, as other connectors send it; null if it is zero.
func dateTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// Echo is the state that the platform holds of the connector; after a ping, platforms before autumn 2026 may return
// an older one.
type Echo struct {
	// State is a JSON text; "" and "null" mean none.
	State string
	// Reset is when the state was last reset; zero if the platform does not say.
	Reset time.Time
}

// Ping reports that the connector is alive and stores its state, a JSON text; "" is sent as "null", which means no
// state. The platform declares the queues again. Send one ping at a time: two with different states race. Ping
// returns ErrUnknownConnector if the platform does not know the id.
func (c *Client) Ping(ctx context.Context, state string, info ConnectorInfo) (Echo, error) {
	caps, err := c.capabilities(ctx)
	if err != nil {
		return Echo{}, err
	}
	node, err := c.connector(ctx, "ping", pingQuery(caps.stateFields()), map[string]any{"state": cmp.Or(state, "null"), "connectorInfo": info.variables()})
	if err != nil {
		return Echo{}, err
	}
	return node.echo(), nil
}

// connector sends a document about our connector and returns its node, or ErrUnknownConnector. verb says for errors
// what is done to it.
func (c *Client) connector(ctx context.Context, verb, query string, vars map[string]any) (*connectorNode, error) {
	id := c.opt.Connector.ID
	op := verb + " connector " + id
	vars["id"] = id
	var out struct {
		Read   *connectorNode `json:"connector"`
		Pinged *connectorNode `json:"pingConnector"`
	}
	err := c.call(ctx, op, request{Query: query, Variables: vars}, &out)
	node := cmp.Or(out.Read, out.Pinged)
	switch {
	case isUnknownConnector(err):
		return nil, unknownConnector(op, err)
	case err != nil:
		if isValidation(err) {
			c.forget()
		}
		return nil, err
	case node == nil:
		return nil, unknownConnector(op, nil)
	}
	return node, nil
}

// Stored is the connector's entry on the platform as it is read between pings.
type Stored struct {
	Echo
	// Updated is when a registration or a ping last changed it.
	Updated time.Time
}

// Stored reads the connector's entry, or returns ErrUnknownConnector.
func (c *Client) Stored(ctx context.Context) (Stored, error) {
	caps, err := c.capabilities(ctx)
	if err != nil {
		return Stored{}, err
	}
	node, err := c.connector(ctx, "read", storedQuery(caps.stateFields()), map[string]any{})
	if err != nil {
		return Stored{}, err
	}
	return Stored{Echo: node.echo(), Updated: node.Updated}, nil
}

// QueueSize is the size of the connector's push queue as the platform's broker reports it, some seconds old; 0 if the
// platform cannot ask the broker.
type QueueSize struct {
	Messages, Bytes int64
}

// MB returns the size in megabytes of 1,000,000 bytes, the unit of the threshold.
func (q QueueSize) MB() float64 { return float64(q.Bytes) / 1e6 }

// Queue returns the size of the connector's queue, or ErrUnknownConnector.
func (c *Client) Queue(ctx context.Context) (QueueSize, error) {
	node, err := c.connector(ctx, "read queue of", queueQuery, map[string]any{})
	if err != nil {
		return QueueSize{}, err
	}
	if node.Queue == nil {
		return QueueSize{}, incomplete("read queue of connector " + c.opt.Connector.ID)
	}
	return QueueSize{Messages: int64(node.Queue.Number), Bytes: int64(node.Queue.Size)}, nil
}
