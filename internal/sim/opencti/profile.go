package opencti

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// Profile is a platform version as connectors see it.
type Profile struct {
	// Version as about says it.
	Version string
	// What the schema knows.
	AutoUpdate, DeadLetterRouting, WorkAlive, S3, JWKS, HashedTokens, Multipart, Newest bool
	// OldWorks: a work is complete when processed equals expected exactly, and
	// the end of a work takes away the key that keeps it alive.
	OldWorks bool
	// SplitsPushed: what is pushed through the API is split by the platform, and
	// announced; else by a worker, and one object alone is announced by nobody.
	SplitsPushed bool
	// HideStateTimestamp: the schema lacks connector_state_timestamp.
	HideStateTimestamp bool
	// DropDead: workers drop messages of works that are not alive.
	DropDead bool
}

// Profiles worth testing against, by name. What changed when: OpenCTI platform
// 6.8.6 (isWorkAlive), 6.8.9 (auto_update), 6.9 (S3), 7.260224 (hashed tokens,
// jwks), April 2026 (isMultiPartWork), May 2026 (works are kept alive),
// August 2026 (pushed bundles are split by the platform), September 2026 (version
// and slug at register).
var profiles = map[string]Profile{
	"6.7.5":    {Version: "6.7.5", OldWorks: true},
	"6.8.10":   {Version: "6.8.10", AutoUpdate: true, DeadLetterRouting: true, WorkAlive: true, OldWorks: true, DropDead: true},
	"6.9.17":   {Version: "6.9.17", AutoUpdate: true, DeadLetterRouting: true, WorkAlive: true, S3: true, OldWorks: true, DropDead: true},
	"7.260318": {Version: "7.260318.0", AutoUpdate: true, DeadLetterRouting: true, WorkAlive: true, S3: true, JWKS: true, HashedTokens: true, OldWorks: true, DropDead: true},
	"newest": {
		Version: "7.260915.0", AutoUpdate: true, DeadLetterRouting: true, WorkAlive: true, S3: true, JWKS: true,
		HashedTokens: true, Multipart: true, Newest: true, DropDead: true, SplitsPushed: true,
	},
}

// ProfileNames are the names that ProfileOf knows, oldest first.
func ProfileNames() []string { return []string{"6.7.5", "6.8.10", "6.9.17", "7.260318", "newest"} }

// ProfileOf is the profile of a name; "" is the newest.
func ProfileOf(name string) (Profile, error) {
	if name == "" {
		name = "newest"
	}
	p, ok := profiles[name]
	if !ok {
		return Profile{}, fmt.Errorf("unknown platform version %q, known are %s", name, strings.Join(ProfileNames(), ", "))
	}
	return p, nil
}

// entities are the types of objects in the platform's schema, by STIX type.
var entities = map[string]string{
	"attack-pattern": "AttackPattern", "campaign": "Campaign", "channel": "Channel", "course-of-action": "CourseOfAction",
	"grouping": "Grouping", "incident": "Incident", "indicator": "Indicator", "infrastructure": "Infrastructure",
	"intrusion-set": "IntrusionSet", "malware": "Malware", "malware-analysis": "MalwareAnalysis", "narrative": "Narrative",
	"note": "Note", "observed-data": "ObservedData", "opinion": "Opinion", "report": "Report", "threat-actor": "ThreatActorGroup",
	"tool": "Tool", "vulnerability": "Vulnerability", "identity": "Organization", "location": "Country", "event": "Event",
	"": "StixCyberObservable",
}

//go:embed schema.graphql.tmpl
var schemaText string

// schema builds what the profile knows.
func (p Profile) schema() (*ast.Schema, error) {
	t, err := template.New("schema").Parse(schemaText)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	in := struct {
		Profile
		Entities []string
	}{Profile: p}
	in.Entities = slices.Sorted(maps.Values(entities))
	if err := t.Execute(&b, in); err != nil {
		return nil, err
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "opencti-" + p.Version, Input: b.String()})
	if err != nil {
		return nil, err
	}
	return schema, nil
}
