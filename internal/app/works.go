package app

import (
	"context"

	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline"
)

// AddWork implements pipeline.WorkClient.
func (p *platform) AddWork(ctx context.Context, name string, multipart *bool) (string, error) {
	id, err := p.client.AddWork(ctx, p.input.ID, name, multipart)
	return id, known(err)
}

// Work implements pipeline.WorkClient.
func (p *platform) Work(ctx context.Context, id string) (pipeline.WorkInfo, error) {
	w, err := p.client.Work(ctx, id)
	return workInfo(w), known(err)
}

// WorksByName implements pipeline.WorkClient.
func (p *platform) WorksByName(ctx context.Context, suffix string) ([]pipeline.WorkInfo, error) {
	works, err := p.client.WorksByName(ctx, p.input.ID, suffix)
	infos := make([]pipeline.WorkInfo, len(works))
	for i, w := range works {
		infos[i] = workInfo(w)
	}
	return infos, known(err)
}

// WorkAlive implements pipeline.WorkClient.
func (p *platform) WorkAlive(ctx context.Context, id string) (bool, error) {
	alive, err := p.client.WorkAlive(ctx, id)
	return alive, known(err)
}

// AddExpectations implements pipeline.WorkClient.
func (p *platform) AddExpectations(ctx context.Context, id string, n int64) error {
	return known(p.client.AddExpectations(ctx, id, int(n)))
}

// ReportExpectation implements pipeline.WorkClient.
func (p *platform) ReportExpectation(ctx context.Context, id, reason, source string) error {
	return known(p.client.ReportExpectation(ctx, id, reason, source))
}

// Processed implements pipeline.WorkClient.
func (p *platform) Processed(ctx context.Context, id, message string, inError bool) error {
	return known(p.client.Processed(ctx, id, message, inError))
}

// DeleteWork implements pipeline.WorkClient.
func (p *platform) DeleteWork(ctx context.Context, id string) error {
	return known(p.client.DeleteWork(ctx, id))
}

func workInfo(w opencti.Work) pipeline.WorkInfo {
	return pipeline.WorkInfo{
		ID: w.ID, Name: w.Name, Complete: w.Status == opencti.WorkComplete, Closed: !w.ProcessedTime.IsZero(),
		Expected: w.Expected, Processed: w.Processed, Opened: w.Timestamp,
	}
}

var (
	_ pipeline.PlatformClient = (*platform)(nil)
	_ pipeline.WorkClient     = (*platform)(nil)
	_ pipeline.Publisher      = (*publisher)(nil)
	_ pipeline.Archive        = archive{}
)
