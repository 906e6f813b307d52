package opencti

import (
	"context"
	"fmt"
	"slices"
)

// knownFields is valid for every member of the union.
const knownFields = ` { ... on BasicObject { entity_type } ... on BasicRelationship { entity_type } }`

const (
	knownOne = `query Known($a: String!) { a: stixObjectOrStixRelationship(id: $a)` + knownFields + ` }`
	knownTwo = `query Known($a: String!, $b: String!) { a: stixObjectOrStixRelationship(id: $a)` + knownFields +
		` b: stixObjectOrStixRelationship(id: $b)` + knownFields + ` }`
)

type knownNode struct {
	EntityType string `json:"entity_type"`
}

// Known returns the entity type of those STIX ids that the platform has and
// lets this user see. It asks for two ids a request, the most that the
// platform's batch protection lets through, and stops at the first error: the
// ids answered until then come with it.
func (c *Client) Known(ctx context.Context, ids []string) (map[string]string, error) {
	known := make(map[string]string)
	for pair := range slices.Chunk(ids, 2) {
		req := request{knownOne, map[string]any{"a": pair[0]}}
		if len(pair) == 2 {
			req.Query = knownTwo
			req.Variables["b"] = pair[1]
		}
		var out struct{ A, B *knownNode }
		if err := c.call(ctx, fmt.Sprintf("look up %d ids", len(pair)), req, &out); err != nil {
			return known, err
		}
		for i, n := range []*knownNode{out.A, out.B} {
			if n != nil {
				known[pair[i]] = n.EntityType
			}
		}
	}
	return known, nil
}
