package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

func newSpoolSnapshot(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "snapshot FILE",
		Short: "Write a consistent copy of the spool, also while the connector runs, for example for support",
		Long: "Write a consistent copy of the spool, also while the connector runs, into a new file; its directory is\n" +
			"created if needed. The copy contains what ThreatMatch sent, but no secrets from the settings. To inspect\n" +
			"it, name it spool.db in its own directory and pass that directory with --spool-dir.",
		Example: "  " + name + " spool snapshot /tmp/case/spool.db\n  " + name + " spool stats --spool-dir /tmp/case",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var n int64
			err := g.inspect(cmd.Context(), func(i inspect.Inspector) (err error) {
				n, err = writeNew(args[0], i.Snapshot)
				return err
			})
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"file": args[0], "bytes": n})
			}
			_, err = say(cmd.OutOrStdout(), "%s, %s\n", args[0], size(n))
			return err
		},
	}
}

// writeNew writes a file that must not exist yet, and removes it if that fails.
func writeNew(path string, write func(io.Writer) (int64, error)) (n int64, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	n, err = write(f)
	return n, errors.Join(err, f.Sync(), f.Close())
}

func newSpoolVerify(g *globals) *cobra.Command {
	var temp string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check every invariant of the spool: checksums, indices, counters, pages",
		Long: "Check every invariant of the spool. For a running connector a copy is checked, so that the connector is\n" +
			"not held up; the copy takes as much room as the file, in the directory named by --temp.",
		Example: "  " + name + " spool verify\n  " + name + " spool verify --temp /var/tmp",
		Args:    cobra.NoArgs,
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
	p, err := g.place()
	if err != nil {
		return nil, err
	}
	c, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	if c != nil {
		defer func() { _ = c.Close() }()
		dir, err := os.MkdirTemp(temp, "threatmatch-verify-")
		if err != nil {
			return nil, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if _, err := writeNew(filepath.Join(dir, "spool.db"), c.Snapshot); err != nil {
			return nil, err
		}
		p.dir = dir
	}
	g.stepAside() // not earlier: the copy keeps the connector from reusing pages
	err = g.read(ctx, p, func(s *spool.Spool) (err error) {
		broken, err = s.Verify(ctx)
		return err
	})
	return broken, err
}
