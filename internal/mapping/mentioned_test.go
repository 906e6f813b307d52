package mapping

import (
	"fmt"
	"slices"
	"testing"
)

// TestMentionedMarkings: of all markings that an object mentions by id outside its lists of markings, wherever and in
// whatever order, the strictest counts, also if the answer itself defines it.
func TestMentionedMarkings(t *testing.T) {
	const (
		red   = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"
		amber = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"
		green = "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"
		own   = "marking-definition--0000000a-0000-4000-8000-000000000001" // says TLP:RED
	)
	for _, tt := range []struct{ properties, want string }{
		{fmt.Sprintf(`"x_foo":"%s, then %s"`, red, green), red},
		{fmt.Sprintf(`"x_foo":"%s, then %s"`, green, red), red},
		{fmt.Sprintf(`"x_foo":"%s","x_more":"%s"`, red, green), red},
		{fmt.Sprintf(`"x_foo":"%s","x_foo":"%s"`, red, green), red},
		{fmt.Sprintf(`"x_foo":"%s","x_foo":"%s"`, green, red), red},
		{fmt.Sprintf(`"x_foo_ref":"%s"`, own), red},
		{fmt.Sprintf(`"x_foo":"%s","x_foo":"%s, %s"`, own, green, amber), red},
	} {
		m, err := New(Settings{})
		if err != nil {
			t.Fatal(err)
		}
		r := m.Map(Source{Dataset: "profiles", ID: "9"}, fmt.Appendf(nil, `{"objects":[
			{"type":"marking-definition","id":%q,"definition_type":"statement","definition":{"statement":"TLP:RED"}},
			{"type":"malware","id":"malware--00000000-0000-4000-8000-000000000001","name":"Thing",
			"created":"2024-01-02T03:04:05.000Z","modified":"2024-01-02T03:04:05.000Z",%s}]}`, own, tt.properties))
		found := false
		for _, o := range r.Objects {
			if o.Type() != "malware" {
				continue
			}
			found = true
			if got := o.Strings("object_marking_refs"); !slices.Contains(got, tt.want) || slices.Contains(got, green) {
				t.Errorf("%s: marked %v, want %s", tt.properties, got, tt.want)
			}
		}
		if !found {
			t.Errorf("%s: no malware in the result", tt.properties)
		}
	}
}
