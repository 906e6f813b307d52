package inspect

import (
	"encoding/json"
	"fmt"
	"testing"
)

// TestReferralFromALongList: a report refers to more objects than are shown, and each
// of them is still told that it does.
func TestReferralFromALongList(t *testing.T) {
	id := func(n int) string { return fmt.Sprintf("malware--00000000-0000-4000-8000-%012d", n) }
	const all = mostReferences + 50
	var refs []string
	for n := range all {
		refs = append(refs, id(n))
	}
	report, err := json.Marshal(map[string]any{"id": "report--1", "object_refs": refs})
	if err != nil {
		t.Fatal(err)
	}
	want := Reference{By: "object_refs", ID: "report--1"}
	for n := range all {
		if got := referrals(report, id(n)); len(got) != 1 || got[0] != want {
			t.Fatalf("object %d: got %v, want %v", n, got, want)
		}
	}
	if got := few(refsOf(report)); len(got) != mostReferences {
		t.Errorf("got %d references, want %d", len(got), mostReferences)
	}
}
