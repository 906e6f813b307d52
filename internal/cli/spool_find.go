package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

func newSpoolFind(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "find STIX-ID | [DATASET/]SOURCE-ID ...",
		Short: "Where is this object or item: fetched, mapped, published when, in which work, or why not",
		Long: "Say where an object (by its STIX id) or an item of ThreatMatch (by its number, with its dataset before\n" +
			"it where the number alone is not clear) is: fetched when, in which record, mapped to what, published\n" +
			"when, in which run and work, or why not. Objects are found by their STIX id for as long as\n" +
			"spool.forget_after says, delivered or not. An item's number is found while something of it is in the spool;\n" +
			"after its delivery only where spool.keep_records keeps the answers. Otherwise find says until when all of its\n" +
			"dataset is delivered (exit code 1, as for everything that is not found).",
		Example: "  " + name + " spool find indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f\n  " + name + " spool find alerts/1234",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.inspect(cmd.Context(), func(i inspect.Inspector) error {
				var missing error
				for _, id := range args {
					f, err := i.Find(cmd.Context(), strings.TrimSpace(id))
					if err != nil {
						return err
					}
					if !g.json {
						printFound(cmd.OutOrStdout(), f)
					} else if err := printJSON(cmd.OutOrStdout(), f); err != nil {
						return err
					}
					if !traced(f) {
						missing = quiet(fmt.Errorf("%s: %w", f.Query, spool.ErrNotFound))
					}
				}
				return missing
			})
		},
	}
}

// traced reports whether anything is known of the id.
func traced(f inspect.Found) bool {
	for _, o := range f.Objects {
		if o.Published != nil || o.Held != nil || len(o.Messages)+len(o.Waiting)+len(o.Dead)+len(o.Records) > 0 {
			return true
		}
	}
	return len(f.Sources) > 0
}

func printFound(w io.Writer, f inspect.Found) {
	for _, o := range f.Objects {
		say(w, "%s: %s\n", o.ID, o.Verdict)
		if p := o.Published; p != nil && p.Run > 0 {
			say(w, "  handed over  run %d at %s, work %s, modified %s, hash %s\n", p.Run, stamp(p.At), dash(p.Work), stamp(p.Modified), dash(p.Hash))
		}
		for _, m := range o.Messages {
			say(w, "  message      %d of bundle %s, %s\n", m.Index, m.Bundle, messageState(m))
		}
		for _, x := range o.Waiting {
			say(w, "  waiting      in run %d for %s\n", x.Run, x.For)
		}
		if h := o.Held; h != nil {
			say(w, "  held         since %s, by run %d, for %s\n", stamp(h.Since), h.Run, h.For)
		}
		printTraces(w, o.Records, o.Dead)
	}
	for _, s := range f.Sources {
		say(w, "%s/%s: %s\n", s.Dataset, s.Source, s.Verdict)
		if t := s.Task; t != nil {
			say(w, "  request      run %d, %d tries, parked in %d runs, next %s\n", t.Run, t.Tries, t.Runs, stamp(t.Due))
		}
		printTraces(w, s.Records, s.Dead)
		for _, id := range s.Objects {
			say(w, "  object       %s\n", id)
		}
	}
	if len(f.Objects)+len(f.Sources) == 0 {
		printNoTrace(w, f)
	}
}

// printNoTrace says what can be told of an item that is not in the spool.
func printNoTrace(w io.Writer, f inspect.Found) {
	say(w, "%s: no trace: nothing of it is to be fetched, parked, undelivered or a dead letter\n", f.Query)
	for _, d := range f.Delivered {
		say(w, "  %-11s  complete until %s; whether this was among what ThreatMatch listed by then is not kept\n", d.Dataset, stamp(d.Until))
	}
	if len(f.Delivered) == 0 {
		sayLine(w, "  nothing of its dataset is delivered in full yet")
	}
	sayLine(w, "  To be sure, look for the STIX id of its object (spool find TYPE--UUID, or on OpenCTI). With spool.keep_records")
	sayLine(w, "  the spool keeps what ThreatMatch answered for that long, and then finds delivered items by number, too.")
}

func printTraces(w io.Writer, records []inspect.FoundRecord, dead []inspect.FoundDead) {
	for _, r := range records {
		say(w, "  fetched      %s, as %s %s; see: spool show %s %s\n", r.Fetched, r.Dataset, r.Source, r.Bucket, r.Key)
	}
	for _, d := range dead {
		healed := ""
		if d.Healed != "" {
			healed = ", healed " + d.Healed
		}
		say(w, "  dead letter  %s (%s, %s%s): %s\n", d.Key, d.Stage, d.Class, healed, clip(d.Error, 120))
	}
}

func messageState(m inspect.FoundMessage) string {
	switch {
	case m.Skipped:
		return "a dead letter instead"
	case m.Confirmed:
		return "confirmed by the broker"
	}
	return "not confirmed yet"
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
