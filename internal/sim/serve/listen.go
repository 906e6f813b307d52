package serve

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// Listen listens on a free port of host that it takes from below the range of
// outgoing connections (Linux: 32768 and above), so that nobody has taken it
// when a test closes it and listens there again.
func Listen(host string) (net.Listener, error) { return ListenIn(host, 16384, 32768) }

// ListenIn listens on a free port of host, from from up to below to.
func ListenIn(host string, from, to int) (net.Listener, error) {
	for {
		port := from + rand.IntN(to-from)
		ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if !errors.Is(err, syscall.EADDRINUSE) {
			return ln, err
		}
	}
}
