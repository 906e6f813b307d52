package schema_test

import (
	"testing"

	"threatmatch-connector/internal/facts"
	"threatmatch-connector/internal/sim/schema"
)

func TestInputs(t *testing.T) {
	in, err := schema.ReadInputs()
	if err != nil {
		t.Fatal(err)
	}
	indicator := in.Fields(facts.V6_9, "IndicatorAddInput")
	if f := indicator["name"]; f.Type != "String" || !f.Required || !f.NotBlank || f.MinLength != 2 {
		t.Errorf("an indicator's name is %+v, want a required String of 2 characters that is not blank", f)
	}
	if f := indicator["x_opencti_score"]; f.Type != "Int" || f.Required || f.Min == nil || *f.Min != 0 || f.Max == nil || *f.Max != 100 {
		t.Errorf("an indicator's score is %+v, want an Int from 0 to 100", f)
	}
	if f := in.Fields(facts.V6_9, "OpinionAddInput")["filesMarkings"]; f.List != 2 || f.Type != "String" {
		t.Errorf("filesMarkings is %+v, want a list of lists of String", f)
	}
	for v, want := range map[facts.Version]bool{facts.V6_9: true, facts.V7: true, facts.V6_8: false, facts.Unknown: false} {
		if _, got := in.Fields(v, "IndicatorAddInput")["upsertOperations"]; got != want {
			t.Errorf("upsertOperations of an indicator on %q: %v, want %v", v, got, want)
		}
		if got := in.Fields(v, "EditInput") != nil; got != want {
			t.Errorf("EditInput on %q: %v, want %v", v, got, want)
		}
	}
	if got := in.Fields(facts.V6_9, "NoSuchInput"); got != nil {
		t.Errorf("fields of an input that does not exist: %v, want nil", got)
	}
	if got := in.Enum("IdentityType"); len(got) != 4 {
		t.Errorf("types of identities %q, want 4", got)
	}
	if in.Scalar("StixId") == "" || in.Scalar("String") == "" {
		t.Error("a scalar is not described")
	}
	if got := len(in.Names()); got < 80 {
		t.Errorf("%d inputs, want at least 80", got)
	}
}
