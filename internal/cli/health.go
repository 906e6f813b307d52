package cli

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/admin"
)

func newHealth(g *globals) *cobra.Command {
	var ready bool
	c := &cobra.Command{
		Use:   "health",
		Short: "Exit with 0 if the connector is alive, else with 1: for HEALTHCHECK and probes",
		Long: "Ask the running connector, over its socket or else over the metrics port, whether all its parts are\n" +
			"alive. A part that waits for ThreatMatch, OpenCTI or RabbitMQ is alive. With --ready the connector must\n" +
			"also be registered and have no problem that needs attention. The exit code is 78 if the settings cannot\n" +
			"be read.",
		Example: "  " + name + " health\n  " + name + " health --ready --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Second)
			defer cancel()
			r, err := g.health(ctx)
			if err != nil {
				return err
			}
			return g.printHealth(cmd, r, ready)
		},
	}
	c.Flags().BoolVar(&ready, "ready", false, "must also be ready")
	return c
}

func (g *globals) printHealth(cmd *cobra.Command, r admin.Report, ready bool) error {
	w := cmd.OutOrStdout()
	if g.json {
		if err := printJSON(w, r); err != nil {
			return err
		}
	} else {
		say(w, "%s, %s\n", map[bool]string{true: "alive", false: "not alive"}[r.Alive], map[bool]string{true: "ready", false: "not ready"}[r.Ready])
		for _, reasons := range []map[string]string{r.NotAlive, r.NotReady} {
			for _, part := range slices.Sorted(maps.Keys(reasons)) {
				say(w, "%s: %s\n", part, reasons[part])
			}
		}
	}
	if !r.Alive || ready && !r.Ready {
		return quiet(errors.New("not healthy"))
	}
	return nil
}

// health asks over the socket, or else over HTTP.
func (g *globals) health(ctx context.Context) (r admin.Report, err error) {
	err = g.reach(ctx, func(c *admin.Client) (err error) {
		r, err = c.Health(ctx)
		return err
	}, func(p place) (err error) {
		cfg, _, err := config.Load(g.configOptions())
		if err != nil || !cfg.Connector.ExposeMetrics {
			return p.notRunning()
		}
		host := cfg.Connector.MetricsAddress
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		r, err = healthOver(ctx, "http://"+net.JoinHostPort(host, strconv.Itoa(cfg.Connector.MetricsPort)))
		return err
	})
	return r, err
}

// healthOver asks both probes over HTTP.
func healthOver(ctx context.Context, base string) (r admin.Report, err error) {
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	ask := func(path string) (bool, map[string]string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
		if err != nil {
			return false, nil, err
		}
		resp, err := (&http.Client{Transport: tr}).Do(req)
		if err != nil {
			return false, nil, err
		}
		defer func() { _ = resp.Body.Close() }()
		var body struct{ Reasons map[string]string }
		err = json.NewDecoder(resp.Body).Decode(&body)
		return resp.StatusCode == http.StatusOK, body.Reasons, err
	}
	if r.Alive, r.NotAlive, err = ask("/healthz"); err != nil {
		return r, err
	}
	r.Ready, r.NotReady, err = ask("/readyz")
	return r, err
}
