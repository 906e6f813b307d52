package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
)

// Peer is the process at the other end of the socket.
type Peer struct {
	Known bool // false if the system does not say
	UID   int
	PID   int // 0 if the system does not say
}

// String names the peer for logs.
func (p Peer) String() string {
	if !p.Known {
		return "unknown"
	}
	return fmt.Sprintf("uid %d, pid %d", p.UID, p.PID)
}

// allowed reports whether the peer may ask: only root and the user that the daemon runs as. Where the system does not
// say who asks, the mode of the socket has to protect it.
func (p Peer) allowed() bool { return !p.Known || p.UID == 0 || p.UID == os.Geteuid() }

// Self returns this process as a peer.
func Self() Peer { return Peer{Known: true, UID: os.Geteuid(), PID: os.Getpid()} }

type peerKey struct{}

// PeerOf returns the peer whose request ctx belongs to; the zero Peer if it belongs to none.
func PeerOf(ctx context.Context) Peer {
	p, _ := ctx.Value(peerKey{}).(Peer)
	return p
}

// withPeer stores the other end of a connection in its context.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	p, err := peerOf(u)
	if err != nil {
		return context.WithValue(ctx, peerKey{}, Peer{Known: true, UID: -1}) // matches no user, so it is refused
	}
	return context.WithValue(ctx, peerKey{}, p)
}

// peerOf asks the kernel for the process at the other end.
func peerOf(c *net.UnixConn) (p Peer, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var credErr error
	err = raw.Control(func(fd uintptr) { p, credErr = credentials(int(fd)) })
	return p, errors.Join(err, credErr)
}
