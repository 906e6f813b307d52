package app

import (
	"reflect"
	"testing"
	"time"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/mapping"
)

// TestChoicesAreOff: with only what every user sets, no filter, marking, link or rule reaches the mapper, and details
// are not fetched.
func TestChoicesAreOff(t *testing.T) {
	cfg, _, err := config.Load(config.Options{Dir: t.TempDir(), Now: time.Now(), Environ: []string{
		"OPENCTI_URL=http://opencti.example", "OPENCTI_TOKEN=00000000-0000-4000-8000-000000000000",
		"THREATMATCH_CLIENT_ID=id", "THREATMATCH_CLIENT_SECRET=secret",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Choices.Details {
		t.Error("details are fetched by default")
	}
	got := reflect.ValueOf(choices(cfg.Choices))
	for i := range got.NumField() {
		name, f := got.Type().Field(i).Name, got.Field(i)
		empty := f.IsZero() || (f.Kind() == reflect.Map || f.Kind() == reflect.Slice) && f.Len() == 0
		if !empty {
			t.Errorf("%s is %v by default, want nothing", name, f.Interface())
		}
	}
	if got.Type() != reflect.TypeFor[mapping.Choices]() || got.NumField() < 14 {
		t.Errorf("%d choices were looked at, want all of them", got.NumField())
	}
}
