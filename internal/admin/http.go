package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Health answers the probes.
type Health interface {
	// Alive reports whether the process still ticks.
	Alive() bool
	// NotReady returns the reasons for not being ready, by part; empty when ready.
	NotReady() map[string]string
}

// ServeHTTP answers /metrics (also /), /healthz and /readyz on ln until ctx is
// done. Nothing there changes state and nothing is secret.
func ServeHTTP(ctx context.Context, ln net.Listener, reg prometheus.Gatherer, h Health) error {
	srv := &http.Server{Handler: probes(reg, h), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func probes(reg prometheus.Gatherer, h Health) http.Handler {
	mux := http.NewServeMux()
	metrics := promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
	mux.Handle("GET /metrics", metrics)
	mux.Handle("GET /{$}", metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, h.Alive(), map[string]any{"alive": h.Alive()})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		reasons := h.NotReady()
		answer(w, len(reasons) == 0, map[string]any{"ready": len(reasons) == 0, "reasons": reasons})
	})
	return mux
}

func answer(w http.ResponseWriter, ok bool, v any) {
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}
