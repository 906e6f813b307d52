package deliver

import (
	"context"
	"iter"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline"
)

// keepAlive makes the stage beat during every call to the outside, however long it
// takes.
func (d *Deps) keepAlive() {
	d.Platform = alivePlatform{d.Platform, d.Status}
	if d.Works != nil {
		d.Works = aliveWorks{d.Works, d.Status}
	}
	if d.Publisher != nil {
		d.Publisher = alivePublisher{d.Publisher, d.Status}
	}
	if d.Archive != nil {
		d.Archive = aliveArchive{d.Archive, d.Status}
	}
}

type aliveWorks struct {
	WorkClient
	status *pipeline.Status
}

func (a aliveWorks) AddWork(ctx context.Context, name string, multipart *bool) (string, error) {
	defer a.status.Waiting(stageName)()
	return a.WorkClient.AddWork(ctx, name, multipart)
}

func (a aliveWorks) Work(ctx context.Context, id string) (opencti.Work, error) {
	defer a.status.Waiting(stageName)()
	return a.WorkClient.Work(ctx, id)
}

func (a aliveWorks) WorksByName(ctx context.Context, suffix string) ([]opencti.Work, error) {
	defer a.status.Waiting(stageName)()
	return a.WorkClient.WorksByName(ctx, suffix)
}

func (a aliveWorks) WorkAlive(ctx context.Context, id string) (bool, error) {
	defer a.status.Waiting(stageName)()
	return a.WorkClient.WorkAlive(ctx, id)
}

func (a aliveWorks) PushBundle(ctx context.Context, workID string, bundle []byte) error {
	defer a.status.Waiting(stageName)()
	return a.WorkClient.PushBundle(ctx, workID, bundle)
}

func (a aliveWorks) AddExpectations(ctx context.Context, id string, n int64) error {
	defer a.status.Waiting(stageName)()
	return a.WorkClient.AddExpectations(ctx, id, n)
}

func (a aliveWorks) ReportExpectation(ctx context.Context, id, reason, source string) error {
	defer a.status.Waiting(stageName)()
	return a.WorkClient.ReportExpectation(ctx, id, reason, source)
}

func (a aliveWorks) Processed(ctx context.Context, id, message string, inError bool) error {
	defer a.status.Waiting(stageName)()
	return a.WorkClient.Processed(ctx, id, message, inError)
}

func (a aliveWorks) DeleteWork(ctx context.Context, id string) error {
	defer a.status.Waiting(stageName)()
	return a.WorkClient.DeleteWork(ctx, id)
}

type alivePublisher struct {
	Publisher
	status *pipeline.Status
}

func (a alivePublisher) Send(ctx context.Context, b delivery.Batch) error {
	defer a.status.Waiting(stageName)()
	return a.Publisher.Send(ctx, b)
}

func (a alivePublisher) QueueDepth(ctx context.Context, queue string) (int, error) {
	defer a.status.Waiting(stageName)()
	return a.Publisher.QueueDepth(ctx, queue)
}

type aliveArchive struct {
	Archive
	status *pipeline.Status
}

func (a aliveArchive) Write(ctx context.Context, b delivery.DirectoryBundle, objects iter.Seq2[[]byte, error]) error {
	defer a.status.Waiting(stageName)()
	return a.Archive.Write(ctx, b, objects)
}

type alivePlatform struct {
	Platform
	status *pipeline.Status
}

func (a alivePlatform) Registration(ctx context.Context) (opencti.Registration, error) {
	defer a.status.Waiting(stageName)()
	return a.Platform.Registration(ctx)
}

func (a alivePlatform) Renew(ctx context.Context, reason string) error {
	defer a.status.Waiting(stageName)()
	return a.Platform.Renew(ctx, reason)
}

func (a alivePlatform) QueueSize(ctx context.Context) (opencti.QueueSize, error) {
	defer a.status.Waiting(stageName)()
	return a.Platform.QueueSize(ctx)
}

func (a alivePlatform) Discard(ctx context.Context, name, id string) error {
	defer a.status.Waiting(stageName)()
	return a.Platform.Discard(ctx, name, id)
}

func (a alivePlatform) DeleteOld(ctx context.Context) error {
	defer a.status.Waiting(stageName)()
	return a.Platform.DeleteOld(ctx)
}
