package opencti

import (
	"context"
	"log/slog"
	"time"
)

// RegisterInput describes this connector. Version (semantic) and Slug are sent
// only to platforms that take both.
type RegisterInput struct {
	ID, Name, Type string
	Scope          []string
	Version, Slug  string
}

// Registration is what the platform tells a connector that registered. After
// it the platform has declared the connector's exchange and queues.
type Registration struct {
	// PushExchange and PushRoutingKey are where messages go, PushQueue is the
	// queue behind them.
	PushExchange, PushRoutingKey, PushQueue string
	// UserID owns what is imported: the applicant_id of every message.
	UserID string
	// State as the platform stores it: "", "null" or a JSON text.
	State string
	// StateTimestamp grows with each reset. Zero where the platform has none.
	StateTimestamp time.Time
	Broker         Broker
}

// Broker is the platform's own view of its RabbitMQ.
type Broker struct {
	Host, VHost    string
	Port           int
	UseTLS         bool
	User, Password string
}

// LogValue keeps the password out of logs.
func (b Broker) LogValue() slog.Value {
	return slog.GroupValue(slog.String("host", b.Host), slog.Int("port", b.Port), slog.String("vhost", b.VHost),
		slog.Bool("tls", b.UseTLS), slog.String("user", b.User))
}

// registerConnector and its kin take the minimal selection that all of 6.x and
// 7.x know, plus what the probe showed.
const (
	registerQuery = `mutation RegisterConnector($input: RegisterConnectorInput) { registerConnector(input: $input) {
 id connector_state connector_user_id
 config { connection { host vhost use_ssl port user pass } push push_routing push_exchange } } }`
	registerQueryTimestamp = `mutation RegisterConnector($input: RegisterConnectorInput) { registerConnector(input: $input) {
 id connector_state connector_state_timestamp connector_user_id
 config { connection { host vhost use_ssl port user pass } push push_routing push_exchange } } }`
	pingQuery = `mutation PingConnector($id: ID!, $state: String, $connectorInfo: ConnectorInfoInput) {
 pingConnector(id: $id, state: $state, connectorInfo: $connectorInfo) { id connector_state } }`
	pingQueryTimestamp = `mutation PingConnector($id: ID!, $state: String, $connectorInfo: ConnectorInfoInput) {
 pingConnector(id: $id, state: $state, connectorInfo: $connectorInfo) { id connector_state connector_state_timestamp } }`
	queueQuery = `query ConnectorQueue($id: String!) { connector(id: $id) { id connector_queue_details { messages_number messages_size } } }`
)

type connectorNode struct {
	ID        string    `json:"id"`
	State     string    `json:"connector_state"`
	Timestamp time.Time `json:"connector_state_timestamp"`
	UserID    string    `json:"connector_user_id"`
	Config    *struct {
		Connection struct {
			Host   string `json:"host"`
			VHost  string `json:"vhost"`
			UseSSL bool   `json:"use_ssl"`
			Port   int    `json:"port"`
			User   string `json:"user"`
			Pass   string `json:"pass"`
		} `json:"connection"`
		Push         string `json:"push"`
		PushRouting  string `json:"push_routing"`
		PushExchange string `json:"push_exchange"`
	} `json:"config"`
	Queue *struct {
		Number float64 `json:"messages_number"`
		Size   float64 `json:"messages_size"`
	} `json:"connector_queue_details"`
}

// Register makes the connector known, or updates it, and lets the platform
// declare its queues. It does not change the stored state.
func (c *Client) Register(ctx context.Context, in RegisterInput) (Registration, error) {
	op := "register connector " + in.ID
	caps, err := c.capabilities(ctx)
	if err != nil {
		return Registration{}, err
	}
	input := map[string]any{
		"id": in.ID, "name": in.Name, "type": in.Type, "scope": in.Scope,
		"auto": false, "only_contextual": false, "playbook_compatible": false,
	}
	if caps.RegisterVersion && in.Version != "" && in.Slug != "" {
		input["version"], input["slug"] = in.Version, in.Slug
	}
	query := registerQuery
	if caps.StateTimestamp {
		query = registerQueryTimestamp
	}
	var out struct {
		Node *connectorNode `json:"registerConnector"`
	}
	err = c.call(ctx, op, request{query, map[string]any{"input": input}}, &out)
	if err != nil {
		if isValidation(err) {
			c.forget()
		}
		return Registration{}, err
	}
	if out.Node == nil || out.Node.Config == nil {
		return Registration{}, incomplete(op)
	}
	return out.Node.registration(), nil
}

func (n *connectorNode) registration() Registration {
	conn := n.Config.Connection
	return Registration{
		PushExchange: n.Config.PushExchange, PushRoutingKey: n.Config.PushRouting, PushQueue: n.Config.Push,
		UserID: n.UserID, State: n.State, StateTimestamp: n.Timestamp,
		Broker: Broker{Host: conn.Host, VHost: conn.VHost, Port: conn.Port, UseTLS: conn.UseSSL, User: conn.User, Password: conn.Pass},
	}
}

// ConnectorInfo is what the platform shows about a connector.
type ConnectorInfo struct {
	RunAndTerminate bool
	// Buffering: not sending now, because the queue is too full or nacks.
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

// dateTime is UTC without a fraction, or null, as other connectors send it.
func dateTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// Echo is the state as the platform stores it after a ping: "" after a reset,
// and on platforms before autumn 2026 possibly an older one.
type Echo struct {
	State          string
	StateTimestamp time.Time
}

// Ping reports that the connector lives and stores its state, a JSON text; ""
// is sent as "null", which is how no state is written. The platform declares
// the queues again. One ping at a time: two with different states race.
// Returns ErrUnknownConnector when the platform does not know the id.
func (c *Client) Ping(ctx context.Context, id, state string, info ConnectorInfo) (Echo, error) {
	op := "ping connector " + id
	caps, err := c.capabilities(ctx)
	if err != nil {
		return Echo{}, err
	}
	query := pingQuery
	if caps.StateTimestamp {
		query = pingQueryTimestamp
	}
	if state == "" {
		state = "null"
	}
	var out struct {
		Node *connectorNode `json:"pingConnector"`
	}
	err = c.call(ctx, op, request{query, map[string]any{"id": id, "state": state, "connectorInfo": info.variables()}}, &out)
	switch {
	case err != nil && isUnknownConnector(err):
		return Echo{}, unknownConnector(op, err)
	case err != nil:
		if isValidation(err) {
			c.forget()
		}
		return Echo{}, err
	case out.Node == nil:
		return Echo{}, unknownConnector(op, nil)
	}
	return Echo{State: out.Node.State, StateTimestamp: out.Node.Timestamp}, nil
}

// Queue is the size of the connector's push queue as the platform's broker
// reports it, some seconds old, 0 when the platform cannot ask it.
type Queue struct {
	Messages, Bytes int64
}

// Queue returns the size of the connector's queue, or ErrUnknownConnector.
func (c *Client) Queue(ctx context.Context, id string) (Queue, error) {
	op := "read queue of connector " + id
	var out struct {
		Node *connectorNode `json:"connector"`
	}
	err := c.call(ctx, op, request{queueQuery, map[string]any{"id": id}}, &out)
	switch {
	case err != nil && isUnknownConnector(err):
		return Queue{}, unknownConnector(op, err)
	case err != nil:
		return Queue{}, err
	case out.Node == nil:
		return Queue{}, unknownConnector(op, nil)
	case out.Node.Queue == nil:
		return Queue{}, incomplete(op)
	}
	return Queue{Messages: int64(out.Node.Queue.Number), Bytes: int64(out.Node.Queue.Size)}, nil
}
