package spool

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// noFollow refuses a symbolic link in place of one of our files: we would write wherever it points.
const noFollow = syscall.O_NOFOLLOW

// waitFlock locks the file, exclusively or shared with other readers, or returns ErrLocked after the timeout. Closing
// the file releases the lock.
func waitFlock(f *os.File, exclusive bool, timeout time.Duration) error {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	const step = 50 * time.Millisecond
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(step)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-deadline.C:
			return ErrLocked
		case <-tick.C:
		}
	}
}

// DiskFree returns the bytes of the directory's file system that are available to us, and false if it cannot tell.
func DiskFree(dir string) (int64, bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}
