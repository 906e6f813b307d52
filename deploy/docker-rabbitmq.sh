#!/usr/bin/env bash
# Makes an image of this machine's RabbitMQ (Debian: rabbitmq-server,
# busybox-static), for trying docker-compose.demo.yml where the broker's own image
# cannot be pulled. Prints its name.
#
#   docker-rabbitmq.sh [TAG]        then RABBITMQ_IMAGE=TAG docker-compose …
set -euo pipefail
tag=${1:-threatmatch-rabbitmq:test}
docker=${DOCKER:-docker}

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,tmp,root,etc/rabbitmq,usr/bin,usr/lib,var/lib/rabbitmq,var/log/rabbitmq}
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"
cp "$(command -v busybox)" "$root/bin/busybox"
for tool in $(busybox --list); do [ "$tool" = busybox ] || ln -s busybox "$root/bin/$tool"; done
cp -a /usr/lib/erlang /usr/lib/rabbitmq "$root/usr/lib/"
for tool in erl erlc escript epmd; do ln -s ../lib/erlang/bin/$tool "$root/usr/bin/$tool"; done
for tool in "$root"/usr/lib/rabbitmq/bin/rabbitmq*; do ln -s "../lib/rabbitmq/bin/${tool##*/}" "$root/usr/bin/${tool##*/}"; done
# Every library that a program or a part of Erlang is linked with, and its loader.
{ find -L /usr/lib/erlang -type f \( -perm /111 -o -name '*.so' \) -exec ldd {} + 2>/dev/null || true; } | # scripts have none
	grep -o '/[^ ]*\.so[^ ]*' | grep -v ':$' | grep -v /usr/lib/erlang | sort -u | while read -r lib; do
	to="$root/usr${lib#/usr}"
	mkdir -p "${to%/*}" && cp -L "$lib" "$to"
done
echo 'root:x:0:0::/var/lib/rabbitmq:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"

tar -C "$root" --owner=0 --group=0 -cf - . | "$docker" import \
	--change 'ENV PATH=/usr/bin:/bin HOME=/var/lib/rabbitmq LANG=C.UTF-8 RABBITMQ_LOGS=- RABBITMQ_CONF_ENV_FILE=/none' \
	--change 'CMD ["rabbitmq-server"]' --change 'EXPOSE 5672' - "$tag" >/dev/null
echo "$tag"
