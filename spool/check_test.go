package spool

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	bolterr "go.etcd.io/bbolt/errors"
)

// Only what bbolt says of the file is a damage: a whole file must not be set
// aside because the system had no memory or somebody held the lock.
func TestWhatIsNoDamage(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{bolterr.ErrInvalid, true},
		{bolterr.ErrChecksum, true},
		{fmt.Errorf("file size too small 7"), true},
		{bolterr.ErrTimeout, false},
		{syscall.ENOMEM, false},
		{fmt.Errorf("%w; rollback unmap also failed: no", syscall.ENOMEM), false},
		{&os.PathError{Op: "open", Path: "spool.db", Err: syscall.EACCES}, false},
	} {
		if got := errors.Is(damaged(c.err), ErrCorrupt); got != c.want {
			t.Errorf("%v: damage %v, want %v", c.err, got, c.want)
		}
	}
}
