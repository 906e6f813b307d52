#!/usr/bin/env bash
# Makes a base image for deploy/Dockerfile out of this machine's Go, module cache
# and CA certificates, for machines that cannot pull the pinned one, and tags it
# as that. Nothing but the image building needs: busybox, Go, certificates, and
# the modules as a proxy of files.
#
#   docker-base.sh [--small] [TAG]     --small: without Go, for BINARY=prebuilt
set -euo pipefail
cd "$(dirname "$0")/.."
small=
[ "${1:-}" != --small ] || { small=1; shift; }
tag=${1:-$(sed -n 's/^ARG GO_IMAGE=//p' deploy/Dockerfile)}
docker=${DOCKER:-docker}

busybox=$(command -v busybox) || { echo "docker-base.sh: needs busybox (Debian: busybox-static)" >&2; exit 1; }
if ldd "$busybox" >/dev/null 2>&1; then echo "docker-base.sh: $busybox is not static (Debian: busybox-static)" >&2; exit 1; fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,tmp,root,etc/ssl/certs,usr/local}
cp "$busybox" "$root/bin/busybox"
for tool in sh mkdir cp echo chown chmod rm ls cat; do ln -s busybox "$root/bin/$tool"; done
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
if [ -z "$small" ]; then
	go mod download
	mkdir "$root/usr/local/go" "$root/proxy"
	tar -C "$(go env GOROOT)" --exclude=./test --exclude=./api --exclude=./doc -cf - . | tar -C "$root/usr/local/go" -xf -
	tar -C "$(go env GOMODCACHE)/cache/download" --exclude='*.lock' --exclude=./sumdb -cf - . | tar -C "$root/proxy" -xf -
fi

tar -C "$root" --owner=0 --group=0 -cf - . | "$docker" import \
	--change 'ENV PATH=/usr/local/go/bin:/bin GOPROXY=file:///proxy GOSUMDB=off GOTOOLCHAIN=local' - "$tag" >/dev/null
echo "$tag"
