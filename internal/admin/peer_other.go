//go:build !linux && !darwin && !freebsd

package admin

func credentials(int) (Peer, error) { return Peer{}, nil }
