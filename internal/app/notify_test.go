package app

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline"
)

func TestNotifyTellsTheServiceManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Close() }()
	_ = manager.SetReadDeadline(time.Now().Add(30 * time.Second)) // instead of waiting for ever
	next := func() string {
		buf := make([]byte, 100)
		n, err := manager.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("WATCHDOG_USEC", "3000")

	ctx, cancel := context.WithCancel(t.Context())
	a := &app{Options: Options{Log: slog.New(slog.DiscardHandler), Now: time.Now}, status: pipeline.NewStatus(time.Now)}
	end := a.notify(ctx)
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := next(); got != want {
			t.Fatalf("told %q, want %q", got, want)
		}
	}
	cancel()
	got := next()
	for got == "WATCHDOG=1" {
		got = next()
	}
	if got != "STOPPING=1" {
		t.Fatalf("told %q, want STOPPING=1", got)
	}
	if got := next(); got != "WATCHDOG=1" {
		t.Fatalf("told %q while draining, want WATCHDOG=1", got)
	}
	end()
}
