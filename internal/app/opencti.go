package app

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline"
)

// platform lets the pipeline's loops talk to OpenCTI as one connector.
type platform struct {
	client *opencti.Client
	input  opencti.RegisterInput
	broker func(opencti.Broker) pipeline.Broker // lays our own settings over the platform's
}

// Register implements pipeline.PlatformClient. It probes first, since the
// platform may have been upgraded.
func (p *platform) Register(ctx context.Context) (pipeline.Registration, error) {
	caps, err := p.client.Probe(ctx)
	if err != nil {
		return pipeline.Registration{}, err
	}
	r, err := p.client.Register(ctx, p.input)
	if err != nil {
		return pipeline.Registration{}, known(err)
	}
	return pipeline.Registration{
		Echo:      pipeline.Echo{State: r.State, Reset: r.StateTimestamp},
		Applicant: r.UserID, Exchange: r.PushExchange, RoutingKey: r.PushRoutingKey, Queue: r.PushQueue,
		Version: caps.Version, Affected: caps.Affected(), Multipart: caps.MultipartWork,
		Broker: p.broker(r.Broker),
	}, nil
}

// Ping implements pipeline.PlatformClient.
func (p *platform) Ping(ctx context.Context, state string, info pipeline.ConnectorInfo) (pipeline.Echo, error) {
	e, err := p.client.Ping(ctx, p.input.ID, state, opencti.ConnectorInfo(info))
	return pipeline.Echo{State: e.State, Reset: e.StateTimestamp}, known(err)
}

// Queue implements pipeline.PlatformClient.
func (p *platform) Queue(ctx context.Context) (pipeline.QueueSize, error) {
	q, err := p.client.Queue(ctx, p.input.ID)
	return pipeline.QueueSize(q), known(err)
}

// known puts the pipeline's sentinels on the client's errors.
func known(err error) error {
	switch {
	case errors.Is(err, opencti.ErrUnknownConnector):
		return fmt.Errorf("%w: %w", pipeline.ErrNoConnector, err)
	case errors.Is(err, opencti.ErrWorkGone):
		return fmt.Errorf("%w: %w", pipeline.ErrNoWork, err)
	}
	return err
}

// Known implements pipeline.Resolver.
func (p *platform) Known(ctx context.Context, ids []string) (map[string]string, error) {
	types, err := p.client.Known(ctx, ids)
	for id, entity := range types {
		types[id] = kindOf(id, entity)
	}
	return types, err
}

// semver is what OpenCTI takes as the version of a connector.
var semver = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// registeredVersion returns the version to register with, "" for a build that has none.
func registeredVersion(v string) string {
	v = strings.TrimPrefix(v, "v")
	if !semver.MatchString(v) {
		return ""
	}
	return v
}

// kindOf turns OpenCTI's name of an entity type into the one that its table of
// relationships is kept by.
func kindOf(id, entity string) string {
	switch entity {
	case "Organization", "Individual", "Sector", "System":
		return "identity-" + strings.ToLower(entity)
	case "Country", "Region", "City", "Administrative-Area", "Position":
		return "location-" + strings.ToLower(entity)
	case "StixFile":
		return "stix-file"
	}
	if strings.HasPrefix(id, "relationship--") {
		return "relationship-" + strings.ToLower(entity)
	}
	return strings.ToLower(entity)
}
