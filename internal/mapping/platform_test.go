package mapping

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What OpenCTI's client (6.8.10, 6.9.17 and 7.261026) reads from an object besides
// STIX, as a bare name, with x_opencti_ or in OpenCTI's extensions: the names with
// which a source gives orders to the platform, and those that are knowledge.
const (
	clientCommands = `opencti_operation opencti_field_patch opencti_upsert_operations opencti_rule opencti_id
		assignee_ids auto_enrichment_disable connector_ids granted_refs group_ids is_inferred max_distinct_count
		merge_source_ids merge_target_id modified_at nb_deps order organization_ids participant_ids playbook_id
		relationships_config security_coverage_result_id sharing_direct_container sharing_organization_ids stix_ids
		template_id tenant_id tenant_name workflow_id`
	clientOwn = `x_opencti_id x_opencti_stix_ids x_opencti_workflow_id x_opencti_assignee_ids x_opencti_participant_ids
		x_opencti_granted_refs x_opencti_modified_at x_opencti_order x_opencti_ignore_dates x_opencti_event_version
		x_opencti_patch x_opencti_seq x_opencti_external_id x_opencti_color x_opencti_not_known_yet`
	clientKnowledge = `additional_names aliases cisa_kev cvss_base_score cwe detection epss_score firstname lastname
		location_type main_observable_type negative organization_type product reliability score`
)

// keysOf collects the keys at every level.
func keysOf(v any, keys map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			keys[k] = true
			keysOf(e, keys)
		}
	case []any:
		for _, e := range v {
			keysOf(e, keys)
		}
	}
}

// TestNothingCommands puts the properties that OpenCTI's client acts on at every
// level and into every extension: none is sent, and exactly those removed are
// counted.
func TestNothingCommands(t *testing.T) {
	commands := strings.Fields(clientCommands + " " + clientOwn)
	m := newMapper(t, []byte(`{"Labels":"all"}`))
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.SampledFrom(commands), 1, 4, rapid.ID[string]).Draw(t, "names")
		level := func(more map[string]any) map[string]any {
			o := map[string]any{"kept": "x"}
			for _, name := range names {
				o[name] = rapid.SampledFrom([]any{"x", []any{"y"}, map[string]any{"z": 1}, true}).Draw(t, "value")
			}
			for k, v := range more {
				o[k] = v
			}
			return o
		}
		extension := rapid.SampledFrom([]string{extensionOpenCTI, extensionObservable, extensionMITRE,
			"extension-definition--00000000-0000-4000-8000-000000000001"}).Draw(t, "extension")
		extensions := map[string]any{extension: level(map[string]any{"extension_type": "property-extension", "deep": []any{level(nil)}})}
		typ := rapid.SampledFrom([]string{"tool", "vulnerability", "ipv4-addr", "report"}).Draw(t, "type")
		object := level(map[string]any{"type": typ, "id": typ + "--00000000-0000-4000-8000-000000000001", "name": "Name",
			"value": "198.51.100.1", "published": "2024-01-01T00:00:00Z", "x_foo": level(nil),
			"external_references": []any{level(map[string]any{"source_name": "s", "url": "https://r.example/", "extensions": extensions})},
			"kill_chain_phases":   []any{level(map[string]any{"kill_chain_name": "c", "phase_name": "p", "extensions": extensions})},
			"extensions":          extensions})
		body, err := json.Marshal(map[string]any{"objects": []any{object}})
		if err != nil {
			t.Fatal(err)
		}
		r := m.Map(Source{}, body)
		if len(r.Objects) != 1 {
			t.Fatalf("%d objects, want 1: %v", len(r.Objects), r.Dead)
		}
		var out any
		if err := json.Unmarshal(r.Objects[0].AppendJSON(nil), &out); err != nil {
			t.Fatal(err)
		}
		keys := map[string]bool{}
		keysOf(out, keys)
		for _, name := range names {
			if keys[name] {
				t.Errorf("%s goes out: %s", name, r.Objects[0].AppendJSON(nil))
			}
			if r.Counts["platform_fields:"+name] == 0 {
				t.Errorf("%s is not counted: %v", name, r.Counts)
			}
		}
		if !keys["kept"] {
			t.Errorf("more than that is gone: %s", r.Objects[0].AppendJSON(nil))
		}
	})
	for name := range strings.FieldsSeq(clientKnowledge) {
		if forbidden("x_opencti_"+name) || !mayStand(extensionOpenCTI, name) {
			t.Errorf("%s does not pass", name)
		}
	}
}
