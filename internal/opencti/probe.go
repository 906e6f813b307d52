package opencti

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

// Capabilities is what a platform offers beyond the common part of 6.x and 7.x.
type Capabilities struct {
	// Version as the platform names it, such as "6.8.10" or "7.260318.0".
	Version string
	// RegisterVersion: registerConnector takes version and slug.
	RegisterVersion bool
	// StateTimestamp: a state reset shows in connector_state_timestamp.
	StateTimestamp bool
	// MultipartWork: workAdd takes isMultiPartWork.
	MultipartWork bool
}

// Every user may introspect, as long as a document has at most two such fields and does not ask for the whole schema.
const (
	probeTypes = `query Probe { about { version }
 input: __type(name: "RegisterConnectorInput") { inputFields { name } }
 connector: __type(name: "Connector") { fields { name } } }`
	probeMutations = `query ProbeMutations { mutation: __type(name: "Mutation") { fields { name args { name } } } }`
)

type named struct {
	Name string  `json:"name"`
	Args []named `json:"args"`
}

type typeInfo struct {
	Fields      []named `json:"fields"`
	InputFields []named `json:"inputFields"`
}

func has(list []named, name string) bool {
	return slices.ContainsFunc(list, func(n named) bool { return n.Name == name })
}

// Probe asks the platform for its version and optional fields, and keeps the response for other calls. It also shows
// that address and token are right. Probe again when the platform may have been replaced.
func (c *Client) Probe(ctx context.Context) (Capabilities, error) {
	var types struct {
		About     struct{ Version string } `json:"about"`
		Input     typeInfo                 `json:"input"`
		Connector typeInfo                 `json:"connector"`
	}
	if err := c.call(ctx, "probe platform", request{Query: probeTypes}, &types); err != nil {
		return Capabilities{}, err
	}
	var mutations struct {
		Mutation typeInfo `json:"mutation"`
	}
	if err := c.call(ctx, "probe platform mutations", request{Query: probeMutations}, &mutations); err != nil {
		return Capabilities{}, err
	}
	caps := Capabilities{
		Version:         types.About.Version,
		RegisterVersion: has(types.Input.InputFields, "version") && has(types.Input.InputFields, "slug"),
		StateTimestamp:  has(types.Connector.Fields, "connector_state_timestamp"),
	}
	for _, m := range mutations.Mutation.Fields {
		if m.Name == "workAdd" {
			caps.MultipartWork = has(m.Args, "isMultiPartWork")
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.caps, c.noAlive = &caps, false
	return caps, nil
}

// PlatformVersion returns the version that the last probe found, "" until one has succeeded.
func (c *Client) PlatformVersion() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.caps == nil {
		return ""
	}
	return c.caps.Version
}

// capabilities returns the last probe, and probes first if there was none.
func (c *Client) capabilities(ctx context.Context) (Capabilities, error) {
	c.mu.Lock()
	caps := c.caps
	c.mu.Unlock()
	if caps != nil {
		return *caps, nil
	}
	return c.Probe(ctx)
}

// forget makes the next call probe again, after the platform refused a document that an earlier probe had shaped:
// another version has replaced it.
func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.caps = nil
}

// Affected reports whether messages of a work may be dropped once a newer work of the same connector has reported:
// OpenCTI platform 6.8.6 up to 7.260601, where workers skip dead works and the platform ends works too early. A version
// that cannot be read counts as affected.
func (c Capabilities) Affected() bool {
	v, ok := parseVersion(c.Version)
	if !ok {
		return true
	}
	return slices.Compare(v[:], []int{6, 8, 6}) >= 0 && slices.Compare(v[:], []int{7, 260601, 0}) < 0
}

// SplitsPushed reports whether the platform splits a pushed bundle itself and announces every message of it, even a
// single one: from the summer of 2026 on. Before that workers split, and nobody announces an object that comes alone.
// In the weeks for which this may be wrong one message too many is processed, which those platforms tolerate. A
// version that cannot be read counts as an older one.
func (c Capabilities) SplitsPushed() bool {
	v, ok := parseVersion(c.Version)
	return ok && slices.Compare(v[:], []int{7, 260722, 0}) >= 0
}

func parseVersion(s string) (v [3]int, ok bool) {
	s = strings.TrimPrefix(strings.TrimSpace(s), "v")
	s, _, _ = strings.Cut(s, "-")
	s, _, _ = strings.Cut(s, "+")
	parts := strings.Split(s, ".")
	if len(parts) < 2 {
		return v, false
	}
	for i, p := range parts[:min(3, len(parts))] {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return v, false
		}
		v[i] = n
	}
	return v, true
}
