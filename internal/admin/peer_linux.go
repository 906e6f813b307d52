package admin

import "golang.org/x/sys/unix"

func credentials(fd int) (Peer, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Peer{}, err
	}
	return Peer{Known: true, UID: int(cred.Uid), PID: int(cred.Pid)}, nil
}
