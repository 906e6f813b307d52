package threatmatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
)

// detailed are the datasets for which the portal has details.
var detailed = []string{Profiles, Reports}

// HasDetails reports whether the portal has details of a dataset's items.
func HasDetails(dataset string) bool { return slices.Contains(detailed, dataset) }

// errLargeItem: a record holds the details and all objects of their item, so both must fit.
var errLargeItem = fmt.Errorf("the item is larger than %d bytes or %d objects; details of such items are not fetched", pieceBytes, pieceObjects)

// Details gets what the portal shows of an item, and then its STIX, which alone says what the details are about. The
// answer is an object with both: "details", and "objects" as Item has them.
func (c *Client) Details(ctx context.Context, dataset, id string) (Body, error) {
	if !HasDetails(dataset) || id == "" {
		return Body{}, fmt.Errorf("details %s/%s: no such dataset", dataset, id)
	}
	var details []byte
	if _, err := c.get(ctx, request{
		op: "details", object: dataset + "/" + id,
		path: "/api/" + dataset + "/" + url.PathEscape(id) + "/edit",
		decode: func(ans *answer) (Kind, error) {
			found, kind, err := object(ans.body.Bytes, "data")
			if err != nil {
				return kind, err
			}
			if details = found["data"]; len(details) == 0 || details[0] != '{' {
				return KindMalformed, errors.New(`response has no object "data"`)
			}
			details = bytes.Clone(details)
			return "", nil
		},
	}); err != nil {
		return Body{}, err
	}
	item, err := c.Item(ctx, dataset, id)
	if err != nil {
		return Body{}, err
	}
	defer item.Release()
	objects, err := item.list()
	if err != nil {
		return Body{}, err
	}
	if len(details)+len(objects) > pieceBytes || !few(objects) {
		e := &Error{Op: "details", Object: dataset + "/" + id, Kind: KindTooLarge, cause: errLargeItem}
		return Body{}, e.marked()
	}
	return Body{Bytes: slices.Concat([]byte(`{"details":`), details, []byte(`,"objects":`), objects, []byte("}")), Date: item.Date}, nil
}
