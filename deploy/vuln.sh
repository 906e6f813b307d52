#!/usr/bin/env bash
# Looks for known vulnerabilities in what the connector calls, with govulncheck.
# Not a part of CI: it needs the Go vulnerability database, from the network or
# from a copy:  GOVULNDB=file:///path/to/copy deploy/vuln.sh
#
# Where the database cannot be reached, a line says that nothing was checked, and
# that is no failure. Exit code 3: vulnerable; 1: it could not be checked for
# another reason.
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ ${GOVULNDB:-} == file://* ]] && [ ! -s "${GOVULNDB#file://}/index/modules.json" ]; then # govulncheck finds nothing in nothing
	echo "vuln.sh: no vulnerability database in $GOVULNDB: index/modules.json is missing" >&2
	exit 1
fi
error=$(mktemp)
trap 'rm -f "$error"' EXIT
code=0
go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ${GOVULNDB:+-db "$GOVULNDB"} "$@" ./cmd/threatmatch-connector 2>"$error" || code=$?
cat "$error" >&2
if grep -q 'fetching vulnerabilities: .*dial' "$error"; then
	echo "vuln.sh: NOT CHECKED: the vulnerability database cannot be reached from here; name a copy with GOVULNDB=file:///path/to/copy"
	exit 0
fi
[ "$code" = 0 ] || grep -q 'exit status 3' "$error" || exit 1
[ "$code" = 0 ] || exit 3
