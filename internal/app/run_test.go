package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/logging"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/serve"
	"threatmatch-connector/spool"
)

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

// platformAt starts a stand-in for OpenCTI without a broker.
func platformAt(t *testing.T) string {
	t.Helper()
	p, err := opencti.New(opencti.Options{AMQPURL: "amqp://guest:guest@127.0.0.1:1/"})
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p.URL()
}

// once runs a single import and stops it as soon as a stage's status contains stopAt, or after a minute.
func once(t *testing.T, cfg *config.Config, stopAt string, log io.Writer) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return Run(ctx, Options{
		Config: cfg, Once: true, Log: logging.New(log, slog.LevelError, "c", false), Now: time.Now,
		Watch: func(ctx context.Context, status func() (inspect.Status, error)) {
			for ctx.Err() == nil && stopAt != "" {
				s, err := status()
				for _, stage := range s.Stages {
					if err == nil && strings.Contains(stage.NotReady, stopAt) {
						cancel()
						return
					}
				}
				time.Sleep(time.Millisecond)
			}
		},
	})
}

// line is what the tests read of a line of the log.
type line struct {
	Level, Message string
	Attributes     map[string]any
}

func lines(t *testing.T, log *bytes.Buffer) (all []line) {
	t.Helper()
	for text := range strings.Lines(log.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		all = append(all, l)
	}
	return all
}

// errorLines returns the messages of the log's errors.
func errorLines(t *testing.T, log *bytes.Buffer) (all []string) {
	t.Helper()
	for _, l := range lines(t, log) {
		if l.Level == "ERROR" {
			all = append(all, l.Message)
		}
	}
	return all
}

// TestOnceThatNeverBegins: a single import that is stopped before OpenCTI lets it begin is undelivered, and says why.
func TestOnceThatNeverBegins(t *testing.T) {
	platform := platformAt(t)
	tests := []struct {
		name, stopAt string // "": by the timeout
		env          map[string]string
		want         []string
		errors       []string // lines of that level
	}{
		{"OpenCTI down, signal", "nothing listens", nil, []string{
			"this process's own run did not begin",
			"platform: not registered with OpenCTI: ", "nothing listens at "}, nil},
		{"wrong token, signal", "AUTH_REQUIRED", map[string]string{"OPENCTI_URL": platform}, []string{
			"this process's own run did not begin", "platform: ", "AUTH_REQUIRED", "check opencti.token"}, []string{"OpenCTI refuses the connector"}},
		{"OpenCTI down, timeout", "", map[string]string{"CONNECTOR_RUN_TIMEOUT": "PT0.3S"}, []string{
			"connector.run_timeout (300ms) is over"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			err := once(t, settings(t, tt.env), tt.stopAt, &log)
			if !errors.Is(err, ErrUndelivered) {
				t.Fatalf("ends with %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in %v", want, err)
				}
			}
			if got := errorLines(t, &log); !slices.Equal(got, tt.errors) {
				t.Errorf("errors at the default level %q, want %q", got, tt.errors)
			}
		})
	}
}

