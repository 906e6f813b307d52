//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package threatmatch

import (
	"errors"
	"os"
)

const canMap = false

func mapFile(*os.File, int) ([]byte, func(), error) { return nil, nil, errors.ErrUnsupported }
