package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

func newSpoolFind(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "find STIX-ID | [DATASET/]SOURCE-ID | NAME ...",
		Short: "Find an object or item: when it was fetched, mapped and published, in which work, or why not",
		Long: "Find an object (by its STIX id) or an item of ThreatMatch (by its number, with its dataset in front if\n" +
			"the number alone is ambiguous): when it was fetched, in which record, what it was mapped to, when it was\n" +
			"published, in which run and work, or why not. Both are found for spool.forget_after, delivered or not.\n" +
			"For an object that has not arrived it says what needs it. A name is searched for in the contents that\n" +
			"the spool holds, and where the id follows from it; the names of delivered objects are not kept. The exit\n" +
			"code is 1 if something is not found.",
		Example: "  " + name + " spool find indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f\n  " + name + " spool find alerts/1234",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.inspect(cmd.Context(), func(i inspect.Inspector) error {
				var missing error
				for _, id := range args {
					if strings.TrimSpace(id) == "" {
						return errUsage{errors.New("an id or a name is empty")}
					}
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

// traced reports whether anything is known about the id.
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
			say(w, "  handed over  run %d at %s, work %s, modified %s, hash %s\n", p.Run, stamp(p.At), cmp.Or(p.Work, "-"), stamp(p.Modified), cmp.Or(p.Hash, "-"))
		}
		for _, m := range o.Messages {
			say(w, "  message      %d of bundle %s, %s\n", m.Index+1, m.Bundle, messageState(m))
		}
		for _, x := range o.Waiting {
			say(w, "  waiting      in run %d for %s\n", x.Run, x.For)
		}
		if h := o.Held; h != nil {
			say(w, "  held         since %s, by run %d, for %s\n", stamp(h.Since), h.Run, h.For)
		}
		for _, id := range o.NeededBy {
			say(w, "  needed by    %s\n", id)
		}
		printTraces(w, o.Records, o.Dead)
	}
	for _, s := range f.Sources {
		say(w, "%s/%s: %s\n", s.Dataset, s.Source, s.Verdict)
		if t := s.Task; t != nil {
			if text := requestState(*t); text != "" {
				say(w, "  request      %s\n", text)
			}
		}
		if m := s.Mapped; m != nil && m.Work != "" {
			say(w, "  work         %s, of run %d\n", m.Work, m.Run)
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

// printNoTrace says what is known about an item that is not in the spool.
func printNoTrace(w io.Writer, f inspect.Found) {
	if f.ByName {
		say(w, "%s: neither an item nor the name of an object in the spool\n", f.Query)
		sayLine(w, "  The names of what is delivered are not kept: look for the STIX id that OpenCTI shows for it.")
		return
	}
	say(w, "%s: no trace: it is not to be fetched, not parked and no dead letter; it was not mapped here, or before\n", f.Query)
	sayLine(w, "  spool.forget_after, or by a version that did not note it. Look for the STIX id of its object, too.")
}

func printTraces(w io.Writer, records []inspect.FoundRecord, dead []inspect.FoundDead) {
	for _, r := range records {
		say(w, "  fetched      %s, as %s/%s; see: spool show %s %s\n", stamp(r.Fetched), r.Dataset, r.Source, r.Bucket, r.Key)
	}
	for _, d := range dead {
		healed := ""
		if !d.Healed.IsZero() {
			healed = ", healed " + stamp(d.Healed)
		}
		say(w, "  dead letter  %s (%s, %s%s): %s\n", d.Key, d.Stage, d.Class, healed, d.Error)
	}
}

func requestState(t inspect.FoundTask) string {
	var parts []string
	if t.Run > 0 {
		parts = append(parts, fmt.Sprintf("run %d", t.Run))
	}
	if t.Tries > 0 {
		parts = append(parts, inspect.Count(t.Tries, "try"))
	}
	if t.Runs > 0 {
		parts = append(parts, "failed in "+inspect.Count(t.Runs, "run"))
	}
	if !t.Due.IsZero() {
		parts = append(parts, "next "+stamp(t.Due))
	}
	return strings.Join(parts, ", ")
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

// second formats a time from the spool like all others.
func second(text string) string {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return stamp(t)
	}
	return text
}