// TestStartAfterAKill: the first line says that the previous process did not stop cleanly, and which run continues.
func TestStartAfterAKill(t *testing.T) {
	cfg := settings(t, nil)
	alive := filepath.Join(t.TempDir(), "spool")
	s, err := spool.Open(t.Context(), spool.Options{Dir: alive, ConnectorID: cfg.Connector.ID, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.AdoptState(1, nil)
	if err == nil {
		_, err = s.StartRun(1, time.Now(), spool.RunSpec{Reason: spool.ReasonOnce, Datasets: map[spool.Dataset]time.Time{spool.Alerts: time.Now()}})
	}
	if err == nil {
		err = os.CopyFS(cfg.Spool.Dir, os.DirFS(alive)) // as a kill leaves it
	}
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	if err := once(t, cfg, "nothing listens", &log); !errors.Is(err, ErrUndelivered) {
		t.Fatal(err)
	}
	first := lines(t, &log)[0]
	if first.Message != "connector starts" || first.Attributes["goes_on_with_run"] != 1.0 || first.Attributes["stop_before"] == nil {
		t.Errorf("got first line %+v, want a start that names run 1 and the stop before", first)
	}
}

// TestStartsPaused: a start says which stage is paused and what follows from that, for a daemon and for a single run,
// which waits until it is resumed or its time is over.
func TestStartsPaused(t *testing.T) {
	for _, tt := range []struct {
		name, stage string
		once        bool
		env         map[string]string
		then        string
	}{
		{"daemon", "fetch", false, nil, "the other stages go on; what this one has to do waits in the spool until it is resumed"},
		{"once", "map", true, nil, "this run waits until it is resumed, however long that takes; stopped before that, it ends with exit code 4"},
		{"once with a timeout", "deliver", true, map[string]string{"CONNECTOR_RUN_TIMEOUT": "PT0.3S"},
			"this run waits until it is resumed; connector.run_timeout ends it after 300ms, with exit code 4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := settings(t, tt.env)
			s, err := spool.Open(t.Context(), spool.Options{Dir: cfg.Spool.Dir, ConnectorID: cfg.Connector.ID, Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = s.Pause(time.Now(), spool.Stage(tt.stage)); errors.Join(err, s.Close()) != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var log bytes.Buffer
			err = Run(ctx, Options{Config: cfg, Once: tt.once, Log: logging.New(&log, slog.LevelError, "c", false), Now: time.Now, Watch: func(ctx context.Context, status func() (inspect.Status, error)) {
				for ctx.Err() == nil && tt.env == nil {
					if s, err := status(); err == nil && slices.ContainsFunc(s.Stages, func(st inspect.Stage) bool { return st.Name == tt.stage && st.State == "paused" }) {
						cancel()
					}
					time.Sleep(time.Millisecond)
				}
			}})
			if tt.once != errors.Is(err, ErrUndelivered) || tt.once && !strings.Contains(err.Error(), tt.stage+": paused by an operator") {
				t.Errorf("ends with %v", err)
			}
			all := lines(t, &log)
			got := all[1]
			if all[0].Attributes[tt.stage] != nil || got.Level != "INFO" || got.Message != "a stage starts paused" || got.Attributes["stage"] != tt.stage || got.Attributes["since"] == nil ||
				got.Attributes["then"] != tt.then || got.Attributes["hint"] != "threatmatch-connector resume "+tt.stage {
				t.Errorf("got %+v, want the pause, then %q", all, tt.then)
			}
		})
	}
}

// TestSpoolOfADryRun: a spool is either OpenCTI's or a directory's, since what went to the one counts as sent to the
// other.
func TestSpoolOfADryRun(t *testing.T) {
	online := settings(t, nil)
	dry := settings(t, map[string]string{"OPENCTI_URL": "", "OPENCTI_TOKEN": "", "CONNECTOR_SEND_TO_QUEUE": "false",
		"CONNECTOR_SEND_TO_DIRECTORY": "true", "CONNECTOR_SEND_TO_DIRECTORY_PATH": t.TempDir()})
	for _, c := range []struct {
		name  string
		cfg   *config.Config
		known bool
		notes string
		want  string // "": nothing is logged
	}{
		{"a new one", online, false, "", ""},
		{"a new one, dry", dry, false, "", ""},
		{"OpenCTI's", online, true, "{}", ""},
		{"a dry run's, dry", dry, true, "", ""},
		{"a dry run's", online, true, "", "used without OpenCTI"},
		{"OpenCTI's, dry", dry, true, "{}", "used with OpenCTI"},
	} {
		var log bytes.Buffer
		a := &app{Options: Options{Config: c.cfg, Log: logging.New(&log, slog.LevelError, "c", false)}}
		a.tellWay(spool.Meta{StateKnown: c.known, Platform: []byte(c.notes)})
		if got := log.String(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: logged %q, want %q", c.name, got, c.want)
		}
	}
}

func TestMetricsPortInUse(t *testing.T) {
	ln, err := serve.Listen("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	err = once(t, settings(t, map[string]string{
		"CONNECTOR_EXPOSE_METRICS": "true", "CONNECTOR_METRICS_PORT": port, "CONNECTOR_METRICS_ADDRESS": "127.0.0.1",
	}), "", io.Discard)
	if err == nil || !strings.Contains(fault.HintOf(err), "choose another connector.metrics_port") {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
}

// TestStopNamesWhatIsQueued: what a repull or retry has queued goes on at the next start, without an open run, too.
func TestStopNamesWhatIsQueued(t *testing.T) {
	cfg := settings(t, nil)
	s, err := spool.Open(t.Context(), spool.Options{Dir: cfg.Spool.Dir, ConnectorID: cfg.Connector.ID, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	item := spool.TaskKey{Dataset: spool.Alerts, Kind: spool.TaskItem, Source: "7"}
	err = s.Enqueue(1, spool.ReasonRepull, nil, []spool.NewTask{{TaskKey: item}})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	if err := once(t, cfg, "nothing listens", &log); !errors.Is(err, ErrUndelivered) {
		t.Fatal(err)
	}
	all := lines(t, &log)
	if i := slices.IndexFunc(all, func(l line) bool { return l.Message == "connector stops" }); i < 0 || all[i].Attributes["next_start"] != "goes on: 1 queued entry" {
		t.Errorf("got %+v, want a stop that names what is queued", all)
	}
}
