#!/usr/bin/env bash
# Runs a command with a Docker engine: the one that answers here, else, as root,
# one of its own, which goes with the command: its processes, containers, images,
# mounts and network.
#
#   docker-engine.sh COMMAND…
#
#   TIME_LIMIT      seconds after which the command is ended (default 3600)
#   ENGINE_NETWORK  host (default): an own engine has no networks but the host's,
#                   bridge: as Docker does by itself, with iptables
#
# With an own engine the command runs in namespaces of its own: it sees its own
# processes only, and of all networks the loopback. It can download nothing.
#
# The command gets DOCKER (the client), DOCKER_HOST and DOCKER_BUILDKIT. Exit code: the command's,
# 124 when its time was over, or 77, with a line that says why, where no engine
# can be had: none can be installed or started, or it does not do what every
# engine does (build, run, share files and network with this machine, hold a
# container to a memory limit), before the command or after it has failed.
#
# What an own engine needs is installed on Debian (docker.io, busybox-static).
set -euo pipefail

limit=${TIME_LIMIT:-3600}
image=threatmatch-engine-probe
fg=() # keys reach what runs here; without a terminal, signals reach all of it
[ ! -t 0 ] || fg=(--foreground)
export DOCKER_BUILDKIT=1

[ $# -gt 0 ] || { sed -n '2,20p' "$0" >&2; exit 2; }
none() { echo "docker-engine.sh: no Docker engine for this test: $*"; exit 77; }

client() { DOCKER=$(command -v "$1") && export DOCKER; }
docker() { timeout -k 5 60 "$DOCKER" "$@"; }

# What is missing is named by the line that is printed last.
probe() {
	local dir=$1 id pid code=0
	mkdir -p "$dir/bin" && cp "$(command -v busybox)" "$dir/bin/busybox" && echo here >"$dir/here" || return
	echo "it answers" && docker info >/dev/null || return
	echo "it takes an image" && tar -C "$dir" -c bin | docker import - $image:base >/dev/null || return
	echo "it builds" && printf 'FROM %s\nRUN ["/bin/busybox", "true"]\n' $image:base |
		docker build -q --network host -t $image - >/dev/null || return
	local run=(run --rm --network host --read-only --cap-drop ALL --security-opt no-new-privileges:true
		--memory 32m --memory-swap 32m -v "$dir:/dir:ro" --entrypoint /bin/busybox)
	echo "it shares files" && [ "$(docker "${run[@]}" $image cat /dir/here)" = here ] || return
	echo "it shares the network" && [ "$(docker "${run[@]}" $image readlink /proc/self/ns/net)" = "$(readlink /proc/self/ns/net)" ] || return
	echo "its processes are seen" && id=$(docker "${run[@]/--rm/-d}" $image sleep 59) || return
	pid=$(docker inspect -f '{{.State.Pid}}' "$id")
	grep -qs sleep "/proc/$pid/cmdline" || code=1
	docker rm -f "$id" >/dev/null || return
	[ $code = 0 ] || return
	echo "it leaves memory" && docker "${run[@]}" $image dd if=/dev/zero of=/dev/null bs=1M count=1 2>/dev/null || return
	echo "it holds to a memory limit" && ! docker "${run[@]}" $image dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null || return
	docker rmi $image $image:base >/dev/null
}
works() { # says why not
	local dir said
	dir=$(mktemp -d "${TMPDIR:-/tmp}/threatmatch-probe.XXXXXX")
	if said=$(probe "$dir" 2>"$dir/error"); then rm -rf "$dir"; return; fi
	echo "not true: ${said##*$'\n'}: $(tail -n 1 "$dir/error")"
	rm -rf "$dir"
	return 1
}

# Runs the command, and the probe again when it failed: is it the engine's fault?
with_engine() {
	local code=0 why
	timeout "${fg[@]}" -k 30 "$limit" "$@" || code=$?
	[ $code = 0 ] || why=$(works) || none "$why, after the command has failed"
	return $code
}

install() { # starts nothing
	[ -x /usr/bin/docker ] && command -v dockerd >/dev/null && command -v busybox >/dev/null && return
	command -v apt-get >/dev/null || { echo "dockerd or busybox is missing"; return 1; }
	local policy=/usr/sbin/policy-rc.d made='' code=0
	[ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && made=1; }
	{ timeout 120 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 180 apt-get install -yqq --no-install-recommends \
		docker.io busybox-static; } >/dev/null 2>&1 || code=1
	[ -z "$made" ] || rm -f $policy
	[ $code = 0 ] || echo "docker.io and busybox-static cannot be installed"
	return $code
}

# Within namespaces of its own, all of which end with it.
own_engine() {
	local work=$1 flags=(--bridge=none --iptables=false --ip6tables=false) why code=0
	shift
	[ "${ENGINE_NETWORK:-host}" = host ] || flags=()
	busybox ip link set lo up || none "no loopback in a network of its own"
	export DOCKER_HOST="unix://$work/docker.sock"
	dockerd "${flags[@]}" --data-root "$work/data" --exec-root "$work/exec" -H "$DOCKER_HOST" --pidfile "$work/dockerd.pid" >"$work/dockerd.log" 2>&1 &
	local engine=$! patience=120
	until docker info >/dev/null 2>&1; do
		patience=$((patience - 1))
		kill -0 $engine 2>/dev/null && [ $patience -gt 0 ] || none "dockerd does not start: $(tail -n 1 "$work/dockerd.log")"
		sleep 0.5
	done
	why=$(works) || none "$why"
	with_engine "$@" || code=$?
	kill $engine 2>/dev/null && wait $engine || true
	exit $code
}

if [ "${1:-}" = --inside ]; then # what this script calls itself by, below
	shift
	own_engine "$@"
fi
why="none answers"
if client "${DOCKER:-docker}" && docker info >/dev/null 2>&1; then
	if ! command -v busybox >/dev/null; then why="busybox is missing"; elif why=$(works); then
		with_engine "$@"
		exit
	fi
fi
[ "$(id -u)" = 0 ] || none "$why, and only root can start one"
why=$(install) || none "$why"
# Its own client, whatever the PATH begins with: Debian's has a builder of its
# own, a newer one has none without buildx.
client /usr/bin/docker || none "/usr/bin/docker, the client of docker.io, is missing"
work=$(mktemp -d "${TMPDIR:-/tmp}/threatmatch-engine.XXXXXX")
trap 'rm -rf "$work" 2>/dev/null || true' EXIT
inside=(unshare --mount --net --pid --fork --kill-child --mount-proc)
"${inside[@]}" true 2>/dev/null || none "no namespaces can be made here"
code=0
# This limit only counts where the engine, or ending it, hangs.
timeout "${fg[@]}" -k 5 $((limit + 300)) "${inside[@]}" "$0" --inside "$work" "$@" || code=$?
[ $SECONDS -lt $((limit + 300)) ] || none "it hangs"
exit $code
