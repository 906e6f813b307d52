package cli

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
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
			return g.print(cmd.OutOrStdout(), map[string]any{"file": args[0], "bytes": n}, func(w io.Writer) error {
				_, err := say(w, "%s, %s\n", args[0], inspect.Size(n))
				return err
			})
		},
	}
}

// writeNew writes a file that must not exist yet, and removes it if that fails.
func writeNew(path string, write func(io.Writer) (int64, error)) (n int64, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, err
	}
	f, err := create(path)
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
