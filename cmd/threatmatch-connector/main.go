// Command threatmatch-connector brings ThreatMatch intelligence into OpenCTI.
package main

import (
	"os"

	"threatmatch-connector/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.System()))
}
