package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

func newSpoolShow(g *globals) *cobra.Command {
	var message int
	c := &cobra.Command{
		Use:   "show BUCKET KEY",
		Short: "Print one entry: the raw record, the mapped objects, the dead letter, the message",
		Long: "Print one entry with its payload: the response as ThreatMatch sent it (records, kept), the object as it\n" +
			"was mapped (waiting, held, bundles), what a stage gave up on (dead). With --message, print a message of\n" +
			"a bundle exactly as it is sent to the broker; only a registered, running connector can do that.",
		Example: "  " + name + " spool show records 3/17\n  " + name + " spool show dead 1\n" +
			"  " + name + " spool show held relationship--6d3c…\n  " + name + " spool show bundles 3/2 --message 0",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: g.proposeKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkBucket(args[0]); err != nil {
				return err
			}
			if cmd.Flags().Changed("message") {
				return g.showMessage(cmd, args, message)
			}
			return g.inspect(cmd.Context(), func(i inspect.Inspector) error {
				key, err := keyOf(i, args[0], args[1])
				if err != nil {
					return err
				}
				e, payload, err := i.Show(args[0], key)
				if err != nil {
					return err
				}
				if args[0] == "bundles" {
					return g.showBundle(cmd.OutOrStdout(), i, e)
				}
				return g.showEntry(cmd.OutOrStdout(), e, payload)
			})
		},
	}
	c.Flags().IntVar(&message, "message", 0, "of a bundle: the message at this position, counted from 0")
	return c
}

// keyOf turns a key that names an item as dataset/id into the bucket's own form.
func keyOf(i inspect.Inspector, bucket, key string) (string, error) {
	set, id, ok := strings.Cut(key, "/")
	if !ok || strings.Contains(id, "/") || !slices.Contains(spool.Datasets(), spool.Dataset(set)) {
		return key, nil
	}
	switch bucket {
	case "tasks":
		return spool.TaskKey{Dataset: spool.Dataset(set), Kind: spool.TaskItem, Source: id}.String(), nil
	case "dead":
		var s selection
		found, err := s.pickDeadOf(i, set, id)
		if !found || err != nil {
			return key, cmp.Or(err, fmt.Errorf("no dead letter of %s: %w", key, spool.ErrNotFound))
		}
		return strconv.FormatUint(s.Dead[len(s.Dead)-1], 10), nil // the latest
	}
	return key, nil
}

func (g *globals) showEntry(w io.Writer, e spool.Entry, payload []byte) error {
	if g.json {
		return printJSON(w, map[string]any{"entry": e, "payload": string(payload)})
	}
	printFields(w, e)
	if e.Bucket == "runs" {
		return nil // the fields are everything
	}
	return printText(w, payload)
}

// showBundle prints the objects that are not confirmed yet, one per line.
func (g *globals) showBundle(w io.Writer, i inspect.Inspector, e spool.Entry) error {
	var objects []string
	err := pages(i, "bundles", "", func(x spool.Exported) (bool, error) {
		if !strings.HasPrefix(x.Key, e.Key+"/") {
			return len(objects) == 0, nil // bundles are in order
		}
		objects = append(objects, string(x.Body))
		return true, nil
	})
	if err != nil {
		return err
	}
	if g.json {
		return printJSON(w, map[string]any{"entry": e, "objects": objects})
	}
	printFields(w, e)
	sayLine(w, "# objects whose messages are not confirmed:")
	for _, o := range objects {
		if err := printText(w, o); err != nil {
			return err
		}
	}
	return nil
}

// pages calls f for everything that a bucket still holds, until f returns false.
func pages(i inspect.Inspector, bucket, after string, f func(spool.Exported) (bool, error)) error {
	for {
		page, next, err := i.Export(bucket, after)
		if err != nil {
			return err
		}
		for _, x := range page {
			if more, err := f(x); err != nil || !more {
				return err
			}
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

func (g *globals) showMessage(cmd *cobra.Command, args []string, index int) error {
	first, second, _ := strings.Cut(args[1], "/")
	run, err1 := strconv.ParseUint(first, 10, 64)
	seq, err2 := strconv.ParseUint(second, 10, 64)
	if err1 != nil || err2 != nil || index < 0 || args[0] != "bundles" {
		return errUsage{errors.New("--message needs a bundle and a position in it, such as: show bundles 3/2 --message 0")}
	}
	return g.daemon(cmd.Context(), func(c *admin.Client) error {
		body, err := c.Message(run, seq, index)
		if err != nil {
			return err
		}
		return printText(cmd.OutOrStdout(), body)
	})
}
