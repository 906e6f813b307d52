package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/spool"
)

func newSpoolSalvage(g *globals) *cobra.Command {
	var o spool.SalvageOptions
	c := &cobra.Command{
		Use:   "salvage FILE",
		Short: "Recover what a damaged, set-aside spool file had not delivered",
		Long: "Recover what can be read of a set-aside file (spool.db.damaged-…) and was not delivered: records,\n" +
			"objects of bundles, waiting and held objects, in one run of reason retry, and dead letters that are not\n" +
			"healed. Map compares them with what was delivered since, so nothing older replaces it. Watermarks and\n" +
			"requests are not recovered: parked items had held last_run back, so ThreatMatch's lists contain them\n" +
			"again.\n\n" +
			"The command works on a stopped connector, says what would come back and what cannot be read, and asks.\n" +
			"The file is only read. Each row comes back once, even if the command is repeated or interrupted.",
		Example: "  " + name + " spool salvage spool.db.damaged-20260131T120000Z\n  " + name + " spool salvage FILE --before-reset --yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.salvage(cmd, args[0], o)
		},
	}
	c.Flags().StringVar(&o.ConnectorID, "connector-id", "", "the connector.id that the file belonged to, if that cannot be read in it any more")
	c.Flags().BoolVar(&o.BeforeReset, "before-reset", false, "also if the connector's state was reset on OpenCTI after this spool was created")
	yesFlag(c)
	return c
}

func (g *globals) salvage(cmd *cobra.Command, file string, o spool.SalvageOptions) error {
	ctx := cmd.Context()
	p, err := g.stopped(ctx)
	if err != nil {
		return err
	}
	var plan spool.Salvage
	err = g.read(ctx, p, func(s *spool.Spool) (err error) {
		plan, err = s.LookSalvage(ctx, file, o)
		return salvageHint(err)
	})
	if err != nil {
		return err
	}
	if total(plan.Rows) == 0 {
		return g.printSalvage(cmd, plan, "there is nothing more to bring back")
	}
	if !yes(cmd) {
		if err := sayPlan(cmd.ErrOrStderr(), plan); err != nil {
			return err
		}
	}
	if err := agreed(cmd, fmt.Sprintf("bring these %d back?", total(plan.Rows))); err != nil {
		return err
	}
	var done spool.Salvage
	err = g.write(ctx, p, func(s *spool.Spool) (err error) {
		done, err = s.Salvage(ctx, file, g.env.Now(), o)
		return salvageHint(err)
	})
	if err != nil {
		return err
	}
	g.note("spool file salvaged", "file", file, "run", done.Run, "rows", done.Rows, "unread", done.Unread)
	said := fmt.Sprintf("%d came back", total(done.Rows))
	if done.Run != 0 {
		said += fmt.Sprintf("; run %d brings them when the connector is started", done.Run)
	}
	return g.printSalvage(cmd, done, said)
}

// salvageHint adds what to do about a refusal.
func salvageHint(err error) error {
	switch {
	case errors.Is(err, spool.ErrFull):
		return fault.Hint(err, "what came back so far stays; start the connector, let it deliver, stop it and repeat this: it goes on where it was")
	case errors.Is(err, spool.ErrNoOwner):
		return fault.Hint(err, "if the file was this connector's, say so with its id from the settings: --connector-id ID; if you do not know whose it was, leave it: repull --from DATE fetches what was in it again, but for what ThreatMatch no longer lists")
	case errors.Is(err, spool.ErrConnector):
		return fault.Hint(err, "only the connector that the file belonged to can take it back")
	}
	return err
}

// total returns the number of rows of all kinds.
func total(rows map[string]int64) (n int64) {
	for _, one := range rows {
		n += one
	}
	return n
}

// sayPlan says what would come back, and what cannot be read.
func sayPlan(w io.Writer, s spool.Salvage) error {
	var rows [][]string
	for _, kind := range []struct{ name, note string }{
		{"records", "fetched, not yet mapped"}, {"objects", "of bundles, not confirmed"}, {"waiting", "objects that waited for a reference"},
		{"held", "objects that were held for another one"}, {"dead_letters", "not healed"},
		{"set_ids", "intrusion sets and actors of one UUID: which of them has it"},
	} {
		if n := s.Rows[kind.name]; n > 0 || s.Before[kind.name] > 0 {
			rows = append(rows, []string{kind.name, fmt.Sprint(n), kind.note})
		}
	}
	rows = append(rows, []string{"parked", fmt.Sprint(s.Parked), "items, not brought back: the lists name them again"})
	rows = append(rows, []string{"unreadable", fmt.Sprint(s.Unread), "rows and pages"})
	if before := total(s.Before); before > 0 {
		rows = append(rows, []string{"before", fmt.Sprint(before), "came back already"})
	}
	err := printTable(w, []string{"WHAT", "COUNT", "NOTE"}, rows)
	for _, name := range s.Names {
		if err == nil {
			_, err = sayLine(w, "cannot be read: "+name)
		}
	}
	return err
}

func (g *globals) printSalvage(cmd *cobra.Command, s spool.Salvage, message string) error {
	return g.print(cmd.OutOrStdout(), s, func(w io.Writer) error {
		if err := sayPlan(w, s); err != nil {
			return err
		}
		_, err := sayLine(w, message)
		return err
	})
}
