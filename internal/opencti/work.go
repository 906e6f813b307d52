package opencti

import (
	"context"
	"errors"
	"fmt"
	"time"

	"threatmatch-connector/internal/fault"
)

// States of a work.
const (
	workWaiting  = "wait"
	workProgress = "progress"
	workComplete = "complete"
)

// Work is the platform's record of a run.
type Work struct {
	ID, Name string
	// Complete: all its messages are processed, or it was ended.
	Complete bool
	// Closed: Processed was called for it.
	Closed bool
	// Expected and Processed count messages.
	Expected, Processed int64
	Opened              time.Time
	// Unread: the user may not read works (capability MODULES), so only ID is set.
	Unread bool
}

type workNode struct {
	ID            string    `json:"id"`
	Name          string    `json:"name"`
	Status        string    `json:"status"`
	Timestamp     time.Time `json:"timestamp"`
	ProcessedTime time.Time `json:"processed_time"`
	Tracking      struct {
		Expected  float64 `json:"import_expected_number"`
		Processed float64 `json:"import_processed_number"`
	} `json:"tracking"`
}

func (n workNode) work() Work {
	return Work{
		ID: n.ID, Name: n.Name, Complete: n.Status == workComplete, Closed: !n.ProcessedTime.IsZero(), Opened: n.Timestamp,
		Expected: int64(n.Tracking.Expected), Processed: int64(n.Tracking.Processed),
	}
}

const (
	workFields  = `id name status timestamp processed_time tracking { import_expected_number import_processed_number }`
	addQuery    = `mutation WorkAdd($connectorId: String!, $name: String) { workAdd(connectorId: $connectorId, friendlyName: $name) { id } }`
	addMultiple = `mutation WorkAdd($connectorId: String!, $name: String, $multipart: Boolean) {
 workAdd(connectorId: $connectorId, friendlyName: $name, isMultiPartWork: $multipart) { id } }`
	expectQuery    = `mutation AddExpectations($id: ID!, $n: Int) { workEdit(id: $id) { addExpectations(expectations: $n) } }`
	reportQuery    = `mutation ReportExpectation($id: ID!, $error: WorkErrorInput) { workEdit(id: $id) { reportExpectation(error: $error) } }`
	processedQuery = `mutation WorkProcessed($id: ID!, $message: String, $inError: Boolean) { workEdit(id: $id) { toProcessed(message: $message, inError: $inError) } }`
	deleteQuery    = `mutation WorkDelete($id: ID!) { workEdit(id: $id) { delete } }`
	workQuery      = `query Work($id: ID!) { work(id: $id) { ` + workFields + ` } }`
	aliveQuery     = `query WorkAlive($id: ID!) { isWorkAlive(id: $id) }`
	errorsQuery    = `query WorkErrors($id: ID!) { work(id: $id) { ` + workFields + ` errors { timestamp message source } } }`
	worksQuery     = `query Works($first: Int, $after: ID, $filters: FilterGroup) { works(first: $first, after: $after, filters: $filters) {
 edges { node { ` + workFields + ` } } pageInfo { endCursor hasNextPage } } }`
)

// AddWork opens a work and returns its id. A multipart work does not complete before Processed, on platforms that have
// such works. If the answer is lost a work may have been opened: look with WorksByName. Returns ErrUnknownConnector.
func (c *Client) AddWork(ctx context.Context, name string, multipart bool) (string, error) {
	op := "add work " + name
	caps, err := c.capabilities(ctx)
	if err != nil {
		return "", err
	}
	req := request{Query: addQuery, Variables: map[string]any{"connectorId": c.opt.Connector.ID, "name": name}}
	if caps.MultipartWork {
		req.Query = addMultiple
		req.Variables["multipart"] = multipart
	}
	var out struct {
		Work *struct{ ID string } `json:"workAdd"`
	}
	err = c.call(ctx, op, req, &out)
	switch {
	case isUnknownConnector(err):
		return "", unknownConnector(op, err)
	case err != nil:
		if isValidation(err) {
			c.forget()
		}
		return "", err
	case out.Work == nil || out.Work.ID == "":
		return "", incomplete(op)
	}
	return out.Work.ID, nil
}

// Work reads a work, or returns ErrWorkGone. Unread is set if the user may not read works.
func (c *Client) Work(ctx context.Context, id string) (Work, error) {
	w, _, err := c.readWork(ctx, "read work "+id, workQuery, id)
	return w, err
}

// NotSent is what the connector itself reports of a message that was announced and will not be sent. Read back, it is
// not a refusal.
const NotSent = "not sent, kept as a dead letter of the connector"

// MaxWorkErrors is how many errors of a work the platform keeps.
const MaxWorkErrors = 100

// WorkError is what a worker reports about a message that the platform refused.
type WorkError struct {
	At      time.Time `json:"timestamp"`
	Message string    `json:"message"`
	// Source is the message's bundle or object as JSON; for a large one, plain text instead.
	Source string `json:"source"`
}

// WorkErrors reads a work with its errors, or returns ErrWorkGone. Unread is set if the user may not read works.
func (c *Client) WorkErrors(ctx context.Context, id string) (Work, []WorkError, error) {
	return c.readWork(ctx, "read the errors of work "+id, errorsQuery, id)
}

