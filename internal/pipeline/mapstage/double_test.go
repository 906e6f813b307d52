package mapstage

import (
	"context"
	"errors"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/stix"
)

// plainMapper passes objects on unchanged, with the author and the markings of the
// real mapper, so that tests control exactly what goes in.
type plainMapper struct {
	*mapping.Mapper
	panicOn string // a source id
}

func (p *plainMapper) Map(src mapping.Source, body []byte) mapping.Result {
	if src.ID == p.panicOn {
		panic("boom")
	}
	res := mapping.Result{Counts: mapping.Counts{}}
	normal, err := stix.Normalize(nil, body)
	if err != nil {
		res.Dead = append(res.Dead, mapping.Dead{Raw: body, Class: mapping.DeadBody, Reason: err.Error()})
		return res
	}
	list, _ := stix.Member(normal, "objects")
	for raw := range stix.Elements(list) {
		o, err := stix.Decode(raw)
		if err != nil {
			res.Dead = append(res.Dead, mapping.Dead{Raw: raw, Class: mapping.DeadElement, Reason: err.Error()})
			continue
		}
		o.Distrust(src.Fetched)
		if src.Mapped {
			p.Unfill(src.Dataset, o)
		}
		p.EnsureAuthor(o)
		fillMarking(o)
		res.Objects = append(res.Objects, o)
	}
	return res
}

// fillMarking gives an object without a marking the default level, as the real mapper does.
func fillMarking(o *stix.Object) {
	if amber, _ := stix.FindTLP("amber"); !o.Has("object_marking_refs") && o.Type() != "marking-definition" {
		o.Fill("object_marking_refs", []string{amber.ID})
	}
}

// errDied stands for the end of the process; tests let it pass the mapper's guard.
var errDied = errors.New("the process died")

// fakeResolver is what the platform knows.
type fakeResolver struct {
	known map[string]string
	err   error
	asked []string
	hold  func() // while a question is under way; nil: nothing
}

func (r *fakeResolver) Known(_ context.Context, ids []string) (map[string]string, error) {
	if r.hold != nil {
		r.hold()
	}
	if r.err != nil {
		return nil, r.err
	}
	found := map[string]string{}
	for _, id := range ids {
		r.asked = append(r.asked, id)
		if kind, ok := r.known[id]; ok {
			found[id] = kind
		}
	}
	return found, nil
}
