package admin

import (
	"context"
	"fmt"
	"net"
	"os"
)

// Peer is who asks over the socket.
type Peer struct {
	Known bool // false where the system does not tell
	UID   int
	PID   int // 0 where the system does not tell
}

// String names the peer for logs.
func (p Peer) String() string {
	if !p.Known {
		return "unknown"
	}
	return fmt.Sprintf("uid %d, pid %d", p.UID, p.PID)
}

// allowed reports whether the peer may ask: the user that the daemon runs as,
// and root. Where the system does not tell, the socket's mode has to do.
func (p Peer) allowed() bool { return !p.Known || p.UID == 0 || p.UID == os.Geteuid() }

// Self is the peer that this process is to others.
func Self() Peer { return Peer{Known: true, UID: os.Geteuid(), PID: os.Getpid()} }

type peerKey struct{}

// PeerOf returns who asked for what ctx belongs to.
func PeerOf(ctx context.Context) Peer {
	p, _ := ctx.Value(peerKey{}).(Peer)
	return p
}

// withPeer notes the other end of a connection in its context.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	p, err := peerOf(u)
	if err != nil {
		return context.WithValue(ctx, peerKey{}, Peer{Known: true, UID: -1}) // refused
	}
	return context.WithValue(ctx, peerKey{}, p)
}
