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
			"no problem that needs attention. A stopped connector is neither alive nor ready. The exit code is 78 if the\n" +
			"settings cannot be read.",
		Example: "  " + name + " health\n  " + name + " health --ready --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Second)
			defer cancel()
			var r admin.Report
			err := g.daemon(ctx, func(c *admin.Client) (err error) {
				r, err = c.Health(ctx)
				return err
			})
			if err == nil {
				return g.printHealth(cmd, r, ready)
			}
			if g.json && exitCode(err) != exitUsage { // nobody answered: probes that read JSON need an answer, too
				reason := map[string]string{"connector": err.Error()}
				return errors.Join(printJSON(cmd.OutOrStdout(), admin.Report{NotAlive: reason, NotReady: reason}), err)
			}
			return err
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
