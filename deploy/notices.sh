#!/usr/bin/env bash
# Prints the licences of everything that is linked into the connector, as their
# terms ask for, from the module cache.
#
#   notices.sh > deploy/THIRD_PARTY_NOTICES
#   notices.sh --check     exit 1 when that file is not what would be printed
#   notices.sh --list      one line a module: path, version, licence
#
# It fails for a module without a licence, and for a licence that it does not
# know to be permissive.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C

modules() { # of both platforms that are released
	for arch in amd64 arm64; do
		GOOS=linux GOARCH=$arch CGO_ENABLED=0 go list -deps \
			-f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/threatmatch-connector
	done | sort -u
	echo "std - $(go env GOROOT)" # its licence does not change with the version
}

kind() { # $1 file: its SPDX identifier
	local text
	text=$(tr -s '[:space:]' ' ' <"$1")
	case $text in
	*"Apache License"*"Version 2.0"*) echo Apache-2.0 ;;
	*"Mozilla Public License"*) echo MPL-2.0 ;;
	*"Redistribution and use in source and binary forms"*"Neither the name"*) echo BSD-3-Clause ;;
	*"Redistribution and use in source and binary forms"*) echo BSD-2-Clause ;;
	*"Permission is hereby granted, free of charge"*) echo MIT ;;
	*"Permission to use, copy, modify, and/or distribute"* | *"Permission to use, copy, modify, and distribute"*) echo ISC ;;
	*) return 1 ;;
	esac
}

each() { # calls $1 with path, version, licence, files…
	local path version dir files id
	while read -r path version dir; do
		mapfile -t files < <(find "$dir" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' -o -iname 'notice*' \) ! -iname '*.go' | sort)
		[ ${#files[@]} -gt 0 ] || { echo "notices.sh: $path $version has no licence file" >&2; return 1; }
		id=
		for f in "${files[@]}"; do id=$(kind "$f") && break; done || true
		[ -n "$id" ] || { echo "notices.sh: $path $version: unknown licence in ${files[*]##*/}" >&2; return 1; }
		"$1" "$path" "$version" "$id" "${files[@]}"
	done < <(modules)
}

line() { printf '%s %s %s\n' "$1" "$2" "$3"; }

whole() {
	local name="$1 $2"
	[ "$1" != std ] || name="Go standard library and runtime"
	printf '\n%s\n%s (%s)\n%s\n' "$(printf '=%.0s' {1..80})" "$name" "$3" "$(printf '=%.0s' {1..80})"
	shift 3
	for f in "$@"; do printf '\n'; tr -d '\r' <"$f"; done
}

print() {
	echo "threatmatch-connector contains the software below, each under its own licence."
	each whole
}

case ${1:-} in
'') print ;;
--list) each line ;;
--check)
	print | cmp -s - deploy/THIRD_PARTY_NOTICES || { echo "deploy/THIRD_PARTY_NOTICES is out of date: deploy/notices.sh > deploy/THIRD_PARTY_NOTICES" >&2; exit 1; }
	;;
*) sed -n '2,12p' "$0" >&2; exit 2 ;;
esac
