package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"threatmatch-connector/spool"
)

// ErrNoConnector is what a PlatformClient's errors wrap when OpenCTI does not
// know the connector (any more).
var ErrNoConnector = errors.New("connector unknown to OpenCTI")

// PlatformClient is what the platform loop needs of OpenCTI's API. Errors are
// marked with fault classes. The loop calls it from one goroutine at a time.
type PlatformClient interface {
	// Register announces the connector. OpenCTI (re)declares exchange and queue
	// and answers with the stored state, which it does not change.
	Register(ctx context.Context) (Registration, error)
	// Ping stores state and info, and answers what the platform holds then.
	Ping(ctx context.Context, state string, info ConnectorInfo) (Echo, error)
	// Queue returns the size of the connector's queue as the platform sees it,
	// which may lag some seconds.
	Queue(ctx context.Context) (QueueSize, error)
}

// Registration is OpenCTI's answer to a registration.
type Registration struct {
	Echo
	Applicant  string // user id under which messages are imported
	Exchange   string
	RoutingKey string
	Queue      string // name of the queue behind the two
	Version    string // of the platform, for the log
	Affected   bool   // it drops messages of an older work once a newer one reports; also when its version is unreadable
	Multipart  bool   // works can be announced as coming in several parts
	Broker     Broker
}

// Broker is where the messages go. It holds a secret: never print it.
type Broker struct {
	Host, VHost    string
	Port           int
	TLS            bool
	User, Password string
}

// LogValue keeps the password out of logs.
func (b Broker) LogValue() slog.Value {
	return slog.GroupValue(slog.String("host", b.Host), slog.Int("port", b.Port), slog.String("vhost", b.VHost), slog.String("user", b.User))
}

// String keeps the password out of texts.
func (b Broker) String() string { return fmt.Sprintf("%s@%s:%d%s", b.User, b.Host, b.Port, b.VHost) }

// Echo is the state that OpenCTI holds of the connector.
type Echo struct {
	State string    // as answered; "" and "null" mean none
	Reset time.Time // when the state was last reset; zero where the platform does not say
}

// ConnectorInfo is what OpenCTI shows of a connector.
type ConnectorInfo struct {
	RunAndTerminate bool
	Buffering       bool
	QueueThreshold  float64 // MB
	QueueSize       float64 // MB
	NextRun         time.Time
	LastRun         time.Time
}

// QueueSize is the size of the connector's queue.
type QueueSize struct {
	Messages int64
	Bytes    int64
}

// MB returns the size in decimal megabytes, the unit of the threshold.
func (q QueueSize) MB() float64 { return float64(q.Bytes) / 1e6 }

// platformSpool is what the platform loop needs of the spool.
type platformSpool interface {
	Meta() (spool.Meta, error)
	SavePlatform(epoch uint64, notes []byte) error
	AdoptState(epoch uint64, at map[spool.Dataset]time.Time) (bool, error)
	Reset(now time.Time) (map[string]int64, []spool.Work, error)
	Watermarks() (map[spool.Dataset]spool.Watermark, error)
	Runs(before uint64, limit int) ([]spool.Run, error)
	OpenRuns() ([]spool.Run, error)
}

var _ platformSpool = (*spool.Spool)(nil)
