package cli

import (
	"github.com/spf13/cobra"

	"threatmatch-connector/spool"
)

// newSpoolCheck is the child process that checks a spool file after an unclean
// stop: a damage that kills the process must not kill the daemon.
func newSpoolCheck() *cobra.Command {
	return &cobra.Command{
		Use: "spool-check MODE FILE", Hidden: true, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if code := spool.CheckMain(cmd.Context(), args, cmd.ErrOrStderr()); code != 0 {
				return codeError(code)
			}
			return nil
		},
	}
}
