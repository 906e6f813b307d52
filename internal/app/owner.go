package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// permissionHint says, of a file that may not be used, whose it is and what to
// type; "" for another error.
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

// usable opens the spool's files as the connector does, if they exist, and
// neither locks nor changes them.
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
