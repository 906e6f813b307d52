package opencti

import (
	"context"
	"slices"
	"strings"
)

// User is the owner of the token.
type User struct {
	Name         string
	Capabilities []string
}

// Can reports whether the user has the capability, one that includes it, or all of them.
func (u User) Can(capability string) bool {
	return slices.ContainsFunc(u.Capabilities, func(c string) bool {
		return c == "BYPASS" || c == capability || strings.HasPrefix(c, capability+"_")
	})
}

const meQuery = `query Me { me { name capabilities { name } } }`

// Me returns the user of the token. It changes nothing.
func (c *Client) Me(ctx context.Context) (User, error) {
	const op = "read user of the token"
	var out struct {
		Me *struct {
			Name         string
			Capabilities []named
		} `json:"me"`
	}
	if err := c.call(ctx, op, request{Query: meQuery}, &out); err != nil {
		return User{}, err
	}
	if out.Me == nil {
		return User{}, incomplete(op)
	}
	u := User{Name: out.Me.Name}
	for _, n := range out.Me.Capabilities {
		u.Capabilities = append(u.Capabilities, n.Name)
	}
	return u, nil
}

const connectorQuery = `query ConnectorConfig($id: String!) { connector(id: $id) { id connector_state connector_user_id` + brokerFields + ` } }`

// Lookup returns what Register would for a connector that the platform knows already, without changing anything, or
// ErrUnknownConnector. Unlike Register it does not declare the connector's queues, and does not ask for the
// platform's version.
func (c *Client) Lookup(ctx context.Context) (Registration, error) {
	node, err := c.connector(ctx, "look up", connectorQuery, map[string]any{})
	if err != nil {
		return Registration{}, err
	}
	if node.Config == nil {
		return Registration{}, incomplete("look up connector " + c.opt.Connector.ID)
	}
	return node.registration(), nil
}
