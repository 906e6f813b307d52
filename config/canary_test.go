package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// everything returns all that this package can print about what was loaded.
func everything(t *testing.T, opt Options) string {
	t.Helper()
	var out bytes.Buffer
	cfg, report, err := Load(opt)
	for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
		fmt.Fprintf(&out, verb+"\n"+verb+"\n"+verb+"\n", cfg, report, err)
		if cfg != nil {
			fmt.Fprintf(&out, verb+"\n", *cfg)
		}
	}
	for _, v := range []any{cfg, report, ProblemsOf(err)} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		log := slog.New(h)
		log.Info("loaded", "config", cfg, "report", report, "err", err)
		for _, w := range report.Warnings {
			log.Warn("warning", "warning", w)
		}
		if cfg != nil {
			log.Info("parts", "mq", cfg.MQ, "opencti", cfg.OpenCTI, "headers", cfg.OpenCTI.CustomHeaders, "key", cfg.MQ.SSLKey)
		}
	}
	if cfg != nil {
		for _, jsonOut := range []bool{false, true} {
			if err := WriteEffective(&out, cfg, report, jsonOut, true, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out.String()
}

func TestNoSecretInAnyOutput(t *testing.T) {
	pemText := "-----BEGIN PRIVATE KEY-----\n" + canary + "\n-----END PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
	plain := map[string]string{
		"OPENCTI_TOKEN": canary + "-token", "THREATMATCH_CLIENT_SECRET": canary + "-secret", "MQ_PASS": canary + "-pass",
		"MQ_USE_SSL_PASSPHRASE": canary + "-phrase", "OPENCTI_CUSTOM_HEADERS": "X-Key:" + canary + "-header",
		"HTTP_PROXY": "http://user:" + canary + "@proxy:3128", "HTTPS_PROXY": "http://user:" + canary + "@proxy:3128",
		"MQ_USE_SSL_KEY": pemText, "MQ_USE_SSL_CERT": pemText,
	}
	secretOnes := []string{}
	for _, s := range Settings() {
		if s.Secret {
			secretOnes = append(secretOnes, s.Env)
			if plain[s.Env] == "" {
				t.Fatalf("no canary for %s", s.Env)
			}
		}
	}
	cases := map[string]Options{"all is well": {Environ: environ(base(), plain)}}
	add := func(name string, vars map[string]string, file string) {
		opt := Options{Dir: t.TempDir(), Environ: environ(base(), plain, vars), Now: time.Now()}
		if file != "" {
			save(t, filepath.Join(opt.Dir, "config.yml"), file)
		}
		cases[name] = opt
	}
	for _, env := range secretOnes {
		path, inSection := pathOf(env)
		if !inSection {
			path = strings.ToLower(env)
		}
		value := plain[env]
		flat := strings.ReplaceAll(value, "\n", " ")
		add(env+" with a control character", map[string]string{env: "a" + canary + "\x01" + canary}, "")
		add(env+" in quotes", map[string]string{env: `"` + value + `"`}, "")
		add(env+" elsewhere too", nil, yamlOf(path, flat+"-other"))
		add(env+" given as a path", map[string]string{env + "_FILE": canary, env: ""}, "")
		add(env+" given as a long path", map[string]string{env + "_FILE": "/" + canary + strings.Repeat("/x", 5000), env: ""}, "")
		add(env+" as a list", nil, yamlOf(path+"x", "")+"\n"+strings.Replace(yamlOf(path, "HERE"), "HERE", `["`+canary+`", {a: `+canary+`}]`, 1))
		add(env+" as a list of texts", nil, strings.Replace(yamlOf(path, "HERE"), "HERE", `["`+canary+`"]`, 1))
		add(env+" as a section", nil, strings.Replace(yamlOf(path, "HERE"), "HERE", "\n    a: "+canary, 1))
		add(env+" misspelt", map[string]string{env + "X": value}, yamlOf(path+"x", flat))
		for _, start := range []string{"*", "&", "!", "%", "@", "`", "'", `"`, "[", "{", "|", "> ", "- ", "? ", "a: ", "#", "x #", "<<: *"} {
			add(env+" unquoted after "+start, nil, strings.Replace(yamlOf(path, "HERE"), "HERE", start+canary+" rest\n  next: {\n", 1))
			add(env+" unquoted and whole after "+start, nil, strings.Replace(yamlOf(path, "HERE"), "HERE", start+canary, 1))
		}
		env := env
		opt := Options{Dir: write(t, ".env", env+"="+flat+"\n"+env+" "+canary+"\n"+env+"=\""+canary+"\n"), Environ: environ(base())}
		cases[env+" in a broken .env"] = opt
		vars := maps.Clone(plain)
		delete(vars, env)
		cases[env+" as a credential"] = Options{Environ: environ(base(), vars, map[string]string{"CREDENTIALS_DIRECTORY": write(t, env, value), env: ""})}
		cases[env+" as a broken credential"] = Options{Environ: environ(base(), vars, map[string]string{"CREDENTIALS_DIRECTORY": write(t, env, "a\x02"+value), env: ""})}
	}
	for _, env := range []string{"OPENCTI_URL", "THREATMATCH_URL"} {
		add(env+" with a password", map[string]string{env: "https://user:" + canary + "@host/"}, "")
		add(env+" with a password and no scheme", map[string]string{env: "user:" + canary + "@host"}, "")
		add(env+" with a password, elsewhere too", map[string]string{env: "https://user:" + canary + "@host/"}, yamlOf(strings.Replace(strings.ToLower(env), "_", ".", 1), "http://x"))
	}
	for name, opt := range cases {
		if out := everything(t, opt); strings.Contains(out, canary) {
			at := strings.Index(out, canary)
			t.Errorf("%s: a secret shows: …%s…", name, out[max(0, at-200):min(len(out), at+100)])
		}
	}
	if out := everything(t, cases["all is well"]); !strings.Contains(out, hidden) || !strings.Contains(out, "X-Key:"+hidden) {
		t.Error("the output has no place for the secrets")
	}
}
