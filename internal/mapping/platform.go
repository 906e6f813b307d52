package mapping

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"threatmatch-connector/internal/stix"
)

// OpenCTI's own STIX extensions. Its client reads a property of its own as
// x_opencti_<name>, as <name> in one of the first two, or as a bare <name>.
const (
	extensionOpenCTI    = "extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba"
	extensionObservable = "extension-definition--f93e2c80-4231-4f9a-af8b-95c9bd566a82"
	extensionMITRE      = "extension-definition--322b8f77-262a-4cb8-a915-1e441e00329b"
)

// own lists which of OpenCTI's own properties a source may set: knowledge about the
// object. All others give orders to the platform (delete, merge, share, assign,
// replace) or only make sense on one platform (ids, orders, workflows).
var own = nameSet(`additional_names aliases cisa_kev content create_indicator create_observables created_by_ref cwe
	definition definition_type description detection epss_percentile epss_score external_references files
	first_seen_active firstname kill_chain_phases labels lastname location_type main_observable_type negative
	organization_type product reliability score security_platform_type sighting_of_ref ssvc_automatable
	ssvc_exploitation ssvc_technical_impact tags type where_sighted_refs
	attack_vector availability_impact base_score base_severity confidentiality_impact integrity_impact`)

var ownMITRE = nameSet("id detection permissions_required platforms version")

// commands are the bare names that OpenCTI's client acts on, except those that STIX
// uses for something else.
var commands = nameSet(`assignee_ids authorized_authorities authorized_members auto_enrichment_disable connector_ids
	files granted_refs group_ids is_inferred
	max_distinct_count merge_source_ids merge_target_id modified_at nb_deps no_trigger_import order organization_ids
	participant_ids playbook_id relationships_config restricted_members security_coverage_result_id sharing_direct_container
	sharing_organization_ids stix_ids template_id tenant_id tenant_name workflow_id`)

// observableRefs lists the references of observables. OpenCTI's client makes a
// relationship of any other one too, by its name: granted_ref would share the
// observable with an organization.
var observableRefs = nameSet(`bcc_refs belongs_to_ref belongs_to_refs body_raw_ref cc_refs child_refs contains_refs
	content_ref created_by_ref creator_user_ref dst_payload_ref dst_ref encapsulated_by_ref encapsulates_refs from_ref image_ref
	object_marking_refs object_refs opened_connection_refs parent_directory_ref parent_ref raw_email_ref
	resolves_to_refs sender_ref service_dll_refs src_payload_ref src_ref to_refs x_opencti_created_by_ref`)

// fileMembers lists what a source may say about a file that it attaches. A uri
// would be read with the platform's own rights.
var fileMembers = nameSet("name data mime_type version description object_marking_refs")

func nameSet(names string) map[string]bool {
	set := map[string]bool{}
	for name := range strings.FieldsSeq(names) {
		set[name] = true
	}
	return set
}

func ownProperty(name string) bool { return own[name] || strings.HasPrefix(name, "cvss_") }

// forbidden reports names that only the platform may set, at any level.
func forbidden(name string) bool {
	if rest, ok := strings.CutPrefix(name, "x_opencti_"); ok {
		return !ownProperty(rest)
	}
	return strings.HasPrefix(name, "opencti_") || commands[name]
}

// hoisted lists the members of OpenCTI's extensions that are moved to the property
// that OpenCTI reads first, so that they are checked there.
var hoisted = map[string]string{"labels": "labels", "external_references": "external_references",
	"kill_chain_phases": "kill_chain_phases", "content": "x_opencti_content", "description": "x_opencti_description",
	"created_by_ref": "x_opencti_created_by_ref", "files": "x_opencti_files"}

// otherNames are those under which OpenCTI reads what must be checked.
var otherNames = [...]struct{ from, to string }{{"files", "x_opencti_files"},
	{"x_opencti_external_references", "external_references"}, {"x_opencti_kill_chain_phases", "kill_chain_phases"}}

// hoist moves properties with another name, and members of OpenCTI's extensions, to
// where they are checked. Lists are joined; otherwise the object's own values take
// precedence, as in OpenCTI. The values of x_opencti_tags become labels, as in
// OpenCTI.
func (r *record) hoist(o *stix.Object) {
	var labels []string
	add := func(raw json.RawMessage) {
		if s, ok := stix.Text(raw); ok {
			labels = append(labels, s)
		}
	}
	if tags, ok := o.Get("x_opencti_tags"); ok {
		for tag := range stix.Elements(tags) {
			value, _ := stix.Member(tag, "value")
			add(value)
		}
		o.Delete("x_opencti_tags")
	}
	for _, t := range otherNames {
		if value, ok := o.Get(t.from); ok {
			o.Delete(t.from)
			r.adopt(o, t.to, value)
		}
	}
	extensions, _ := o.Get("extensions")
	for _, id := range [...]string{extensionOpenCTI, extensionObservable} {
		ours, _ := stix.Member(extensions, id)
		for key, value := range stix.Members(ours) {
			switch to := hoisted[key]; {
			case to == "labels":
				for e := range stix.Elements(value) {
					add(e)
				}
			case to != "":
				r.adopt(o, to, value)
			}
		}
	}
	if labels != nil {
		o.AddRefs("labels", labels)
	}
}

