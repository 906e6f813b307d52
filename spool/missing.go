package spool

import (
	"fmt"
	"os"
)

// Missing returns an error that says what to do if the file at the spool's path is not the open one: everything goes on
// with the open file, but the system removes that when the process ends.
func (s *Spool) Missing() error {
	mine, err := s.file.Stat()
	if err != nil {
		return ErrClosed
	}
	if there, err := os.Stat(s.path); err == nil && os.SameFile(mine, there) {
		return nil
	}
	return fmt.Errorf("%s was removed or replaced while the connector has it open: it goes on, but what the spool holds is lost when it ends. "+
		"Do not stop it before you have a copy: threatmatch-connector spool snapshot FILE; then stop it, and put the copy there as %s", s.path, fileName)
}
