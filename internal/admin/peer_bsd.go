//go:build darwin || freebsd

package admin

import "golang.org/x/sys/unix"

func credentials(fd int) (Peer, error) {
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return Peer{}, err
	}
	return Peer{Known: true, UID: int(cred.Uid)}, nil
}
