package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

func newSpoolExport(g *globals) *cobra.Command {
	var only []string
	c := &cobra.Command{
		Use:   "export DIR",
		Short: "Write what the spool still holds into a directory, as STIX bundles",
		Long: "Write what the spool still holds into a directory, which is created: STIX bundles of the objects whose\n" +
			"messages are not confirmed (bundles), that wait in their run (waiting), that are held (held) or became\n" +
			"dead letters (dead); and unmapped responses as they arrived, one per line (records). index.jsonl lists\n" +
			"the content of each file. Nothing in the spool changes.",
		Example: "  " + name + " spool export /tmp/held-back\n  " + name + " spool export /tmp/dead --only dead,held",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, bucket := range only {
				if !slices.Contains(spool.Exportable(), bucket) {
					return errUsage{fmt.Errorf("--only %q is none of %s", bucket, strings.Join(spool.Exportable(), ", "))}
				}
			}
			if len(only) == 0 && cmd.Flags().Changed("only") {
				return errUsage{errors.New("--only is given without a name; leave it out for everything")}
			}
			if len(only) == 0 {
				only = spool.Exportable()
			}
			g.stepAside()
			x := &exporter{dir: args[0], files: []exportFile{}}
			err := g.inspect(cmd.Context(), func(i inspect.Inspector) error { return x.all(i, only) })
			if err != nil {
				return err
			}
			return g.printExport(cmd, x)
		},
	}
	c.Flags().StringSliceVar(&only, "only", nil, "only these: "+strings.Join(spool.Exportable(), ", "))
	oneOf(c, "only", spool.Exportable()...)
	return c
}

// exportFile is one file; its line in index.jsonl also has the entries.
type exportFile struct {
	File    string                `json:"file"`
	Bucket  string                `json:"bucket"`
	Objects int                   `json:"objects"`
	Count   int                   `json:"count"`
	Entries []spool.ExportedEntry `json:"entries,omitempty"`
}

// exporter writes bundles of bounded size, so that memory does not grow with the
// spool.
type exporter struct {
	dir   string
	index *os.File
	files []exportFile // without their entries

	file    exportFile // the file being filled
	objects bytes.Buffer
	bundles int // number of files of the bucket so far
}

// Limits of one file.
const (
	exportObjects = 1000
	exportBytes   = 16 << 20
)

func (x *exporter) all(i inspect.Inspector, buckets []string) (err error) {
	if err := os.Mkdir(x.dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	left, err := os.ReadDir(x.dir)
	switch {
	case err != nil:
		return err
	case len(left) > 0:
		return fmt.Errorf("%s is not empty", x.dir)
	}
	if x.index, err = create(filepath.Join(x.dir, "index.jsonl")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.index.Close()) }()
	for _, bucket := range buckets {
		x.bundles = 0
		err := pages(i, bucket, "", func(e spool.Exported) (bool, error) { return true, x.add(bucket, e) })
		if err = errors.Join(err, x.flush()); err != nil {
			return fmt.Errorf("export %s: %w", bucket, err)
		}
	}
	return nil
}

// create makes a file that must not exist yet.
func create(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
}

// note adds a finished file to the index.
func (x *exporter) note(f exportFile) error {
	f.Count = len(f.Entries)
	line, err := json.Marshal(f)
	if err == nil {
		_, err = x.index.Write(append(line, '\n'))
	}
	f.Entries = nil
	x.files = append(x.files, f)
	return err
}

func (x *exporter) add(bucket string, e spool.Exported) error {
	switch {
	case e.Error != "":
		return x.raw(bucket, e)
	case bucket == answers && json.Valid(e.Body):
		enc := json.NewEncoder(&x.objects)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(exportedAnswer{e.ExportedEntry, e.Body}); err != nil {
			return err
		}
	case bucket != answers && isObject(e.Body):
		if x.file.Objects > 0 {
			x.objects.WriteString(",\n")
		}
		x.objects.Write(e.Body)
		x.file.Objects++
	default:
		return x.raw(bucket, e)
	}
	x.file.Bucket = bucket
	x.file.Entries = append(x.file.Entries, e.ExportedEntry)
	if len(x.file.Entries) >= exportObjects || x.objects.Len() >= exportBytes {
		return x.flush()
	}
	return nil
}

// answers is the bucket of unmapped responses. There may be thousands: they share
// files, because a file for each would be slow.
const answers = "records"

// exportedAnswer is one line of a file of responses.
type exportedAnswer struct {
	spool.ExportedEntry
	Answer json.RawMessage `json:"answer"`
}

// isObject reports whether a body is a STIX object, as opposed to a response that
// was refused or cannot be read.
func isObject(body []byte) bool {
	var o struct{ Type, ID string }
	return json.Unmarshal(body, &o) == nil && o.Type != "" && o.ID != ""
}

// raw writes a body that is not an object, unchanged.
func (x *exporter) raw(bucket string, e spool.Exported) error {
	file := fmt.Sprintf("%s-%s.raw", bucket, strings.ReplaceAll(e.Key, "/", "-"))
	err := os.WriteFile(filepath.Join(x.dir, file), e.Body, 0o600)
	return errors.Join(err, x.note(exportFile{File: file, Bucket: bucket, Entries: []spool.ExportedEntry{e.ExportedEntry}}))
}

// flush writes the objects collected so far as one bundle.
func (x *exporter) flush() error {
	if len(x.file.Entries) == 0 {
		return nil
	}
	x.bundles++
	name, form := "%s-%04d.json", "{\"type\":\"bundle\",\"id\":\"bundle--"+uuid.NewString()+"\",\"objects\":[\n%s\n]}\n"
	if x.file.Bucket == answers {
		name, form = "%s-%04d.jsonl", "%s"
	}
	x.file.File = fmt.Sprintf(name, x.file.Bucket, x.bundles)
	f, err := create(filepath.Join(x.dir, x.file.File))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, form, x.objects.Bytes())
	err = errors.Join(err, f.Close(), x.note(x.file))
	x.file = exportFile{}
	x.objects.Reset()
	return err
}

func (g *globals) printExport(cmd *cobra.Command, x *exporter) error {
	if g.json {
		return printJSON(cmd.OutOrStdout(), x.files)
	}
	var rows [][]string
	for _, f := range x.files {
		rows = append(rows, []string{f.File, f.Bucket, fmt.Sprint(f.Objects), fmt.Sprint(f.Count)})
	}
	return printTable(cmd.OutOrStdout(), []string{"FILE", "BUCKET", "OBJECTS", "ENTRIES"}, rows)
}
