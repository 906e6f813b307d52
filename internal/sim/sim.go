// Package sim puts the stand-ins together: a ThreatMatch API, an OpenCTI
// platform in front of a real RabbitMQ, and a worker that consumes and checks,
// with an HTTP interface to watch and disturb them. The parts are packages of
// their own and can be used alone.
package sim

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/serve"
	"threatmatch-connector/internal/sim/threatmatch"
	"threatmatch-connector/internal/sim/worker"
)

// ConnectorID is the connector that Env names: the default of the Python connector.
const ConnectorID = "9850490a-4273-429b-95f8-47dacda88fbf"

// Options are those of the parts. OpenCTI.AMQPURL is required; the worker's
// broker and platform are set from it.
type Options struct {
	ThreatMatch threatmatch.Options
	OpenCTI     opencti.Options
	Worker      worker.Options
	// State is what the platform holds for ConnectorID from the start, as after a
	// move from another connector or a lost volume; "" is nothing.
	State string
	// NoWorker leaves the queues alone.
	NoWorker bool
	// AdminAddr of the interface to watch and disturb; "" is a free port of 127.0.0.1.
	AdminAddr string
	Log       *slog.Logger
}

// Sim is one set of stand-ins.
type Sim struct {
	ThreatMatch *threatmatch.Server
	OpenCTI     *opencti.Server
	Worker      *worker.Worker // nil with NoWorker
	admin       *serve.Server
	state       string
}

// New prepares the stand-ins.
func New(o Options) (*Sim, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OpenCTI.AMQPURL == "" {
		return nil, errors.New("no broker given: set --amqp-url or AMQP_URL to a RabbitMQ (deploy/rabbitmq.sh start gives one)")
	}
	o.ThreatMatch.Log = o.Log.With("part", "threatmatch")
	o.OpenCTI.Log = o.Log.With("part", "opencti")
	platform, err := opencti.New(o.OpenCTI)
	if err != nil {
		return nil, err
	}
	s := &Sim{ThreatMatch: threatmatch.New(o.ThreatMatch), OpenCTI: platform, state: o.State}
	if !o.NoWorker {
		o.Worker.AMQPURL, o.Worker.Platform, o.Worker.Log = o.OpenCTI.AMQPURL, platform, o.Log.With("part", "worker")
		s.Worker = worker.New(o.Worker)
	}
	s.admin = serve.New(o.AdminAddr, s.Handler())
	return s, nil
}

// Start begins to serve and to consume.
func (s *Sim) Start() error {
	for _, part := range []interface{ Start() error }{s.ThreatMatch, s.OpenCTI, s.admin} {
		if err := part.Start(); err != nil {
			s.Close()
			return err
		}
	}
	if s.state != "" {
		if err := errors.Join(s.OpenCTI.Connect(ConnectorID, "ThreatMatch"), s.OpenCTI.SetState(ConnectorID, s.state)); err != nil {
			s.Close()
			return err
		}
	}
	if s.Worker != nil {
		s.Worker.Start()
	}
	return nil
}

// Close ends everything.
func (s *Sim) Close() {
	if s.Worker != nil {
		s.Worker.Close()
	}
	s.ThreatMatch.Close()
	s.OpenCTI.Close()
	s.admin.Stop()
}

// AdminURL is where the interface to watch and disturb is, known after Start.
func (s *Sim) AdminURL() string { return s.admin.URL() + "/sim" }

// Env is the environment that makes a connector meet these stand-ins, as
// NAME=value. It holds (made up) secrets.
func (s *Sim) Env() []string {
	id, secret := s.ThreatMatch.Credentials()
	from := s.ThreatMatch.Source().Earliest().Add(-time.Hour).UTC().Format("2006-01-02 15:04")
	return []string{
		"OPENCTI_URL=" + s.OpenCTI.URL(),
		"OPENCTI_TOKEN=" + s.OpenCTI.ConnectorToken(),
		"CONNECTOR_ID=" + ConnectorID,
		"CONNECTOR_NAME=ThreatMatch",
		"CONNECTOR_SCOPE=threatmatch",
		"THREATMATCH_URL=" + s.ThreatMatch.URL(),
		"THREATMATCH_CLIENT_ID=" + id,
		"THREATMATCH_CLIENT_SECRET=" + secret,
		"THREATMATCH_IMPORT_FROM_DATE=" + from,
		"SIM_URL=" + s.AdminURL(),
	}
}

// WriteEnv writes Env so that a shell can read it.
func (s *Sim) WriteEnv(w io.Writer) error {
	for _, line := range s.Env() {
		name, value, _ := strings.Cut(line, "=")
		if strings.ContainsAny(value, " '\"$&;") {
			value = "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
		}
		if _, err := fmt.Fprintf(w, "%s=%s\n", name, value); err != nil {
			return err
		}
	}
	return nil
}
