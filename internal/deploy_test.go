package internal_test

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"threatmatch-connector/config"
)

// service is what we look at of a service in a compose file.
type service struct {
	Image       string
	Environment []string
	Restart     string
	Grace       string   `yaml:"stop_grace_period"`
	ReadOnly    bool     `yaml:"read_only"`
	Security    []string `yaml:"security_opt"`
	CapDrop     []string `yaml:"cap_drop"`
	MemLimit    string   `yaml:"mem_limit"`
	Volumes     []string
}

// readYAML reads a file of one document.
func readYAML[T any](t *testing.T, path string) T {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v T
	if err := yaml.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v
}

var placeholder = regexp.MustCompile(`\$\{([A-Z_]+)(:-[^}]*|:\?[^}]*)?\}`)

// filled puts values where a compose file or a secret leaves them to the operator.
func filled(value string) string {
	given := map[string]string{
		"OPENCTI_URL": "http://opencti:8080", "CONNECTOR_ID": "ba4c6ee1-6f4b-4a8e-8c6e-0c7a7e5d3f10",
	}
	given["CONNECTOR_THREATMATCH_ID"] = given["CONNECTOR_ID"]
	return placeholder.ReplaceAllStringFunc(value, func(p string) string {
		m := placeholder.FindStringSubmatch(p)
		if v, ok := given[m[1]]; ok {
			return v
		}
		if v, ok := strings.CutPrefix(m[2], ":-"); ok {
			return v
		}
		return "something"
	})
}

// accepted loads settings that we ship as the program would: nothing unknown,
// nothing refused, nothing old.
func accepted(t *testing.T, environ []string) *config.Config {
	t.Helper()
	cfg, report, err := config.Load(config.Options{Environ: environ, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range report.Warnings {
		t.Errorf("%s (%s): %s", w.Key, w.Source, w.Message)
	}
	return cfg
}

func TestComposeFiles(t *testing.T) {
	files, err := filepath.Glob("../deploy/docker-compose*.yml")
	if err != nil || len(files) < 3 {
		t.Fatalf("got files %v and error %v, want at least three compose files", files, err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			s, ok := readYAML[struct{ Services map[string]service }](t, path).Services["connector-threatmatch"]
			if !ok {
				t.Fatal("no service connector-threatmatch")
			}
			var environ []string
			for _, e := range s.Environment {
				environ = append(environ, filled(e))
			}
			cfg := accepted(t, environ)
			grace, err := time.ParseDuration(s.Grace)
			if err != nil || grace <= cfg.Connector.DrainTimeout {
				t.Errorf("stop_grace_period %q, drain timeout %v: %v", s.Grace, cfg.Connector.DrainTimeout, err)
			}
			if s.Restart != "always" || !s.ReadOnly || s.MemLimit == "" || !slices.Equal(s.CapDrop, []string{"ALL"}) ||
				!slices.Contains(s.Security, "no-new-privileges:true") || s.Image != "opencti/connector-threatmatch:latest" {
				t.Errorf("got %+v", s)
			}
			if len(s.Volumes) != 1 || !strings.HasSuffix(s.Volumes[0], ":/var/lib/threatmatch-connector") {
				t.Errorf("volumes %v", s.Volumes)
			}
		})
	}
}

func TestKubernetes(t *testing.T) {
	const dir = "../deploy/kubernetes/"
	kustomization := readYAML[struct{ Resources []string }](t, dir+"kustomization.yaml")
	for _, name := range kustomization.Resources {
		if _, err := os.Stat(dir + name); err != nil {
			t.Error(err)
		}
	}
	var environ []string
	for _, name := range []string{"configmap.yaml", "secret.yaml"} {
		m := readYAML[struct {
			Data       map[string]string
			StringData map[string]string `yaml:"stringData"`
		}](t, dir+name)
		for key, value := range m.Data {
			environ = append(environ, key+"="+value)
		}
		for key, value := range m.StringData {
			if value != "ChangeMe" {
				t.Errorf("%s has a value: %q", key, value)
			}
			environ = append(environ, key+"="+filled("${"+key+"}"))
		}
	}
	cfg := accepted(t, environ)
	set := readYAML[struct {
		Spec struct {
			Replicas int
			Template struct {
				Spec struct {
					Grace int `yaml:"terminationGracePeriodSeconds"`
				}
			}
		}
	}](t, dir+"statefulset.yaml")
	if set.Spec.Replicas != 1 || time.Duration(set.Spec.Template.Spec.Grace)*time.Second <= cfg.Connector.DrainTimeout {
		t.Errorf("%+v, drain timeout %v", set, cfg.Connector.DrainTimeout)
	}
	if !cfg.Connector.ExposeMetrics || cfg.Connector.MetricsPort != 9095 {
		t.Error("the probes have nobody to ask")
	}
}

// TestUnit holds the unit's time for a stop against the settings' default.
func TestUnit(t *testing.T) {
	raw, err := os.ReadFile("../deploy/systemd/threatmatch-connector.service")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok && !strings.HasPrefix(key, "#") {
			values[key] = value
		}
	}
	cfg := accepted(t, []string{
		"OPENCTI_URL=http://opencti:8080", "OPENCTI_TOKEN=t", "CONNECTOR_ID=ba4c6ee1-6f4b-4a8e-8c6e-0c7a7e5d3f10",
		"THREATMATCH_CLIENT_ID=c", "THREATMATCH_CLIENT_SECRET=s",
	})
	stop, err := time.ParseDuration(values["TimeoutStopSec"] + "s")
	if err != nil || stop <= cfg.Connector.DrainTimeout {
		t.Errorf("TimeoutStopSec %v, drain timeout %v: %v", stop, cfg.Connector.DrainTimeout, err)
	}
	if values["Type"] != "notify" || values["DynamicUser"] != "yes" || values["StateDirectory"] != "threatmatch-connector" {
		t.Errorf("got %v, want Type notify, DynamicUser and our StateDirectory", values)
	}
}
