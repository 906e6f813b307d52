package opencti

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"threatmatch-connector/internal/fault"
)

// maxRequest is the largest request in bytes that a platform accepts unless its operator chose another limit
// (app:max_payload_body_size).
const maxRequest = 50_000_000

// MaxBundle bounds a bundle of several objects, in bytes. Its message, a third larger, stays below the 16 MiB that
// RabbitMQ accepts by default, and its request far below maxRequest.
const MaxBundle = 8 << 20

// pushTimeout is the timeout of OpenCTI's own client: the platform may have to queue hundreds of messages.
const pushTimeout = 5 * time.Minute

var (
	// ErrTooLarge: the request is larger than the platform, or a gateway in front of it, accepts.
	ErrTooLarge = errors.New("larger than OpenCTI accepts")
	// ErrNotTaken: the platform did not queue a bundle and does not say why. It may not know the connector, its
	// broker may be away, full or refuse messages of that size, or the bundle may be bad.
	ErrNotTaken = errors.New("OpenCTI did not queue the bundle")
)

const pushQuery = `mutation StixBundlePush($connectorId: String!, $bundle: String!, $work_id: String) {
 stixBundlePush(connectorId: $connectorId, bundle: $bundle, work_id: $work_id) }`

// PushBundle has the platform queue a bundle for its workers under the work. Workers split a bundle of several
// objects and announce its messages themselves; nobody announces one of a single object. After an error the bundle
// may have been queued nevertheless, except after ErrTooLarge and a systemic one. Returns ErrTooLarge, ErrNotTaken,
// ErrUnknownConnector and ErrWorkGone.
func (c *Client) PushBundle(ctx context.Context, workID string, bundle []byte) error {
	op := "push a bundle of work " + workID
	var out struct {
		Queued bool `json:"stixBundlePush"`
	}
	vars := map[string]any{"connectorId": c.opt.Connector.ID, "bundle": string(bundle), "work_id": workID}
	err := c.call(ctx, op, request{pushQuery, vars, pushTimeout}, &out)
	if err == nil && !out.Queued {
		return incomplete(op)
	}
	return pushError(op, err)
}

// pushError says what a refused push means. The platform answers most refusals with one code and one message,
// whatever the cause.
func pushError(op string, err error) error {
	e, answered := errors.AsType[*Error](err)
	switch {
	case !answered:
		return err
	case e.Status == http.StatusRequestEntityTooLarge:
		return fault.Mark(fault.Permanent, fmt.Errorf("%s: %w: %w", op, ErrTooLarge, e))
	case isValidation(err):
		return fault.Hint(fault.Mark(fault.Systemic, fmt.Errorf("%s: this OpenCTI accepts no bundles through its API: %w", op, e)),
			"set connector.queue_protocol to amqp, or upgrade OpenCTI")
	case isGone(err):
		return workGone(op, err)
	case isUnknownConnector(err):
		return unknownConnector(op, err)
	case fault.Is(err, fault.Permanent):
		return fault.Hint(fault.Mark(fault.Transient, fmt.Errorf("%s: %w: %w", op, ErrNotTaken, e)),
			"look at the log of OpenCTI: the connector may be unknown there, or its RabbitMQ may be down, full or refusing messages of that size")
	}
	return err
}

// TryPush checks whether the platform, and what is in front of it, accepts a push of size bytes, without queueing
// anything: what it sends is not a bundle. Nil means yes.
func (c *Client) TryPush(ctx context.Context, size int) error {
	const op = "try to push a bundle"
	text := `{"type":"none","fill":"` + strings.Repeat("0", size) + `"}`
	vars := map[string]any{"connectorId": c.opt.Connector.ID, "bundle": text, "work_id": "none"}
	err := pushError(op, c.call(ctx, op, request{pushQuery, vars, pushTimeout}, &struct{}{}))
	if errors.Is(err, ErrNotTaken) {
		return nil // as expected
	}
	return err
}
