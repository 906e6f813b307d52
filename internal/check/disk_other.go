//go:build !linux

package check

func remoteFS(string) (string, bool) { return "", false }

func diskFree(string) (int64, bool) { return 0, false }
