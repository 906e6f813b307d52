package facts

import (
	"strconv"
	"strings"
)

// Version names a release of OpenCTI. The zero value stands for an unknown version: only what both 6.8.10 and 6.9.17
// accept is accepted.
type Version string

// The releases whose source was read.
const (
	Unknown Version = ""
	V6_8    Version = "6.8.10"
	V6_9    Version = "6.9.17"
	V7      Version = "7.26"
)

// VersionOf returns the release whose facts apply to a platform that reports about as its version ("6.9.12",
// "7.260309.0"): the newest one that is not newer. It returns Unknown for older platforms and for text that is not a
// version.
func VersionOf(about string) Version {
	majorText, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(about), "v"), ".")
	minorText, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(majorText)
	if err != nil {
		return Unknown
	}
	minor, err := strconv.Atoi(minorText)
	switch {
	case major >= 7:
		return V7
	case major < 6 || err != nil || minor < 8:
		return Unknown
	case minor == 8:
		return V6_8
	}
	return V6_9
}
