#!/bin/sh
# What the tests of the page at /ui/ need.
#
#   browser.sh install   make sure that there are a Chromium and axe-core
#   browser.sh path      print the Chromium's path
#   browser.sh axe       print the path of axe.min.js, fetched into the user's cache when it is not there
#
# Chromium: $CHROMIUM, else this machine's; else, as root on Debian, the package.
# axe-core comes with npm.
set -eu

AXE=4.14.1

say() { echo "browser.sh: $*" >&2; }
die() { say "$*"; exit 1; }

find_chromium() {
	if [ -n "${CHROMIUM:-}" ]; then echo "$CHROMIUM"; return; fi
	for name in chromium chromium-browser google-chrome; do
		if command -v "$name"; then return; fi
	done
	return 1
}

apt_install() {
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
	say "installing $1"
	{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$1"; } >&2
}

path() {
	find_chromium || die "no Chromium found: set CHROMIUM to one, or install it (Debian: apt-get install chromium)"
}

axe() {
	dir=${XDG_CACHE_HOME:-$HOME/.cache}/threatmatch-connector/axe-core-$AXE
	if [ ! -s "$dir/axe.min.js" ]; then
		command -v npm >/dev/null || die "axe-core is not in $dir, and npm, which brings it, is not installed (Debian: apt-get install npm)"
		mkdir -p "$dir"
		work=$(mktemp -d)
		trap 'rm -rf "$work"' EXIT
		(cd "$work" && npm pack --silent "axe-core@$AXE" && tar xzf axe-core-*.tgz) >&2 || die "npm does not bring axe-core@$AXE"
		cp "$work/package/axe.min.js" "$dir/new.$$" && mv "$dir/new.$$" "$dir/axe.min.js"
	fi
	echo "$dir/axe.min.js"
}

case ${1:-} in
install)
	find_chromium >/dev/null || apt_install chromium || path
	command -v npm >/dev/null || axe >/dev/null 2>&1 || apt_install npm || true
	axe >/dev/null
	;;
path) path ;;
axe) axe ;;
*) sed -n '4,6p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
esac
