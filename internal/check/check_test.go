package check

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/serve"
	"threatmatch-connector/internal/sim/threatmatch"
	"threatmatch-connector/spool"
)

// found runs the check and returns its findings, one a line.
func found(t *testing.T, env map[string]string, timeout time.Duration) string {
	t.Helper()
	var out strings.Builder
	Run(t.Context(), Options{Config: settings(t, env), Now: time.Now, Version: "dev", Timeout: timeout}, func(f Finding) {
		fmt.Fprintf(&out, "%s %s: %s → %s\n", f.Verdict, f.Name, f.Detail, f.Hint)
	})
	return out.String()
}

func wants(t *testing.T, out string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// TestCheckTellsWhatEachAnswerMeans: for every bad answer of ThreatMatch and OpenCTI the check names the part that is
// to blame and what to do.
func TestCheckTellsWhatEachAnswerMeans(t *testing.T) {
	api := threatmatch.New(threatmatch.Options{})
	if err := api.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	platform, err := opencti.New(opencti.Options{AMQPURL: "amqp://guest:guest@127.0.0.1:1/"})
	if err == nil {
		err = platform.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(platform.Close)
	id, secret := api.Credentials()
	env := map[string]string{
		"THREATMATCH_URL": api.URL(), "THREATMATCH_CLIENT_ID": id, "THREATMATCH_CLIENT_SECRET": secret,
		"OPENCTI_URL": platform.URL(), "OPENCTI_TOKEN": opencti.ConnectorToken,
	}
	const patience = time.Minute
	wants(t, found(t, env, patience), "ok ThreatMatch lists: offered: profiles, alerts, reports, iocs", "ok OpenCTI token")

	answer := func(route string, status int) faults.Rule {
		return faults.Rule{Route: route, Kind: faults.Answer, Status: status, ContentType: "application/json", Body: "{}"}
	}
	tests := []struct {
		name  string
		api   faults.Rule
		other faults.Rule // of the platform
		want  []string
	}{
		{"IOC pages refused", answer("objects", 403), faults.Rule{}, []string{
			"failed ThreatMatch IOCs: answered 403 forbidden", "→ the account may not read this", "offered: profiles, alerts, reports →"}},
		{"groups refused", answer("groups", 403), faults.Rule{}, []string{"failed ThreatMatch groups", "→ the account may not read this"}},
		{"lists refused", answer("list", 403), faults.Rule{}, []string{"failed ThreatMatch lists", "→ the account may not read this"}},
		{"no token", answer("token", 500), faults.Rule{}, []string{"failed ThreatMatch token", "→ ThreatMatch has a problem"}},
		{"token throttled", answer("token", 429), faults.Rule{}, []string{"failed ThreatMatch token", "→ ThreatMatch asks to slow down"}},
		{"platform unavailable", faults.Rule{}, answer("", 503), []string{
			"failed OpenCTI API", "→ OpenCTI, or a proxy in front of it, has a problem", "unknown OpenCTI token: not tried"}},
		{"database", faults.Rule{}, faults.Rule{Kind: faults.Answer, Status: 200, ContentType: "application/json",
			Body: `{"errors":[{"message":"no","extensions":{"code":"DATABASE_ERROR"}}]}`},
			[]string{"failed OpenCTI API", "→ OpenCTI, or a proxy in front of it, has a problem"}},
		{"not OpenCTI", faults.Rule{}, answer("", 404), []string{"failed OpenCTI API", "→ check opencti.url"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.api.Kind != "" {
				api.SetFault(tt.api)
			}
			if tt.other.Kind != "" {
				platform.SetFault(tt.other)
			}
			defer api.Heal()
			defer platform.Heal()
			wants(t, found(t, env, patience), tt.want...)
		})
	}

	// Pushing is tried only if the settings ask for it, and queues nothing.
	env["CONNECTOR_QUEUE_PROTOCOL"] = "api"
	pushed := faults.Rule{Route: "stixBundlePush", Kind: faults.Answer, ContentType: "application/json"}
	for _, tt := range []struct {
		status int
		body   string
		want   string
	}{
		{0, "", "ok OpenCTI push: accepts bundles of at least 8 MiB through its API"},
		{413, "too large", "note OpenCTI push: accepts bundles through its API, but none of 8 MiB"},
		{200, `{"errors":[{"message":"no","extensions":{"code":"FORBIDDEN_ACCESS"}}]}`, "failed OpenCTI push: OpenCTI: FORBIDDEN_ACCESS no → give the connector's user"},
		{400, `{"errors":[{"message":"no","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}`, "failed OpenCTI push"},
		{502, "", "failed OpenCTI push: OpenCTI: "},
	} {
		if pushed.Status, pushed.Body = tt.status, tt.body; tt.status > 0 {
			platform.SetFault(pushed)
		}
		out := found(t, env, patience)
		wants(t, out, tt.want)
		if strings.Contains(out, "RabbitMQ connection") || strings.Contains(out, opencti.ConnectorToken) {
			t.Errorf("want neither the broker nor a secret in\n%s", out)
		}
		platform.Heal()
	}
	if n := platform.Stats().Mutations["stixBundlePush"]; n > 0 {
		t.Errorf("%d bundles were queued, want none", n)
	}
	delete(env, "CONNECTOR_QUEUE_PROTOCOL")

	// A server that hangs leaves the other one its time.
	api.SetFault(faults.Rule{Kind: faults.Hang})
	wants(t, found(t, env, 3*time.Second), "failed ThreatMatch token", "→ no response in time", "ok OpenCTI token")
	api.Heal()
}

// TestCheckLooksAtTheSpool: the check finds what run would find, and changes nothing.
func TestCheckLooksAtTheSpool(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wants(t, found(t, map[string]string{"SPOOL_DIR": file}, 0), "failed spool: "+file+" is not a directory →")

	s, err := spool.Open(t.Context(), spool.Options{Dir: filepath.Join(dir, "other"), ConnectorID: "another", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wants(t, found(t, map[string]string{"SPOOL_DIR": filepath.Join(dir, "other")}, 0), "failed spool", "→ use the connector.id that the spool was made for")

	shared := filepath.Join(dir, "shared")
	if err := errors.Join(os.Mkdir(shared, 0o700), os.Chmod(shared, 0o770)); err != nil {
		t.Fatal(err)
	}
	wants(t, found(t, map[string]string{"SPOOL_DIR": shared}, 0), "note spool directory: "+shared+" can be written by other users", "→ chmod 700 "+shared)

	// A lock that cannot be opened for writing, as if root had made it. The test may run as root, so it uses a
	// directory.
	locked := filepath.Join(dir, "locked")
	if err := os.MkdirAll(filepath.Join(locked, "spool.lock"), 0o700); err != nil {
		t.Fatal(err)
	}
	wants(t, found(t, map[string]string{"SPOOL_DIR": locked}, 0), "failed spool: open "+filepath.Join(locked, "spool.lock")+": is a directory")

	hint := permissionHint(&os.PathError{Op: "open", Path: file, Err: os.ErrPermission}, dir)
	if want := fmt.Sprintf("it belongs to uid %d", os.Getuid()); !strings.Contains(hint, want) || !strings.Contains(hint, fmt.Sprintf("type chown -R %d:%d %s", os.Geteuid(), os.Getegid(), dir)) {
		t.Errorf("hint %q", hint)
	}
}

// settings returns the settings of a connector that reaches nothing, with more laid over them.
func settings(t *testing.T, more map[string]string) *config.Config {
	t.Helper()
	vars := map[string]string{
		"OPENCTI_URL": "http://" + closed(t), "OPENCTI_TOKEN": "token", "THREATMATCH_URL": "http://" + closed(t),
		"THREATMATCH_CLIENT_ID": "id", "THREATMATCH_CLIENT_SECRET": "secret",
		"CONNECTOR_ID": "11111111-2222-4333-8444-555555555555", "SPOOL_DIR": filepath.Join(t.TempDir(), "spool"),
	}
	maps.Copy(vars, more)
	var environ []string
	for name, value := range vars {
		environ = append(environ, name+"="+value)
	}
	cfg, _, err := config.Load(config.Options{Environ: environ, Dir: t.TempDir(), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// closed returns an address where nothing listens.
func closed(t *testing.T) string {
	t.Helper()
	ln, err := serve.Listen("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// TestCheckTellsFilters: the check says what filters leave out, and nothing without filters.
func TestCheckTellsFilters(t *testing.T) {
	env := map[string]string{"OPENCTI_URL": "http://127.0.0.1:1", "OPENCTI_TOKEN": "t", "THREATMATCH_URL": "http://127.0.0.1:1",
		"THREATMATCH_CLIENT_ID": "i", "THREATMATCH_CLIENT_SECRET": "s", "SPOOL_DIR": t.TempDir()}
	if out := found(t, env, time.Second); strings.Contains(out, "filters") {
		t.Errorf("filters are told without any:\n%s", out)
	}
	env["THREATMATCH_ONLY_TYPES"], env["THREATMATCH_TLP_MAX"] = "malware,iocs:indicator", "amber"
	env["THREATMATCH_TAXII_GROUPS"] = "Mine,Yours"
	wants(t, found(t, env, time.Second), "threatmatch.taxii_groups = Mine,Yours", "note filters: threatmatch.tlp_max = amber; threatmatch.only_types = malware,iocs:indicator")
}

// TestLargerThanDisk: a spool that may grow beyond its disk is reported; what its file already has counts as room.
func TestLargerThanDisk(t *testing.T) {
	dir := t.TempDir()
	free, ok := spool.DiskFree(dir)
	if !ok {
		t.Fatal("the free room is not known here")
	}
	if !LargerThanDisk(dir, 2*free) || LargerThanDisk(dir, free/2) {
		t.Errorf("of %d free bytes, twice as many fit, or half do not", free)
	}
	if !LargerThanDisk(filepath.Join(dir, "to", "be", "made"), 2*free) {
		t.Error("nothing is reported about a directory that does not exist yet")
	}
	if err := os.Truncate(touch(t, filepath.Join(dir, "spool.db")), 2*free); err != nil {
		t.Fatal(err)
	}
	if LargerThanDisk(dir, 2*free) {
		t.Error("the room of the file itself is not counted in")
	}
}

// TestTooFull: a disk is full for check where the connector would not fetch, and not before; it says how much it needs.
func TestTooFull(t *testing.T) {
	dir := t.TempDir()
	if err := tooFull(dir, 232<<20); err != nil {
		t.Errorf("a disk on which the connector works: %v", err)
	}
	if err := tooFull(dir, 100<<20); err == nil || !strings.HasSuffix(err.Error(), ": only 100 MiB are free on the disk, and the connector needs 192 MiB to fetch") {
		t.Errorf("a disk with room for the reserve alone: %v", err)
	}
	touch(t, filepath.Join(dir, "spool.reserve"))
	if err := tooFull(dir, 100<<20); err != nil {
		t.Errorf("beside a spool with its reserve: %v", err)
	}
	if err := tooFull(dir, 40<<20); err == nil || !strings.Contains(err.Error(), "only 40 MiB") {
		t.Errorf("less than the reserve: %v", err)
	}
}

func touch(t *testing.T, path string) string {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
