package cli

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/admin"
)

func newHealth(g *globals) *cobra.Command {
	var ready bool
	c := &cobra.Command{
		Use:   "health",
		Short: "Exit with 0 if the connector is alive, else with 1: for HEALTHCHECK and probes",
		Long: "Ask the running connector, over its socket, whether all its parts are alive. A part that waits for\n" +
			"ThreatMatch, OpenCTI or RabbitMQ is alive. With --ready the connector must also be registered and have\n" +
			"no problem that needs attention. The exit code is 78 if the settings cannot be read.",
		Example: "  " + name + " health\n  " + name + " health --ready --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Second)
			defer cancel()
			return g.daemon(ctx, func(c *admin.Client) error {
				r, err := c.Health(ctx)
				if err != nil {
					return err
				}
				return g.printHealth(cmd, r, ready)
			})
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
