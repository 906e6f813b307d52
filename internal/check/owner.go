package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/spool"
)

// DamagedHint says what to do about a spool file that is damaged.
const DamagedHint = "start the connector: it sets the file aside, and goes on from the state stored in OpenCTI; then stop it and run spool salvage FILE for what the old file held"

// SpoolHint adds to err what to do about a spool that does not open.
func SpoolHint(err error, dir string) error {
	switch {
	case errors.Is(err, spool.ErrLocked):
		return fault.Hint(err, "stop the other process, or give this one a spool.dir of its own")
	case errors.Is(err, spool.ErrConnector):
		return fault.Hint(err, "use the connector.id that the spool was made for, or another spool.dir")
	case errors.Is(err, spool.ErrSchema):
		return fault.Hint(err, "run the newer version of the connector, or give this one an empty spool.dir")
	case errors.Is(err, spool.ErrUnusable):
		return fault.Hint(err, DamagedHint)
	case errors.Is(err, syscall.ENOMEM):
		return fault.Hint(err, "the address space is too small for the spool's file: raise the limit (ulimit -v, LimitAS of systemd), or lower spool.max_size")
	case errors.Is(err, syscall.ENOTDIR):
		return fault.Hint(err, "spool.dir, or what it lies in, is not a directory: name another, or move that file away")
	}
	if hint := permissionHint(err, dir); hint != "" {
		return fault.Hint(err, hint)
	}
	return fault.Hint(err, "the spool directory must exist or be creatable, and be writable for the user that runs the connector")
}

// permissionHint says who owns a file that we may not use, and which command to run; "" for any other error.
func permissionHint(err error, dir string) string {
	p, ok := errors.AsType[*fs.PathError](err)
	if !ok || !errors.Is(err, fs.ErrPermission) {
		return ""
	}
	owner := "?"
	for at := p.Path; ; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				owner = fmt.Sprint(st.Uid)
			}
			break
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return fmt.Sprintf("it belongs to uid %s and the connector runs as uid %d: as root, type chown -R %d:%d %s",
		owner, os.Geteuid(), os.Geteuid(), os.Getegid(), dir)
}

// usable opens the spool's files as the connector does, if they exist. It neither locks nor changes them.
func usable(dir string) error {
	for _, name := range []string{"spool.lock", "spool.db"} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
