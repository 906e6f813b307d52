#!/usr/bin/env bash
# Fuzzes every decoder of the packages given (default: all) for FUZZTIME each (default 20s).
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for pkg in $(go list "${@:-./...}"); do
	for target in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
		echo "$pkg $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-20s}" -fuzzminimizetime 10x "$pkg" 2>&1 | tee "$out" | tail -n 3 && continue
		# On a busy machine go test may count the end of the time as a failure.
		if grep -q 'context deadline exceeded' "$out" && ! grep -q 'Failing input written' "$out"; then
			echo "$target: the time was over, nothing was found"
			continue
		fi
		cat "$out"
		exit 1
	done
done
