#!/usr/bin/env bash
# Looks for known vulnerabilities in what the connector calls, with govulncheck.
# Not a part of CI: it needs the Go vulnerability database, from the network or
# from a copy:  GOVULNDB=file:///path/to/copy deploy/vuln.sh
#
# Exit code 3: vulnerable; 1: it could not be checked.
set -euo pipefail
cd "$(dirname "$0")/.."
go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ${GOVULNDB:+-db "$GOVULNDB"} "$@" ./cmd/threatmatch-connector
