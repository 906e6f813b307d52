package mapping

import (
	"fmt"
	"strings"
	"testing"
)

// The references of observables are those of STIX 2.1, chapter 6.
func TestReferencesOfObservablesPass(t *testing.T) {
	m, err := New(Settings{})
	if err != nil {
		t.Fatal(err)
	}
	for row := range strings.Lines(`directory contains_refs file
domain-name resolves_to_refs ipv4-addr
email-addr belongs_to_ref user-account
email-message from_ref email-addr
email-message sender_ref email-addr
email-message to_refs email-addr
email-message cc_refs email-addr
email-message bcc_refs email-addr
email-message raw_email_ref artifact
file contains_refs file
file content_ref artifact
file parent_directory_ref directory
ipv4-addr resolves_to_refs mac-addr
ipv4-addr belongs_to_refs autonomous-system
ipv6-addr resolves_to_refs mac-addr
ipv6-addr belongs_to_refs autonomous-system
network-traffic src_ref ipv4-addr
network-traffic dst_ref ipv4-addr
network-traffic src_payload_ref artifact
network-traffic dst_payload_ref artifact
network-traffic encapsulates_refs network-traffic
network-traffic encapsulated_by_ref network-traffic
process opened_connection_refs network-traffic
process creator_user_ref user-account
process image_ref file
process parent_ref process
process child_refs process
windows-registry-key creator_user_ref user-account
`) {
		f := strings.Fields(row)
		id := f[2] + "--00000000-0000-4000-8000-000000000003"
		value := fmt.Sprintf("%q", id)
		if strings.HasSuffix(f[1], "s") {
			value = "[" + value + "]"
		}
		body := fmt.Sprintf(`{"objects":[{"type":%q,"id":"%s--00000000-0000-4000-8000-000000000002","value":"a@b.example","name":"a","path":"/a","key":"a",%q:%s}]}`, f[0], f[0], f[1], value)
		r := m.Map(Source{Dataset: "iocs", ID: "1"}, []byte(body))
		var got string
		for _, o := range r.Objects {
			if raw, ok := o.Get(f[1]); ok {
				got = string(raw)
			}
		}
		if got != value {
			t.Errorf("%s.%s is %q, want %s; counts %v, dead %v", f[0], f[1], got, value, r.Counts, r.Dead)
		}
	}
}

// What stands under another name and cannot be joined is counted.
func TestUnreadableOtherNamesAreCounted(t *testing.T) {
	m, err := New(Settings{})
	if err != nil {
		t.Fatal(err)
	}
	for _, fields := range []string{
		`"external_references":[{"source_name":"a","external_id":"1"}],"x_opencti_external_references":"b"`,
		`"external_references":[{"source_name":"a","external_id":"1"}],"extensions":{"` + extensionOpenCTI + `":{"external_references":{"source_name":"b"}}}`,
	} {
		r := m.Map(Source{Dataset: "iocs", ID: "1"}, []byte(`{"objects":[{"type":"malware","id":"malware--00000000-0000-4000-8000-000000000002","name":"Thing",`+fields+`}]}`))
		if got := r.Counts["values_invalid:external_references"]; got != 1 {
			t.Errorf("%s: counted %d times, want once; counts %v", fields, got, r.Counts)
		}
	}
}
