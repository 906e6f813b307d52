package opencti

import (
	"context"
	"fmt"
	"slices"
	"strings"
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

// Known returns, by id, the kind of those STIX ids that the platform has and that this user may see: the STIX type,
// with the narrower one of identities, locations and relationships, such as "identity-sector" or "relationship-uses".
// It asks for two ids per request, the most that the platform's batch protection allows, and stops at the first error;
// what was answered until then is returned with it.
func (c *Client) Known(ctx context.Context, ids []string) (map[string]string, error) {
	known := make(map[string]string)
	for pair := range slices.Chunk(ids, 2) {
		req := request{Query: knownOne, Variables: map[string]any{"a": pair[0]}}
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
				known[pair[i]] = kindOf(pair[i], n.EntityType)
			}
		}
	}
	return known, nil
}

// kindOf turns OpenCTI's name of an entity type into the kind.
func kindOf(id, entity string) string {
	switch entity {
	case "Organization", "Individual", "Sector", "System":
		return "identity-" + strings.ToLower(entity)
	case "Country", "Region", "City", "Administrative-Area", "Position":
		return "location-" + strings.ToLower(entity)
	case "StixFile":
		return "stix-file"
	}
	if strings.HasPrefix(id, "relationship--") {
		return "relationship-" + strings.ToLower(entity)
	}
	return strings.ToLower(entity)
}
