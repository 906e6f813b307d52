package platform

import (
	"context"

	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline"
)

// aliveClient keeps the loop alive for the probe while a call to OpenCTI is under
// way.
type aliveClient struct {
	Client
	status *pipeline.Status
}

func (a aliveClient) Register(ctx context.Context) (opencti.Registration, error) {
	defer a.status.Waiting(stageName)()
	return a.Client.Register(ctx)
}

func (a aliveClient) Ping(ctx context.Context, state string, info opencti.ConnectorInfo) (opencti.Echo, error) {
	defer a.status.Waiting(stageName)()
	return a.Client.Ping(ctx, state, info)
}

func (a aliveClient) Stored(ctx context.Context) (opencti.Stored, error) {
	defer a.status.Waiting(stageName)()
	return a.Client.Stored(ctx)
}

func (a aliveClient) Queue(ctx context.Context) (opencti.QueueSize, error) {
	defer a.status.Waiting(stageName)()
	return a.Client.Queue(ctx)
}

// aliveWorks does the same for works.
type aliveWorks struct {
	Works
	status *pipeline.Status
}

func (a aliveWorks) Work(ctx context.Context, id string) (opencti.Work, error) {
	defer a.status.Waiting(stageName)()
	return a.Works.Work(ctx, id)
}

func (a aliveWorks) WorksByName(ctx context.Context, suffix string) ([]opencti.Work, error) {
	defer a.status.Waiting(stageName)()
	return a.Works.WorksByName(ctx, suffix)
}

func (a aliveWorks) DeleteWork(ctx context.Context, id string) error {
	defer a.status.Waiting(stageName)()
	return a.Works.DeleteWork(ctx, id)
}
