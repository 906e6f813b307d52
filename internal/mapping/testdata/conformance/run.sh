#!/bin/sh
# Judges the mapper by libraries that are not ours, from PyPI, in a virtual
# environment that is thrown away. Further bundles may be given as arguments.
# CONFORMANCE_VENV keeps the environment for the next time.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${CONFORMANCE_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
# The other golden files are about input that is not valid STIX to begin with.
golden=$(ls "$here"/../golden/*.txtar | grep -Ev '/(values|other_types|references|unknown_types|platform_fields|broken_.*|error_body|page|report_content|author)\.txtar$')
cd "$root"
# shellcheck disable=SC2086
go run ./internal/mapping/testdata/conformance "$work/out" "$here/../profile.json" $golden "$@"
"$venv/bin/python" "$here/judge.py" "$work/out" internal/mapping/relationships.csv
