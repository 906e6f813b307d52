package cli

import (
	"github.com/spf13/cobra"
)

func newSpool(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "spool",
		Short: "Inspect and repair the spool of a running or a stopped connector",
		Long: "Inspect the spool of a running connector over its socket, or of a stopped one through its file.\n" +
			"Inspecting changes nothing; retry, drop, compact and salvage say what they will change and ask.",
	}
	c.AddCommand(
		newSpoolStats(g), newSpoolRuns(g), newSpoolRun(g), newSpoolLs(g), newSpoolShow(g), newSpoolFind(g), newSpoolDead(g),
		newSpoolRetry(g), newSpoolDrop(g), newSpoolExport(g), newSpoolVerify(g), newSpoolCompact(g), newSpoolSalvage(g), newSpoolSnapshot(g),
	)
	return c
}
