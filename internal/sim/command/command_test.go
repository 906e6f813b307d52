package command

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/opencti"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const nowhere = "--amqp-url=amqp://guest:guest@127.0.0.1:1/"

func TestFlags(t *testing.T) {
	f := &flags{}
	cmd := New(io.Discard, io.Discard)
	f.register(cmd.PersistentFlags())
	err := cmd.PersistentFlags().Parse([]string{
		"--profiles=3", "--ties=100:20", "--zone=-5h", "--expires-at=duration", "--start=2026-11-01T12:00:00Z", "--not-offered=reports",
		"--new-per-day=alerts=4,iocs=7", "--fault=threatmatch:route=item,do=500,rate=0.1", "--fault=opencti:do=lost,route=workAdd", "--quirks=none", "--capabilities=KNOWLEDGE,MODULES", nowhere,
	})
	if err != nil {
		t.Fatal(err)
	}
	o, err := f.options()
	if err != nil {
		t.Fatal(err)
	}
	tm := o.ThreatMatch
	if tm.Generate.Profiles != 3 || tm.Generate.TieEvery != 100 || tm.Generate.TieSize != 20 || tm.Generate.Quirks != (data.Quirks{}) ||
		tm.Zone.String() != "-5h" || tm.NewPerDay[data.IOCs] != 7 || tm.NotOffered[0] != data.Reports || tm.Generate.Start.Day() != 1 {
		t.Errorf("%+v", tm)
	}
	if u := o.OpenCTI.Users[opencti.ConnectorToken]; len(u.Capabilities) != 2 || u.Capabilities[0] != "KNOWLEDGE" || len(o.OpenCTI.Users) != 2 {
		t.Errorf("users %+v", o.OpenCTI.Users)
	}
	if len(tm.Faults) != 1 || tm.Faults[0].Rate != 0.1 || o.OpenCTI.Faults[0].Kind != faults.Lost || o.OpenCTI.AMQPURL == "" {
		t.Errorf("faults %+v %+v", tm.Faults, o.OpenCTI.Faults)
	}
}

func TestMistakes(t *testing.T) {
	t.Setenv("AMQP_URL", "")
	for want, args := range map[string][]string{
		"no broker given":             {},
		"read the broker's address":   {"--amqp-url=nonsense"},
		"neither realistic nor none":  {nowhere, "--quirks=some"},
		"is not EVERY:SIZE":           {nowhere, "--ties=5"},
		"none of epoch":               {nowhere, "--expires-at=never"},
		"--zone":                      {nowhere, "--zone=CET"},
		"--start":                     {nowhere, "--start=now"},
		"--new-per-day":               {nowhere, "--new-per-day=alerts=many"},
		"unknown fault":               {nowhere, "--fault=opencti:do=explode"},
		"does not begin with":         {nowhere, "--fault=worker:do=hang"},
		"not between 0 and 1":         {nowhere, "--fault=opencti:do=hang,rate=2"},
		"unknown platform version":    {nowhere, "--platform-version=5.0"},
		"load STIX bundles":           {nowhere, "--stix-dir=" + t.TempDir()},
		"listen on":                   {nowhere, "--threatmatch=256.0.0.1:1"},
		"write the environment":       {nowhere, "--env-file=/nonexistent/x"},
		"unknown flag":                {"--colour"},
		"slog: level string \"loud\"": {nowhere, "--log-level=loud"},
	} {
		cmd := New(io.Discard, io.Discard)
		cmd.SetArgs(args)
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}

// tryExamples makes the requests of the help's examples.
func tryExamples(t *testing.T, env string) {
	t.Helper()
	text, err := os.ReadFile(env)
	if err != nil {
		t.Fatal(err)
	}
	base := regexp.MustCompile(`(?m)^SIM_URL=(.*)$`).FindSubmatch(text)
	posts := regexp.MustCompile(`curl -X POST "?\$SIM_URL(/[^" \n]*)"?(?: --data-urlencode '(\w+)=([^']*)')?`).FindAllStringSubmatch(example, -1)
	if base == nil || len(posts) < 5 {
		t.Fatalf("%d requests in the examples, environment\n%s", len(posts), text)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, p := range posts {
		form := url.Values{}
		if p[2] != "" {
			form.Set(p[2], p[3])
		}
		resp, err := client.PostForm(string(base[1])+p[1], form)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		unknown := strings.Contains(string(answer), "FUNCTIONAL_ERROR") // no connector has registered here
		if resp.StatusCode != http.StatusOK && !unknown {
			t.Errorf("%s: %d %s", p[0], resp.StatusCode, answer)
		}
	}
}

// TestRun shows that the command serves, writes the environment and ends when told.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	env := filepath.Join(t.TempDir(), "sim.env")
	var stdout, stderr bytes.Buffer
	cmd := New(&stdout, &stderr)
	cmd.SetArgs([]string{nowhere, "--env-file", env, "--iocs=10", "--no-worker"})
	done := make(chan error)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	for {
		if text, err := os.ReadFile(env); err == nil {
			if !strings.Contains(string(text), "THREATMATCH_IMPORT_FROM_DATE='20") || !strings.Contains(string(text), "OPENCTI_URL=http://127.0.0.1:") {
				t.Errorf("environment: %s", text)
			}
			if info, _ := os.Stat(env); info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v", info.Mode())
			}
			break
		}
		time.Sleep(time.Millisecond)
	}
	tryExamples(t, env)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stdout.String(), "SIM_URL=http://127.0.0.1:") || !strings.Contains(stderr.String(), "requests: 0") {
		t.Errorf("printed %s and %s", &stdout, &stderr)
	}
	help := New(&stdout, io.Discard)
	stdout.Reset()
	help.SetArgs([]string{"--help"})
	t.Setenv("AMQP_URL", "amqp://guest:canary@127.0.0.1/")
	if err := help.ExecuteContext(t.Context()); err != nil || strings.Contains(stdout.String(), "canary") {
		t.Errorf("help: %v", err)
	}
}
