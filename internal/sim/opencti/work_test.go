package opencti

import (
	"testing"
	"time"
)

func (p *platform) report(id string, n int) {
	for range n {
		p.Report(id, "", "")
	}
}

func (p *platform) want(id, status string, alive bool) {
	p.t.Helper()
	w, _ := p.Work(id)
	if w.Status != status || w.Alive != alive {
		p.t.Errorf("%s: status %s, alive %v; want %s, %v", p.Version(), w.Status, w.Alive, status, alive)
	}
}

// TestWorkRules goes through a work's life by the old and the new rules.
func TestWorkRules(t *testing.T) {
	for _, version := range ProfileNames() {
		p := newPlatform(t, Options{Version: version})
		old := p.Profile().OldWorks
		p.register()

		// Told, processed, sent: complete with the last report.
		id := p.add()
		p.edit(id, "addExpectations(expectations: 2)")
		p.report(id, 1)
		p.edit(id, `toProcessed(message: "done", inError: false)`)
		p.want(id, "progress", true)
		p.report(id, 1)
		p.want(id, "complete", true)

		// More processed than expected: only the new rule is content.
		id = p.add()
		p.edit(id, "addExpectations(expectations: 1)")
		p.edit(id, "addExpectations(expectations: 1)")
		p.report(id, 3)
		p.edit(id, `toProcessed(message: "broken", inError: true)`)
		if w, _ := p.Work(id); w.Expected != 2 || w.Processed != 3 || len(w.Errors) != 1 {
			t.Errorf("%s: %+v", version, w)
		}
		// It flipped to complete at the second report and stays so.
		p.want(id, "complete", true)

		// toProcessed on a work that is even ends its life by the old rules.
		id = p.add()
		p.edit(id, "addExpectations(expectations: 1)")
		p.report(id, 1)
		p.edit(id, `toProcessed(message: "done")`)
		p.want(id, "complete", !old)

		// Nothing expected.
		id = p.add()
		p.edit(id, `toProcessed(message: "nothing")`)
		p.want(id, "complete", true)

		id = p.add()
		p.edit(id, "delete")
		p.edit(id, "addExpectations(expectations: 1)")
		if _, ok := p.Work(id); ok {
			t.Errorf("%s: a deleted work is there", version)
		}
	}
}

func TestMultipart(t *testing.T) {
	p := newPlatform(t, Options{})
	p.register()
	id, _ := p.must(`mutation { workAdd(connectorId: "`+connectorID+`", isMultiPartWork: true) { id } }`, nil)["id"].(string)
	p.edit(id, "addExpectations(expectations: 1)")
	p.report(id, 1)
	p.want(id, "progress", true)
	p.edit(id, "addExpectations(expectations: 1)")
	p.edit(id, `toProcessed(message: "all sent")`)
	p.want(id, "progress", true)
	p.report(id, 1)
	p.want(id, "complete", true)
}

func TestCloser(t *testing.T) {
	for _, version := range []string{"7.260318", "newest"} {
		p := newPlatform(t, Options{Version: version})
		p.register()
		first := p.add()
		p.edit(first, "addExpectations(expectations: 5)")
		p.report(first, 1)
		second := p.add()
		p.edit(second, "addExpectations(expectations: 2)")
		p.CloserTick()
		p.want(first, "progress", true)
		p.report(second, 1)
		p.CloserTick()
		p.want(first, "complete", version == "newest")
		if tracking := p.must(`{ work(id: "`+first+`") { tracking { import_expected_number } } }`, nil)["tracking"].(map[string]any); (tracking["import_expected_number"] == nil) != (version != "newest") {
			t.Errorf("%s: tracking %v", version, tracking)
		}
		p.now = p.now.Add(8 * 24 * time.Hour)
		p.CloserTick()
		if len(p.Works()) != 1 {
			t.Errorf("%s: %d works after a week", version, len(p.Works()))
		}
	}
}

func TestWorksQuery(t *testing.T) {
	p := newPlatform(t, Options{})
	p.register()
	a, b, c := p.add(), p.add(), p.add()
	p.edit(b, `toProcessed(message: "x")`)
	const query = `query W($first: Int, $after: ID, $status: Any!) { works(first: $first, after: $after,
		filters: {mode: and, filters: [{key: ["connector_id"], values: ["` + connectorID + `"]}, {key: ["status"], values: [$status]}], filterGroups: []}) {
		edges { node { id status } } pageInfo { hasNextPage endCursor globalCount } } }`
	page := p.must(query, map[string]any{"first": 1, "status": "progress"})
	info := page["pageInfo"].(map[string]any)
	if got := page["edges"].([]any)[0].(map[string]any)["node"].(map[string]any)["id"]; got != c || info["hasNextPage"] != true || info["globalCount"] != 2.0 {
		t.Errorf("first page: %v", page)
	}
	page = p.must(query, map[string]any{"first": 1, "after": info["endCursor"], "status": "progress"})
	if got := page["edges"].([]any)[0].(map[string]any)["node"].(map[string]any)["id"]; got != a {
		t.Errorf("second page: %v", page)
	}
	got := p.must(`{ connector(id: "`+connectorID+`") { works(status: "complete") { id connector { name } } } }`, nil)
	if list := got["works"].([]any); len(list) != 1 || list[0].(map[string]any)["id"] != b {
		t.Errorf("works of the connector: %v", got)
	}
}