// adopt sets a property that the object lacks, or adds to its list.
func (r *record) adopt(o *stix.Object, key string, value json.RawMessage) {
	own, has := o.Get(key)
	switch {
	case !has:
		o.Set(key, value)
	case own[0] == '[' && value[0] == '[':
		o.Set(key, slices.AppendSeq(slices.Collect(stix.Elements(own)), stix.Elements(value)))
	case own[0] == '[' || value[0] == '[':
		r.count("values_invalid", 1, key)
	}
}

// dropPlatformFields removes what only the platform may set, wherever its client
// reads it.
func (r *record) dropPlatformFields(o *stix.Object) {
	type change struct {
		key string
		to  json.RawMessage
	}
	var changes []change
	for key, raw := range o.All() {
		if forbidden(key) || stix.Observable(o.Type()) && isRef(key) && !observableRefs[key] {
			r.count("platform_fields", 1, key)
			changes = append(changes, change{key, nil})
		} else if to, n := r.withoutCommands(key, raw); n > 0 {
			changes = append(changes, change{key, to})
		}
	}
	for _, c := range changes {
		if c.to == nil {
			o.Delete(c.key)
		} else {
			o.SetNormal(c.key, c.to)
		}
	}
	if changes != nil {
		o.Clean()
	}
}

// withoutCommands returns a property's value without the members that only the
// platform may set, at every level, and how many were removed.
func (r *record) withoutCommands(property string, raw json.RawMessage) (json.RawMessage, int) {
	if allowed(property, raw) {
		return raw, 0
	}
	return r.appendAllowed(make([]byte, 0, len(raw)), property, property, raw)
}

// judges reports whether a value may have members that are not allowed.
func judges(key string, raw json.RawMessage) bool {
	judged := ours(key) || key == extensionMITRE || key == "x_opencti_files" // every member must be on a list
	return (raw[0] == '{' || raw[0] == '[') && (judged || suspicious(raw))
}

// allowed reports whether withoutCommands removes nothing from a value.
func allowed(key string, raw json.RawMessage) bool {
	if !judges(key, raw) {
		return true
	}
	for e := range stix.Elements(raw) {
		if !allowed(key, e) {
			return false
		}
	}
	for name, value := range stix.Members(raw) {
		if !mayStand(key, name) || !allowed(name, value) {
			return false
		}
	}
	return true
}

// appendAllowed appends what withoutCommands returns of what stands under key in a
// property. All levels share one buffer.
func (r *record) appendAllowed(dst []byte, property, key string, raw json.RawMessage) (out []byte, removed int) {
	if !judges(key, raw) {
		return append(dst, raw...), 0
	}
	start := len(dst)
	dst = append(dst, raw[0])
	separate := func() {
		if len(dst) > start+1 {
			dst = append(dst, ',')
		}
	}
	n := 0
	for e := range stix.Elements(raw) {
		separate()
		dst, n = r.appendAllowed(dst, property, key, e)
		removed += n
	}
	for name, value := range stix.Members(raw) {
		if mayStand(key, name) {
			separate()
			dst, n = r.appendAllowed(append(append(dst, stix.Quote(name)...), ':'), property, name, value)
			removed += n
			continue
		}
		removed++
		if moved := hoisted[name] != "" && ours(key) && property == "extensions"; !moved {
			r.count("platform_fields", 1, name)
		}
	}
	return append(dst, raw[len(raw)-1]), removed
}

func isRef(key string) bool { return strings.HasSuffix(key, "_ref") || strings.HasSuffix(key, "_refs") }

func ours(extension string) bool {
	return extension == extensionOpenCTI || extension == extensionObservable
}

// mayStand reports whether a source may set this member of an object under the
// given key.
func mayStand(key, member string) bool {
	switch {
	case ours(key):
		return member == "extension_type" || ownProperty(member) && hoisted[member] == ""
	case key == extensionMITRE:
		return member == "extension_type" || strings.HasPrefix(member, "x_mitre_") || ownMITRE[member]
	case key == "x_opencti_files":
		return fileMembers[member]
	}
	return !forbidden(member)
}

// suspicious is the fast path: text without these names has nothing to remove.
// Names that contain escapes count as suspicious.
func suspicious(raw []byte) bool {
	if !bytes.Contains(raw, []byte{'{'}) {
		return false
	}
	for _, name := range suspects {
		if bytes.Contains(raw, name) {
			return true
		}
	}
	return false
}

var suspects = func() [][]byte {
	list := [][]byte{[]byte("opencti_"), []byte(extensionOpenCTI), []byte(extensionObservable), []byte(extensionMITRE), {'\\'}}
	for name := range commands {
		list = append(list, []byte(name))
	}
	return list
}()
