#!/usr/bin/env bash
# Makes a release in dist/: an archive for each platform (binary, licences, sample
# settings, systemd unit), a bill of materials (CycloneDX) for each binary, and
# SHA-256 sums. The same commit and compiler give the same bytes.
#
#   release.sh [VERSION]     default: git describe
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C TZ=UTC

version=${1:-$(git describe --tags --always --dirty)}
commit=$(git rev-parse --short=12 HEAD)
date=$(git log -1 --format=%cI)
pkg=threatmatch-connector/internal/version
name=threatmatch-connector

rm -rf dist
mkdir -p dist
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
deploy/notices.sh --check
deploy/notices.sh --list >"$stage/licences"

for arch in amd64 arm64; do
	dir="$stage/$name-$version-linux-$arch"
	mkdir "$dir"
	GOOS=linux GOARCH=$arch CGO_ENABLED=0 go build -trimpath -buildvcs=false \
		-ldflags "-s -w -X $pkg.version=$version -X $pkg.commit=$commit -X $pkg.date=$date" -o "$dir/$name" ./cmd/$name
	python3 deploy/sbom.py "$dir/$name" "$version" "$stage/licences" >"dist/$name-$version-linux-$arch.cdx.json"
	cp LICENSE README.md deploy/THIRD_PARTY_NOTICES config/config.yml.sample deploy/systemd/$name.service deploy/MIGRATION.md deploy/TROUBLESHOOTING.md config/SETTINGS.md "$dir/"
	chmod -R u=rwX,go=rX "$dir"
	tar -C "$stage" --sort=name --owner=0 --group=0 --numeric-owner --mtime="$date" -cf - "$(basename "$dir")" |
		gzip -n9 >"dist/$(basename "$dir").tar.gz"
done
(cd dist && sha256sum -- *.tar.gz *.cdx.json >SHA256SUMS)
ls -l dist
