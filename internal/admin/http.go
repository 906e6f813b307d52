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
	"golang.org/x/net/netutil"
)

// maxConnections bounds the memory that callers can take. Prometheus, a supervisor and an operator need a handful;
// more callers wait.
const maxConnections = 32

// ServeHTTP serves /metrics (also at /), /healthz, /readyz and, unless page is nil, /ui/ on ln until ctx is done.
// Nothing there changes state and nothing is secret. It returns nil once ctx is done.
func ServeHTTP(ctx context.Context, ln net.Listener, reg prometheus.Gatherer, h Health, page http.Handler) error {
	srv := &http.Server{
		Handler: probes(reg, h, page), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 15 * time.Second, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(netutil.LimitListener(ln, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func probes(reg prometheus.Gatherer, h Health, page http.Handler) http.Handler {
	mux := http.NewServeMux()
	metrics := promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
	mux.Handle("GET /metrics", metrics)
	mux.Handle("GET /{$}", metrics)
	if page != nil {
		mux.Handle("GET /ui/", page)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		r := ReportOf(h)
		probe(w, r.Alive, map[string]any{"alive": r.Alive, "reasons": r.NotAlive})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		r := ReportOf(h)
		probe(w, r.Ready, map[string]any{"ready": r.Ready, "reasons": r.NotReady})
	})
	return mux
}

func probe(w http.ResponseWriter, ok bool, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}
