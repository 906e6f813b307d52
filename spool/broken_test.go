package spool

import (
	"errors"
	"syscall"
	"testing"

	"threatmatch-connector/spool/internal/boltfile"
)

// A process that opens the spool after a clean stop notes on disk that it is in use before it writes, so that a kill
// is noticed and the whole file is checked.
func TestKillAfterACleanStopIsUnclean(t *testing.T) {
	o := Options{Dir: t.TempDir(), ConnectorID: "c", noReserve: true}
	ok(t, must(Open(t.Context(), o)).Close())
	if info := must(ReadLock(o.Dir)); !info.Clean {
		t.Fatalf("after a clean stop the note says %+v", info)
	}
	crash(t, must(Open(t.Context(), o)))
	if info := must(ReadLock(o.Dir)); info.Clean {
		t.Errorf("after a kill the note says %+v, want it unclean", info)
	}
}

// A failed commit changed nothing only if the disk was full and the file's meta page is older than the commit. After
// any other failure the spool can only be read.
func TestFailedCommits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		ahead int // of the newest meta page
		want  error
	}{
		{"full, not reached", syscall.ENOSPC, 1, ErrFull},
		{"full, reached", syscall.ENOSPC, 0, ErrBroken},
		{"full, passed", syscall.ENOSPC, -1, ErrBroken},
		{"unreadable", syscall.EIO, 1, ErrBroken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := must(Open(t.Context(), Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true}))
			defer func() { _ = s.Close() }()
			txid := int(must(boltfile.Newest(s.path)).Txid) + tt.ahead
			if err := s.commitError(tt.err, txid); !errors.Is(err, tt.want) || !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			var after error
			if tt.want == ErrBroken {
				after = ErrBroken
			}
			if err := s.SavePlatform(1, []byte(`{}`)); !errors.Is(err, after) {
				t.Errorf("the next commit: %v, want %v", err, after)
			}
			must(s.Meta()) // reading still works
		})
	}
}
