package config

import (
	"log/slog"
	"time"
)

// Config is the connector's settings, checked. It is read-only after Load and
// safe to share.
type Config struct {
	OpenCTI     OpenCTI
	Connector   Connector
	ThreatMatch ThreatMatch
	Choices     Choices
	MQ          MQ
	Spool       Spool
	Bundle      Bundle
	Admin       Admin
	Network     Network

	interval int // minutes, from the setting before connector.duration_period; zero if not given
}

// OpenCTI is how the platform is reached.
type OpenCTI struct {
	URL           string // base address without a trailing slash; "" only offline
	Token         Secret
	SSLVerify     bool     // check the platform's certificate; see Config.OpenCTICAs
	SSLCA         PEM      // certificates given instead of a yes to ssl_verify
	CustomHeaders []Header // sent with every request to the platform
	JSONLogging   bool     // logs as JSON lines; otherwise as text for people
}

// Header is one HTTP header to add to requests.
type Header struct {
	Name  string
	Value Secret
}

// Connector is how the platform sees the connector, and how it runs.
type Connector struct {
	ID       string // UUIDv4
	Type     string // always EXTERNAL_IMPORT
	Name     string
	Scope    []string
	LogLevel slog.Level

	DurationPeriod  Period // between two runs; zero means one run, see Config.Once
	RunAndTerminate bool
	RunTimeout      time.Duration // longest time of a single run; zero means none
	DrainTimeout    time.Duration // for outstanding confirms at a stop

	QueueThresholdMB int    // megabytes (10^6 bytes) in the platform's queue above which delivery pauses
	QueueProtocol    string // amqp or api, see Config.Pushes

	SendToQueue                  bool
	SendToDirectory              bool
	SendToDirectoryPath          string // "" if not given
	SendToDirectoryRetentionDays int    // zero keeps them for ever
	ValidateBeforeImport         bool   // always false

	ExposeMetrics    bool
	MetricsAddress   string // host or IP address to listen on; "" means all interfaces
	MetricsPort      int
	MetricsNamespace string
	MetricsSubsystem string

	ConfigPrecedence string // file or env

	ConfidenceLevel    int  // as given, 0-100; zero means none, 1-4 are the scale of the first documentation
	UpdateExistingData bool // the message's update flag
}

// ThreatMatch is what is fetched, how, and what is made of it.
type ThreatMatch struct {
	URL          string // base address without a trailing slash
	ClientID     string
	ClientSecret Secret

	ImportFromDate Start
	ImportProfiles bool
	ImportAlerts   bool
	ImportReports  bool
	ImportIOCs     bool

	TLPLevel                  string // clear, white, green, amber, amber+strict, red
	ThreatActorAsIntrusionSet bool
	ImportLabels              string // knowledge, all, none
	DescriptionFormat         string // markdown, text
	CreateObservables         bool
	TAXIIGroup                string
	TAXIITypes                []string // STIX types

	MaxConcurrency    int     // requests at a time
	RequestsPerSecond float64 // above zero
	MaxAttempts       int     // runs after which a parked item is a dead letter
	MaxBody           int64   // bytes of one answer
	WindowOverlap     time.Duration
	ResendAfter       time.Duration // zero means always send
	HoldUnresolved    time.Duration
}

// Datasets returns the names of the datasets that are switched on, in the order in which they are fetched.
func (t ThreatMatch) Datasets() []string {
	var names []string
	for _, d := range []struct {
		name string
		on   bool
	}{{"profiles", t.ImportProfiles}, {"alerts", t.ImportAlerts}, {"reports", t.ImportReports}, {"iocs", t.ImportIOCs}} {
		if d.on {
			names = append(names, d.name)
		}
	}
	return names
}

// MQ holds what replaces the broker's address and credentials that the platform names at registration, and how the
// broker's certificate is checked.
type MQ struct {
	Host  string // "" means as registered
	Port  int    // zero means as registered
	VHost string // "" means as registered
	User  string // "" means as registered
	Pass  Secret // not set means as registered

	UseSSL *bool // nil means as registered

	SSLCA                 PEM // in addition to the system's certificates
	SSLCert               PEM // of the client
	SSLKey                PEM // of the client
	SSLPassphrase         Secret
	SSLRejectUnauthorized bool // check the broker's certificate

	ConfirmWindow  int   // messages published and not yet confirmed
	MaxMessageSize int64 // bytes; zero leaves it to the broker
}

// Spool is the store on disk.
type Spool struct {
	Dir         string
	MaxSize     int64         // bytes of live data
	KeepRecords time.Duration // raw records after delivery; zero means not kept
	ForgetAfter time.Duration // ids not seen for that long
}

// Bundle says when a bundle is closed: as soon as one of the limits is reached.
type Bundle struct {
	MaxObjects int
	MaxBytes   int64
	MaxWait    time.Duration
}

// Admin is how the commands reach a running daemon.
type Admin struct {
	Socket string // path of the unix socket
	Page   bool   // serve the page at /ui/ beside the metrics
}

// Network is what all HTTP clients share. RabbitMQ is never reached through a proxy.
type Network struct {
	HTTPProxy  Secret // may hold a password
	HTTPSProxy Secret // may hold a password
	NoProxy    string // as in golang.org/x/net/http/httpproxy

	CACertificates PEM // HTTPS_CA_CERTIFICATES; forces the check of certificates
	CABundle       PEM // REQUESTS_CA_BUNDLE
}

// Once reports whether the connector makes one run and exits, as CONNECTOR_RUN_AND_TERMINATE or a zero period asks
// for.
func (c *Config) Once() bool {
	return c.Connector.RunAndTerminate || c.Connector.DurationPeriod.IsZero()
}

// Offline reports whether there is no platform: bundles go to a directory only.
func (c *Config) Offline() bool {
	return !c.Connector.SendToQueue && c.OpenCTI.URL == "" && !c.OpenCTI.Token.IsSet()
}

// Pushes reports whether bundles go to the platform through its API, not to RabbitMQ.
func (c *Config) Pushes() bool {
	return c.Connector.SendToQueue && c.Connector.QueueProtocol == protocolAPI
}

// VerifyOpenCTI reports whether the platform's certificate is checked. Like pycti we check it in any case if
// HTTPS_CA_CERTIFICATES is given.
func (c *Config) VerifyOpenCTI() bool {
	return c.OpenCTI.SSLVerify || c.Network.CACertificates.IsSet()
}

// OpenCTICAs returns certificates in PEM to trust besides the system's when talking to the platform; empty if there
// are none.
func (c *Config) OpenCTICAs() []byte {
	return joinPEM(c.OpenCTI.SSLCA, c.Network.CACertificates, c.Network.CABundle)
}

// ThreatMatchCAs returns certificates in PEM to trust besides the system's when talking to ThreatMatch; empty if
// there are none.
func (c *Config) ThreatMatchCAs() []byte {
	return joinPEM(c.Network.CACertificates, c.Network.CABundle)
}
