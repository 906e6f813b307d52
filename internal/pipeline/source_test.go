package pipeline

import (
	"context"
	"time"

	"threatmatch-connector/internal/threatmatch"
)

// tmSource is the real client behind the stage's interface, as the program wires it.
type tmSource struct{ c *threatmatch.Client }

func (s tmSource) List(ctx context.Context, dataset string, since time.Time) (SourceList, error) {
	l, err := s.c.List(ctx, dataset, since)
	return SourceList{IDs: l.IDs, Unusable: l.Unusable, Applied: l.Applied, Date: l.Date}, err
}

func (s tmSource) Item(ctx context.Context, dataset, id string) (SourceItem, error) {
	b, err := s.c.Item(ctx, dataset, id)
	return SourceItem{Body: b.Bytes, Date: b.Date}, err
}

func (s tmSource) Groups(ctx context.Context) ([]SourceGroup, error) {
	all, err := s.c.Groups(ctx)
	var out []SourceGroup
	for _, g := range all {
		out = append(out, SourceGroup(g))
	}
	return out, err
}

func (s tmSource) Page(ctx context.Context, group, stixType, after string) (SourcePage, error) {
	p, err := s.c.Page(ctx, group, stixType, after)
	out := SourcePage{Body: p.Bytes, More: p.More, Date: p.Date}
	for _, o := range p.Objects {
		out.Objects = append(out.Objects, SourceObject{ID: o.ID, Modified: o.Modified, Raw: o.Raw})
	}
	return out, err
}

func (s tmSource) Control(ctx context.Context) error { return s.c.Control(ctx) }
