#!/bin/sh
# Check metrics, rules and dashboard with promtool (Debian: apt-get install prometheus).
set -eu
cd "$(dirname "$0")"
command -v promtool >/dev/null || { echo "promtool is missing: apt-get install prometheus" >&2; exit 1; }
promtool check metrics <../../internal/metrics/testdata/metrics.txt
promtool check rules threatmatch.rules.yml
promtool test rules threatmatch.rules.test.yml
