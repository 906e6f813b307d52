package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/spool"
)

func newSpoolVerify(g *globals) *cobra.Command {
	var temp string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check every invariant of the spool: checksums, indices, counters, pages",
		Long: "Check every invariant of the spool. For a running connector a copy is checked, so that the connector is\n" +
			"not held up; the copy takes as much room as the file, in the directory named by --temp.",
		Example: "  " + name + " spool verify\n  " + name + " spool verify --temp /var/tmp",
		RunE: func(cmd *cobra.Command, _ []string) error {
			broken, err := g.verify(cmd.Context(), temp)
			if err != nil {
				return err
			}
			if g.json {
				err = printJSON(cmd.OutOrStdout(), map[string]any{"ok": len(broken) == 0, "broken": append([]string{}, broken...)})
			} else if len(broken) == 0 {
				_, err = sayLine(cmd.OutOrStdout(), "the spool is in order")
			} else {
				for _, b := range broken {
					sayLine(cmd.OutOrStdout(), b)
				}
			}
			if err == nil && len(broken) > 0 {
				return quiet(fmt.Errorf("%d invariants are broken", len(broken)))
			}
			return err
		},
	}
	c.Flags().StringVar(&temp, "temp", "", "directory for the copy of a running connector's spool (default: the system's)")
	return c
}

func (g *globals) verify(ctx context.Context, temp string) (broken []string, err error) {
	verify := func(p place) error {
		return g.read(ctx, p, func(s *spool.Spool) (err error) {
			broken, err = s.Verify(ctx)
			return err
		})
	}
	err = g.reach(ctx, func(c *admin.Client) error {
		dir, err := os.MkdirTemp(temp, "threatmatch-verify-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if _, err := writeNew(filepath.Join(dir, "spool.db"), c.Snapshot); err != nil {
			return err
		}
		g.stepAside() // not earlier: the copy keeps the connector from reusing pages
		return verify(place{dir: dir})
	}, func(p place) error {
		g.stepAside()
		return verify(p)
	})
	return broken, err
}
