//go:build !linux

package check

func remoteFS(string) (string, bool) { return "", false }
