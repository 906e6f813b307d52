package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/spool"
)

// What must be free on the disk, in bytes, for the connector to fetch.
const (
	leastFreeNew = 192 << 20 // without a spool: its file, its reserve, as much as that again, and some to grow
	leastFree    = 64 << 20  // beside a spool that has its reserve
)

// spool checks the spool's directory without creating it.
func (c *checker) spool() {
	const name = "spool"
	dir := c.Config.Spool.Dir
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	info, err := os.Stat(dir)
	made := err == nil
	if made && !info.IsDir() {
		c.failed(name, fmt.Errorf("%s is not a directory", dir), "name a directory in spool.dir, or move that file away")
		return
	}
	at, err := existing(dir)
	if err == nil {
		if err = writable(at); err != nil {
			err = &os.PathError{Op: "write to", Path: at, Err: err}
		}
	}
	if err == nil && made {
		if err := usable(dir); err != nil {
			c.failed(name, err, permissionHint(err, dir))
			return
		}
	}
	if err != nil {
		c.failed(name, fmt.Errorf("%s: %w", dir, err), cmp.Or(permissionHint(err, dir), "the directory must be writable for the user that runs the connector, uid "+strconv.Itoa(os.Geteuid())))
		return
	}
	if fs, bad := remoteFS(at); bad {
		c.failed(name, fmt.Errorf("%s is on a network file system (%s)", dir, fs), "locks there cannot be trusted: use a local disk or a block volume")
		return
	}
	room := ""
	if free, ok := spool.DiskFree(at); ok {
		room = fmt.Sprintf("; %s free on the disk, spool.max_size %s", gib(free), gib(c.Config.Spool.MaxSize))
		if err := tooFull(dir, free); err != nil {
			c.failed(name, err, "free disk space, or move spool.dir")
			return
		}
		if LargerThanDisk(dir, c.Config.Spool.MaxSize) {
			c.remark("spool size", fmt.Sprintf("spool.max_size is %s, and the disk of %s has %s left", gib(c.Config.Spool.MaxSize), dir, gib(free)),
				"lower spool.max_size, or give the spool a larger volume")
		}
	}
	if made && WritableByOthers(dir) {
		c.remark("spool directory", dir+" can be written by other users, who could put other files in the place of ours", "chmod 700 "+dir)
	}
	c.spoolFile(name, dir, room, made)
}

// spoolFile checks the spool's file, unless a running connector has it open.
func (c *checker) spoolFile(name, dir, room string, made bool) {
	_, err := os.Stat(filepath.Join(dir, "spool.db"))
	switch {
	case c.Running != 0:
		c.ok(name, "%s, in use by the connector with pid %d%s", dir, c.Running, room)
		return
	case errors.Is(err, os.ErrNotExist) && !made:
		c.ok(name, "%s, to be made%s", dir, room)
		return
	case errors.Is(err, os.ErrNotExist):
		c.ok(name, "%s, empty%s", dir, room)
		return
	}
	s, err := spool.Open(context.Background(), spool.Options{
		Dir: dir, ConnectorID: c.Config.Connector.ID, ReadOnly: true, LockTimeout: time.Second, Now: c.Now,
	})
	if err != nil {
		c.failed(name, err, fault.HintOf(SpoolHint(err, dir)))
		return
	}
	defer func() { _ = s.Close() }()
	c.ok(name, "%s, of this connector%s", dir, room)
}

// existing returns dir, or its nearest parent that exists.
func existing(dir string) (at string, err error) {
	at = dir
	for _, err = os.Stat(at); errors.Is(err, os.ErrNotExist) && at != filepath.Dir(at); _, err = os.Stat(at) {
		at = filepath.Dir(at)
	}
	return at, err
}

// tooFull returns an error if too few bytes are free on the disk of dir.
func tooFull(dir string, free int64) error {
	least := int64(leastFreeNew)
	if _, err := os.Stat(filepath.Join(dir, "spool.reserve")); err == nil {
		least = leastFree
	}
	if free >= least {
		return nil
	}
	return fmt.Errorf("%s: only %d MiB are free on the disk, and the connector needs %d MiB to fetch", dir, free>>20, least>>20)
}

// LargerThanDisk reports whether the disk of dir lacks room for a spool of size bytes, of which its file may already
// have some.
func LargerThanDisk(dir string, size int64) bool {
	at, _ := existing(dir)
	free, ok := spool.DiskFree(at)
	if file, err := os.Stat(filepath.Join(dir, "spool.db")); err == nil {
		size -= file.Size()
	}
	return ok && size > free
}

// WritableByOthers reports whether users other than the owner may create and remove files in a directory.
func WritableByOthers(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.Mode().Perm()&0o022 != 0
}

func gib(bytes int64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

func writable(dir string) error {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}

// outputs checks the archive directory and the metrics port.
func (c *checker) outputs() {
	con := c.Config.Connector
	if con.SendToDirectory && con.SendToDirectoryPath != "" {
		const name = "archive directory"
		err := writable(con.SendToDirectoryPath)
		if errors.Is(err, os.ErrNotExist) {
			err = writable(filepath.Dir(filepath.Clean(con.SendToDirectoryPath)))
		}
		if err != nil {
			c.failed(name, fmt.Errorf("%s: %w", con.SendToDirectoryPath, err), "make connector.send_to_directory_path writable")
		} else {
			c.ok(name, "%s", con.SendToDirectoryPath)
		}
	}
	if con.ExposeMetrics && c.Running == 0 {
		const name = "metrics port"
		ln, err := net.Listen("tcp", net.JoinHostPort(con.MetricsAddress, strconv.Itoa(con.MetricsPort)))
		if err != nil {
			c.failed(name, err, "choose another connector.metrics_port or connector.metrics_address")
			return
		}
		c.ok(name, "%s is free", ln.Addr())
		_ = ln.Close()
	}
}
