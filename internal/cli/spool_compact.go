package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

func newSpoolCompact(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "compact",
		Short: "Rewrite the file of a stopped connector without its free pages",
		Long: "Rewrite the file of a stopped connector without its free pages. A connector does this itself at startup\n" +
			"if much of the file is free. A crash leaves either the old or the new file, each complete.",
		Example: "  " + name + " spool compact --yes",
		RunE:    func(cmd *cobra.Command, _ []string) error { return g.compact(cmd) },
	}
	yesFlag(c)
	return c
}

// stopped returns the place of a stopped connector's spool.
func (g *globals) stopped(ctx context.Context) (place, error) {
	p, err := g.place()
	if err != nil {
		return p, err
	}
	if c, _ := p.dial(ctx); c != nil {
		_ = c.Close()
		return p, errors.New("the connector is running: stop it first")
	}
	return p, nil
}

func (g *globals) compact(cmd *cobra.Command) error {
	ctx := cmd.Context()
	p, err := g.stopped(ctx)
	if err != nil {
		return err
	}
	err = g.read(ctx, p, func(s *spool.Spool) error {
		stats, err := inspect.FromSpool(s).Stats()
		if err != nil {
			return err
		}
		return agreed(cmd, fmt.Sprintf("rewrite the file of %s, of which %s are in use?", inspect.Size(stats.FileBytes), inspect.Size(stats.LiveBytes)))
	})
	if err != nil {
		return err
	}
	before, after, err := spool.Compact(ctx, p.dir)
	if err != nil {
		return err
	}
	g.note("spool compacted", "before", before, "after", after)
	return g.print(cmd.OutOrStdout(), map[string]int64{"bytes_before": before, "bytes_after": after}, func(w io.Writer) error {
		_, err := say(w, "%s before, %s now\n", inspect.Size(before), inspect.Size(after))
		return err
	})
}