func (c *Client) readWork(ctx context.Context, op, query, id string) (Work, []WorkError, error) {
	var out struct {
		Work *struct {
			workNode
			Errors []WorkError `json:"errors"`
		} `json:"work"`
	}
	err := c.call(ctx, op, request{Query: query, Variables: map[string]any{"id": id}}, &out)
	switch {
	case IsForbidden(err):
		return Work{ID: id, Unread: true}, nil, nil
	case isGone(err):
		return Work{}, nil, workGone(op, err)
	case err != nil:
		return Work{}, nil, err
	case out.Work == nil:
		return Work{}, nil, workGone(op, nil)
	}
	return out.Work.work(), out.Work.Errors, nil
}

// WorkAlive reports whether workers still accept messages of the work. If the platform cannot say (before 6.8.6), a
// work that exists is alive; if the user may not ask, every work is.
func (c *Client) WorkAlive(ctx context.Context, id string) (bool, error) {
	c.mu.Lock()
	asked := !c.noAlive
	c.mu.Unlock()
	if asked {
		var out struct {
			Alive bool `json:"isWorkAlive"`
		}
		err := c.call(ctx, "check work "+id, request{Query: aliveQuery, Variables: map[string]any{"id": id}}, &out)
		switch {
		case err == nil:
			return out.Alive, nil
		case IsForbidden(err):
			return true, nil
		case isGone(err):
			return false, nil
		case !isValidation(err):
			return false, err
		}
		c.mu.Lock()
		c.noAlive = true
		c.mu.Unlock()
	}
	_, err := c.Work(ctx, id)
	if errors.Is(err, ErrWorkGone) {
		return false, nil
	}
	return err == nil, err
}

// worksPage and worksPages bound the search: open works are few, since the platform ends them.
const (
	worksPage  = 100
	worksPages = 20
)

// WorksByName returns the connector's open works of that name, newest first; none if the user may not search.
func (c *Client) WorksByName(ctx context.Context, name string) ([]Work, error) {
	connectorID := c.opt.Connector.ID
	op := "search works of connector " + connectorID
	filters := map[string]any{
		"mode": "and", "filterGroups": []any{},
		"filters": []any{
			map[string]any{"key": []string{"connector_id"}, "values": []string{connectorID}},
			map[string]any{"key": []string{"status"}, "values": []string{workWaiting, workProgress}},
		},
	}
	var found []Work
	vars := map[string]any{"first": worksPage, "filters": filters}
	for range worksPages {
		var out struct {
			Works struct {
				Edges []struct {
					Node workNode `json:"node"`
				} `json:"edges"`
				Page struct {
					End  string `json:"endCursor"`
					More bool   `json:"hasNextPage"`
				} `json:"pageInfo"`
			} `json:"works"`
		}
		err := c.call(ctx, op, request{Query: worksQuery, Variables: vars}, &out)
		if IsForbidden(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, e := range out.Works.Edges {
			if e.Node.Name == name {
				found = append(found, e.Node.work())
			}
		}
		if !out.Works.Page.More || out.Works.Page.End == "" {
			break
		}
		vars["after"] = out.Works.Page.End
	}
	return found, nil
}

// AddExpectations announces n messages. OpenCTI accepts it silently even if the work is gone; ask WorkAlive first.
func (c *Client) AddExpectations(ctx context.Context, id string, n int64) error {
	return c.edit(ctx, "announce messages of work ", id, expectQuery, map[string]any{"n": n})
}

// ReportExpectation settles one announced message that will not be sent. If errText is not "", the work shows it as
// an error about source.
func (c *Client) ReportExpectation(ctx context.Context, id, errText, source string) error {
	var report any
	if errText != "" {
		report = map[string]any{"error": errText, "source": source}
	}
	return c.edit(ctx, "settle a message of work ", id, reportQuery, map[string]any{"error": report})
}

// Processed tells the platform that everything of the work was sent. The work completes once its messages are
// processed.
func (c *Client) Processed(ctx context.Context, id, message string, inError bool) error {
	return c.edit(ctx, "finish work ", id, processedQuery, map[string]any{"message": message, "inError": inError})
}

// DeleteWork deletes one of our works. It is not an error if the work is gone already.
func (c *Client) DeleteWork(ctx context.Context, id string) error {
	err := c.edit(ctx, "delete work ", id, deleteQuery, map[string]any{})
	if errors.Is(err, ErrWorkGone) {
		return nil
	}
	return err
}

// edit sends one workEdit; the platform refuses two in a document.
func (c *Client) edit(ctx context.Context, op, id, query string, vars map[string]any) error {
	op += id
	vars["id"] = id
	var out struct {
		Work map[string]any `json:"workEdit"`
	}
	err := c.call(ctx, op, request{Query: query, Variables: vars}, &out)
	switch {
	case isGone(err):
		return workGone(op, err)
	case err != nil:
		return err
	case out.Work == nil:
		return workGone(op, nil)
	}
	return nil
}

// incomplete is the error of a response that lacks what was asked for.
func incomplete(op string) error {
	return fault.Mark(fault.Transient, fmt.Errorf("%s: the response lacks what was requested", op))
}
