package config

import (
	"maps"
	"strings"
	"testing"
)

func TestChoices(t *testing.T) {
	load := func(more map[string]string) (*Config, error) {
		env := base()
		maps.Copy(env, more)
		cfg, _, err := Load(Options{Environ: environ(env, nil)})
		return cfg, err
	}
	cfg, err := load(map[string]string{
		"THREATMATCH_INDICATOR_SCORE": "0", "THREATMATCH_INDICATOR_SCORE_BY_TYPE": "Url=100, IPv4-Addr=0",
		"THREATMATCH_TLP_LEVELS": "iocs=amber+strict,alerts:report=red",
	})
	if err != nil {
		t.Fatal(err)
	}
	c := cfg.Choices
	if c.IndicatorScore == nil || *c.IndicatorScore != 0 {
		t.Errorf("score %v, want 0", c.IndicatorScore)
	}
	if want := map[string]int{"Url": 100, "IPv4-Addr": 0}; !maps.Equal(c.ScoreByType, want) {
		t.Errorf("scores %v, want %v", c.ScoreByType, want)
	}
	if want := map[string]string{"iocs": "amber+strict", "alerts:report": "red"}; !maps.Equal(c.TLPLevels, want) {
		t.Errorf("levels %v, want %v", c.TLPLevels, want)
	}
	for _, bad := range []struct{ env, value, want string }{
		{"THREATMATCH_TLP_MAX", "green", "below threatmatch.tlp_level"},
		{"THREATMATCH_TLP_MAX", "purple", "not one of the words"},
		{"THREATMATCH_MODIFIED_SINCE", "2024-02-31", "dates of the calendar"},
		{"THREATMATCH_MODIFIED_SINCE", "nothing:2024-02-01", "not of the form"},
		{"THREATMATCH_PROFILE_LINK", "https://p.example/1", "not of the form"},
		{"THREATMATCH_INDICATOR_SCORE", "101", "threatmatch.indicator_score"},
		{"THREATMATCH_INDICATOR_SCORE_BY_TYPE", "Url=101", "not of the form"},
		{"THREATMATCH_TLP_LEVELS", "iocs=mauve", "not of the form"},
	} {
		if _, err := load(map[string]string{bad.env: bad.value}); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s=%s: %v, want an error with %q", bad.env, bad.value, err, bad.want)
		}
	}
}
