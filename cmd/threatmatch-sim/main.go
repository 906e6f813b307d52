// Threatmatch-sim serves stand-ins for ThreatMatch and OpenCTI.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"threatmatch-connector/internal/sim/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command.New(os.Stdout, os.Stderr).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "threatmatch-sim:", err)
		os.Exit(1)
	}
}
