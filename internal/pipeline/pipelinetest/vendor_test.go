package pipelinetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/internal/threatmatch"
)

// vendor is a ThreatMatch whose items change, and which fails as told. It records
// the newest version of each object that it ever returned.
type vendor struct {
	mu     sync.Mutex
	r      *rand.Rand
	items  map[string][]time.Time // by dataset: when each changed last
	pages  *pipelinetest.Pager
	wait   time.Duration // of each answer
	fail   func(call string) error
	served map[string]string // by STIX id: modified
	calls  int
	other  func(n int) int // of which malware an item speaks, too; nil: of one that may come later or never
}

func newVendor(r *rand.Rand) *vendor {
	return &vendor{r: r, items: map[string][]time.Time{}, pages: &pipelinetest.Pager{Size: 20}, served: map[string]string{}}
}

// change adds and changes items.
func (v *vendor) change(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, d := range []string{"profiles", "alerts", "reports"} {
		for range v.r.IntN(5) {
			if known := len(v.items[d]); known > 0 && v.r.IntN(3) == 0 {
				v.items[d][v.r.IntN(known)] = now
			} else {
				v.items[d] = append(v.items[d], now)
			}
		}
	}
	for range v.r.IntN(4) {
		at := now.Truncate(time.Millisecond).Add(time.Duration(len(v.pages.Objects)%1000) * time.Millisecond)
		v.pages.AddAs(at, at.UTC().Format(pipelinetest.Millis))
		o := &v.pages.Objects[len(v.pages.Objects)-1]
		o.ID = stixID("indicator", len(v.pages.Objects))
		o.Raw = object(o.ID, at, "pattern", "[ipv4-addr:value = '192.0.2.1']", "pattern_type", "stix", "valid_from", o.Modified)
	}
}

func stixID(kind string, n int) string {
	return fmt.Sprintf("%s--00000000-0000-4000-8000-%012d", kind, n)
}

// object is a STIX object with further members.
func object(id string, modified time.Time, members ...any) json.RawMessage {
	kind, _, _ := strings.Cut(id, "--")
	at := modified.UTC().Format(pipelinetest.Millis)
	o := map[string]any{
		"type": kind, "spec_version": "2.1", "id": id, "created": at, "modified": at, "name": id, "published": at,
		"report_types": []string{"threat-report"}, "is_family": false, "identity_class": "organization",
	}
	for i := 0; i+1 < len(members); i += 2 {
		o[members[i].(string)] = members[i+1]
	}
	text, _ := json.Marshal(o)
	return text
}

// item is the content of one item: a report on its own malware and that of another
// item, on an organisation that many share, and the relationships between them. The
// other item may arrive later or never.
func (v *vendor) item(dataset, id string) ([]json.RawMessage, error) {
	n, err := strconv.Atoi(id)
	if err != nil || n >= len(v.items[dataset]) {
		return nil, pipelinetest.AnswerError(404)
	}
	at := v.items[dataset][n]
	n = n*3 + slices.Index([]string{"profiles", "alerts", "reports"}, dataset)
	malware, other := stixID("malware", n), stixID("malware", (n*7+1)%(n+20))
	if other == malware {
		other = stixID("malware", n+1)
	}
	if v.other != nil {
		other = stixID("malware", v.other(n))
	}
	organisation := stixID("identity", n%17)
	return []json.RawMessage{
		object(malware, at), object(organisation, time.Unix(9e8, 0)),
		object(stixID("report", n), at, "object_refs", []string{malware, other, organisation}),
		object(stixID("relationship", n), at, "relationship_type", "targets", "source_ref", malware, "target_ref", organisation),
		object(stixID("relationship", n+1e6), at, "relationship_type", "related-to", "source_ref", malware, "target_ref", other),
	}, nil
}

// answer lets a call through, and records what it returns.
func (v *vendor) answer(ctx context.Context, call string, body func() ([]json.RawMessage, error)) ([]byte, error) {
	v.mu.Lock()
	v.calls++
	wait, fail := v.wait, v.fail
	v.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(wait):
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if fail != nil {
		if err := fail(call); err != nil {
			return nil, err
		}
	}
	objects, err := body()
	if err != nil {
		return nil, err
	}
	for _, raw := range objects {
		var o struct{ ID, Modified string }
		if err := json.Unmarshal(raw, &o); err != nil {
			return nil, err
		}
		v.served[o.ID] = max(v.served[o.ID], o.Modified)
	}
	return json.Marshal(map[string]any{"objects": objects})
}

func (v *vendor) Item(ctx context.Context, dataset, id string) (threatmatch.Body, error) {
	body, err := v.answer(ctx, "item "+dataset+"/"+id, func() ([]json.RawMessage, error) { return v.item(dataset, id) })
	return threatmatch.Body{Bytes: body}, err
}

func (v *vendor) List(ctx context.Context, dataset string, since time.Time) (threatmatch.List, error) {
	applied := since.Truncate(time.Minute)
	var ids []string
	_, err := v.answer(ctx, "list", func() ([]json.RawMessage, error) {
		for id, at := range v.items[dataset] {
			if !at.Before(applied) {
				ids = append(ids, strconv.Itoa(id))
			}
		}
		return nil, nil
	})
	return threatmatch.List{IDs: threatmatch.NamesOf(ids...), Count: len(ids), Applied: applied, Date: time.Now()}, err
}

func (v *vendor) Page(ctx context.Context, group, stixType, after string) (page threatmatch.Page, err error) {
	_, err = v.answer(ctx, "page", func() ([]json.RawMessage, error) {
		page = v.pages.Page(after)
		page.Date = time.Now()
		var raw []json.RawMessage
		for o := range page.Objects {
			raw = append(raw, o.Raw)
		}
		return raw, nil
	})
	return page, err
}

func (v *vendor) Groups(ctx context.Context) ([]threatmatch.Group, error) {
	_, err := v.answer(ctx, "groups", func() ([]json.RawMessage, error) { return nil, nil })
	return []threatmatch.Group{{ID: "1", Name: "All content"}}, err
}

func (v *vendor) Control(ctx context.Context) error {
	_, err := v.answer(ctx, "control", func() ([]json.RawMessage, error) { return nil, nil })
	return err
}

func (v *vendor) Details(ctx context.Context, dataset, id string) (threatmatch.Body, error) {
	return v.Item(ctx, dataset, id)
}
