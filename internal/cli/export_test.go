package cli

import (
	"time"

	"github.com/spf13/cobra"
)

// NotAllowed is the error for a socket that refuses us.
var NotAllowed = notAllowed

// Root is the command tree, for tests that must know every command.
func Root() *cobra.Command {
	return newRoot(&globals{env: Env{Now: time.Now}})
}

// ReasonOf is how tables print why a run began.
var ReasonOf = reasonOf

// ProgressOf is how status says how far a run is.
var ProgressOf = progressOf
