package app

import (
	"slices"
	"testing"
	"time"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/spool"
)

// TestDatasets: those who may not import the spool, and so list the datasets for themselves, know all of them.
func TestDatasets(t *testing.T) {
	var want, served []string
	filters := "THREATMATCH_MODIFIED_SINCE="
	for _, d := range spool.Datasets() {
		want, filters = append(want, string(d)), filters+string(d)+":2024-01-01,"
	}
	for _, d := range data.All {
		served = append(served, string(d))
	}
	if slices.Sort(served); !slices.Equal(served, slices.Sorted(slices.Values(want))) {
		t.Errorf("the stand-in serves %v, want %v", served, want)
	}
	cfg, _, err := config.Load(config.Options{Dir: t.TempDir(), Now: time.Now(), Environ: []string{
		"OPENCTI_URL=http://opencti.example", "OPENCTI_TOKEN=00000000-0000-4000-8000-000000000000",
		"THREATMATCH_CLIENT_ID=id", "THREATMATCH_CLIENT_SECRET=secret", filters,
	}})
	if err != nil {
		t.Fatal("a filter of each dataset:", err)
	}
	if got := cfg.ThreatMatch.Datasets(); !slices.Equal(got, want) {
		t.Errorf("by default the settings switch on %v, want %v", got, want)
	}
	if _, err := mapping.New(mapping.Settings{TLP: cfg.ThreatMatch.TLPLevel, Labels: cfg.ThreatMatch.ImportLabels,
		Description: cfg.ThreatMatch.DescriptionFormat, Choices: choices(cfg.Choices)}); err != nil {
		t.Error("a filter of each dataset:", err)
	}
}
