package app

import (
	"context"
	"time"

	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/threatmatch"
)

// source lets fetch use the ThreatMatch client.
type source struct{ *threatmatch.Client }

// List implements pipeline.Source.
func (s source) List(ctx context.Context, dataset string, since time.Time) (pipeline.SourceList, error) {
	l, err := s.Client.List(ctx, dataset, since)
	return pipeline.SourceList(l), err
}

// Item implements pipeline.Source.
func (s source) Item(ctx context.Context, dataset, id string) (pipeline.SourceItem, error) {
	b, err := s.Client.Item(ctx, dataset, id)
	return pipeline.SourceItem{Body: b.Bytes, Date: b.Date}, err
}

// Groups implements pipeline.Source.
func (s source) Groups(ctx context.Context) ([]pipeline.SourceGroup, error) {
	groups, err := s.Client.Groups(ctx)
	all := make([]pipeline.SourceGroup, len(groups))
	for i, g := range groups {
		all[i] = pipeline.SourceGroup(g)
	}
	return all, err
}

// Page implements pipeline.Source.
func (s source) Page(ctx context.Context, group, stixType, after string) (pipeline.SourcePage, error) {
	p, err := s.Client.Page(ctx, group, stixType, after)
	page := pipeline.SourcePage{Body: p.Bytes, More: p.More, Date: p.Date, Objects: make([]pipeline.SourceObject, len(p.Objects))}
	for i, o := range p.Objects {
		page.Objects[i] = pipeline.SourceObject{ID: o.ID, Modified: o.Modified, Raw: o.Raw}
	}
	return page, err
}

var _ pipeline.Source = source{}
