package delivery

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"threatmatch-connector/internal/fault"
)

// ConnectorInfo describes the connector in an archive file.
type ConnectorInfo struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Type  string `json:"type"`
	Scope string `json:"scope"`
	// Auto and ValidateBeforeImport are false for this connector.
	Auto                 bool `json:"auto"`
	ValidateBeforeImport bool `json:"validate_before_import"`
}

// DirectoryOptions is what NewDirectory needs.
type DirectoryOptions struct {
	Path      string
	Connector ConnectorInfo
	// Retention is how long files are kept. Zero means forever.
	Retention time.Duration
}

// Directory archives bundles in the format of the files that other OpenCTI connectors write and read. Expire may run
// beside one Write.
type Directory struct {
	opt DirectoryOptions
}

// DirectoryBundle is what a file holds beside its objects.
type DirectoryBundle struct {
	// ID is "bundle--" and a UUID.
	ID          string
	ApplicantID string
	Update      bool
	// CommittedAt, in microseconds, names the file. It must be the bundle's own, and the same if the bundle is
	// written again, which overwrites the file.
	CommittedAt time.Time
}

// NewDirectory makes the directory if it does not exist. Its errors are fatal.
func NewDirectory(opt DirectoryOptions) (*Directory, error) {
	if opt.Path == "" {
		return nil, fault.Mark(fault.Fatal, errors.New("archive directory: no path"))
	}
	if err := os.MkdirAll(opt.Path, 0o700); err != nil {
		return nil, fault.Hint(fault.Mark(fault.Fatal, fmt.Errorf("archive directory: %w", err)),
			"make connector.send_to_directory_path a directory that the connector can write")
	}
	return &Directory{opt: opt}, nil
}

// Write archives one bundle. objects yields each object's JSON, which is used before the next one is asked for, so
// that memory does not grow with the bundle. The file appears whole or not at all.
func (d *Directory) Write(ctx context.Context, b DirectoryBundle, objects iter.Seq2[[]byte, error]) error {
	name := filepath.Join(d.opt.Path, d.fileName(b))
	if err := d.write(ctx, name, b, objects); err != nil {
		_ = os.Remove(name + ".tmp")
		return fmt.Errorf("archive bundle %s: %w", b.ID, err)
	}
	return nil
}

func (d *Directory) write(ctx context.Context, name string, b DirectoryBundle, objects iter.Seq2[[]byte, error]) (err error) {
	f, err := os.OpenFile(name+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := d.encode(ctx, bufio.NewWriterSize(f, 64<<10), b, objects); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return err
	}
	return syncDirectory(d.opt.Path)
}

func (d *Directory) encode(ctx context.Context, w *bufio.Writer, b DirectoryBundle, objects iter.Seq2[[]byte, error]) error {
	info, err := json.Marshal(d.opt.Connector)
	if err != nil {
		return err
	}
	// The writer keeps its first error until Flush.
	fmt.Fprintf(w, `{"bundle_type":"DIRECTORY_BUNDLE","applicant_id":%s,"connector":%s,"entities_types":null,"bundle":`,
		appendString(nil, b.ApplicantID), info)
	fmt.Fprintf(w, `{"type":"bundle","id":%s,"spec_version":"2.1","objects":[`, appendString(nil, b.ID))
	first := true
	for object, err := range objects {
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		if !first {
			_ = w.WriteByte(',')
		}
		first = false
		if _, err := w.Write(object); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, `]},"update":%t}`, b.Update)
	return w.Flush()
}

// prefix returns the beginning of the names of this connector's files.
func (d *Directory) prefix() string {
	name := strings.ReplaceAll(strings.ToLower(d.opt.Connector.Name), " ", "_")
	return strings.ReplaceAll(name, string(filepath.Separator), "_") + "-"
}

// fileName is made of the connector's name, date and time, and the time in seconds with a fraction.
func (d *Directory) fileName(b DirectoryBundle) string {
	at := b.CommittedAt.UTC()
	return d.prefix() + at.Format("20060102-150405-") + fmt.Sprintf("%d.%06d.json", at.Unix(), at.Nanosecond()/1000)
}

// Expire removes this connector's files that are older than the retention, leftovers of interrupted writes included,
// and returns how many.
func (d *Directory) Expire(now time.Time) (int, error) {
	if d.opt.Retention <= 0 {
		return 0, nil
	}
	entries, err := os.ReadDir(d.opt.Path)
	if err != nil {
		return 0, fmt.Errorf("expire archive: %w", err)
	}
	removed := 0
	var errs []error
	for _, e := range entries {
		if !e.Type().IsRegular() || !d.owns(e.Name()) {
			continue
		}
		info, err := e.Info()
		if err == nil && now.Sub(info.ModTime()) <= d.opt.Retention {
			continue
		}
		if err == nil {
			err = os.Remove(filepath.Join(d.opt.Path, e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		} else if err == nil {
			removed++
		}
	}
	if err := errors.Join(errs...); err != nil {
		return removed, fmt.Errorf("expire archive: %w", err)
	}
	return removed, nil
}

// owns reports whether a file belongs to this connector, finished or not.
func (d *Directory) owns(name string) bool {
	const stamp = "20060102-150405"
	rest, ok := strings.CutPrefix(strings.TrimSuffix(name, ".tmp"), d.prefix())
	if !ok || len(rest) < len(stamp) || !strings.HasSuffix(rest, ".json") {
		return false
	}
	_, err := time.Parse(stamp, rest[:len(stamp)])
	return err == nil
}

// syncDirectory makes a rename durable.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
