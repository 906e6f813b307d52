#!/bin/sh
# A RabbitMQ for tests and the demo.
#
#   rabbitmq.sh start  [-d DIR] [-p PORT] [-c FILE]   start a node (or start it again), print its URL
#   rabbitmq.sh stop   [-d DIR]                       stop it in good order; its data stays in DIR
#   rabbitmq.sh kill   [-d DIR]                       stop it with SIGKILL
#   rabbitmq.sh status [-d DIR]                       exit 0 when it runs
#   rabbitmq.sh url    [-d DIR]                       print its AMQP URL
#   rabbitmq.sh ctl    [-d DIR] ARGS…                 rabbitmqctl for this node
#   rabbitmq.sh clean  [-d DIR]                       kill it and remove DIR
#   rabbitmq.sh install                               make sure that a node could be started
#
# DIR holds everything of one node (default $RABBITMQ_DIR, else a directory of
# the user's under the temp directory); nodes in different directories do not
# know each other. -c adds lines to rabbitmq.conf (TLS, limits).
#
# Where the node comes from: $AMQP_URL, when set, is used as it is and never
# stopped; else rabbitmq-server of this machine as a private node on a free
# loopback port; else, as root on Debian, the same after installing the package;
# else docker.
set -eu

# A background epmd or node must not inherit what a test harness set for another one.
unset RABBITMQ_NODENAME RABBITMQ_NODE_PORT RABBITMQ_DIST_PORT RABBITMQ_CONFIG_FILE 2>/dev/null || true

MISSING="no RabbitMQ found: set AMQP_URL to one, or install it (Debian: apt-get install rabbitmq-server), or start docker"

say() { echo "rabbitmq.sh: $*" >&2; }
die() { say "$*"; exit 1; }
usage() { sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }

port_in_use() { # $1 port: something listens on it, on any address
	hex=$(printf ':%04X' "$1")
	cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v p="$hex" '$4=="0A" && substr($2,length($2)-4)==p {f=1} END {exit !f}'
}

free_port() { # below the kernel's range for outgoing connections
	n=0
	while [ $n -lt 200 ]; do
		r=$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')
		p=$((20000 + r % 12000))
		case " ${taken:-} " in *" $p "*) n=$((n + 1)); continue ;; esac
		if ! port_in_use $p; then echo $p; return; fi
		n=$((n + 1))
	done
	die "no free port found"
}

alive() { # $1 pid file
	[ -s "$1" ] || return 1
	pid=$(cat "$1" 2>/dev/null) || return 1
	kill -0 "$pid" 2>/dev/null || return 1
	# A zombie has an empty environment; another process under a number used
	# again has another home. Neither is ours.
	tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep -qx "HOME=$DIR"
}

find_server() { # the program itself, past Debian's wrapper, which insists on root or rabbitmq
	for f in /usr/lib/rabbitmq/bin/rabbitmq-server "$(command -v rabbitmq-server 2>/dev/null || true)" /usr/sbin/rabbitmq-server /usr/local/sbin/rabbitmq-server; do
		if [ -n "$f" ] && [ -x "$f" ]; then echo "$f"; return 0; fi
	done
	return 1
}

install_server() {
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
	say "installing the package rabbitmq-server"
	made=
	if [ ! -e /usr/sbin/policy-rc.d ]; then # the package must not start a node of its own
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && made=1
	fi
	ok=0
	{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends rabbitmq-server; } >&2 || ok=1
	[ -z "$made" ] || rm -f /usr/sbin/policy-rc.d
	return $ok
}

server_or_install() { find_server || { install_server && find_server; }; }

has_docker() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

node_env() { # environment of the node and of its tools
	. "$DIR/node"
	export HOME="$DIR"
	export RABBITMQ_NODENAME="$NAME" RABBITMQ_NODE_PORT="$PORT" RABBITMQ_DIST_PORT="$DIST" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
	export RABBITMQ_MNESIA_BASE="$DIR/mnesia" RABBITMQ_LOG_BASE="$DIR/log" RABBITMQ_PID_FILE="$DIR/own.pid"
	export RABBITMQ_CONFIG_FILE="$DIR/rabbitmq" RABBITMQ_CONF_ENV_FILE="$DIR/none" RABBITMQ_ENABLED_PLUGINS_FILE="$DIR/plugins"
	export RABBITMQ_ALLOW_INPUT=1
	export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} +sbwt none"
	export ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$EPMD"
}

node_write() {
	taken=
	PORT=${PORT:-$(free_port)}; taken="$PORT"
	DIST=$(free_port); taken="$taken $DIST"
	EPMD=$(free_port)
	NAME="tm$PORT@localhost"
	printf 'MODE=private\nPORT=%s\nDIST=%s\nEPMD=%s\nNAME=%s\nURL=%s\n' "$PORT" "$DIST" "$EPMD" "$NAME" "amqp://guest:guest@127.0.0.1:$PORT/" >"$DIR/node"
}

wait_ready() {
	n=0
	while [ $n -lt 300 ]; do
		if grep -q 'Starting broker\.\.\. completed' "$DIR/out" 2>/dev/null && port_in_use "$PORT"; then return 0; fi
		alive "$DIR/server.pid" || [ $n -lt 20 ] || return 1
		sleep 0.2
		n=$((n + 1))
	done
	return 1
}

start_private() {
	server=$1
	[ -f "$DIR/node" ] || node_write
	node_env
	{ echo "listeners.tcp.1 = 127.0.0.1:$PORT"; echo "log.file.level = warning"; [ ! -f "$DIR/extra.conf" ] || cat "$DIR/extra.conf"; } >"$DIR/rabbitmq.conf"
	echo '[].' >"$DIR/plugins"
	rm -f "$DIR/out" "$DIR/server.pid"
	cd "$DIR"
	if ! alive "$DIR/epmd.pid"; then
		setsid epmd -port "$EPMD" -address 127.0.0.1 </dev/null >/dev/null 2>&1 &
		echo $! >"$DIR/epmd.pid"
	fi
	setsid "$server" -noinput </dev/null >"$DIR/out" 2>&1 &
	echo $! >"$DIR/server.pid"
	if wait_ready; then echo "$URL"; return; fi
	tail -n 20 "$DIR/out" >&2 || true
	stop_private KILL
	return 1
}

stop_private() { # $1 signal
	if alive "$DIR/server.pid"; then
		pid=$(cat "$DIR/server.pid")
		kill -"$1" "$pid" 2>/dev/null || true
		n=0
		while alive "$DIR/server.pid"; do
			n=$((n + 1))
			[ $n -lt 150 ] || { kill -KILL "$pid" 2>/dev/null || true; sleep 0.2; break; }
			sleep 0.2
		done
	fi
	rm -f "$DIR/server.pid"
	if alive "$DIR/epmd.pid"; then kill "$(cat "$DIR/epmd.pid")" 2>/dev/null || true; fi
	rm -f "$DIR/epmd.pid"
}

start_docker() {
	[ -f "$DIR/node" ] || {
		PORT=${PORT:-$(free_port)}
		printf 'MODE=docker\nPORT=%s\nNAME=tm-rabbitmq-%s\nURL=%s\n' "$PORT" "$PORT" "amqp://guest:guest@127.0.0.1:$PORT/" >"$DIR/node"
	}
	. "$DIR/node"
	docker start "$NAME" >/dev/null 2>&1 ||
		docker run -d --name "$NAME" --hostname "$NAME" -p "127.0.0.1:$PORT:5672" "${RABBITMQ_IMAGE:-rabbitmq:3}" >/dev/null || return 1
	n=0
	while ! docker exec "$NAME" rabbitmq-diagnostics -q check_port_connectivity >/dev/null 2>&1; do
		n=$((n + 1))
		[ $n -lt 60 ] || return 1
		sleep 1
	done
	echo "$URL"
}

start() {
	if [ -n "${AMQP_URL:-}" ]; then echo "$AMQP_URL"; return; fi
	mkdir -p "$DIR" && chmod 700 "$DIR"
	[ -z "$CONF" ] || cp "$CONF" "$DIR/extra.conf"
	if status; then . "$DIR/node"; echo "$URL"; return; fi
	if [ -f "$DIR/node" ] && grep -q MODE=docker "$DIR/node"; then start_docker || die "docker does not start the node"; return; fi
	server=$(server_or_install || true)
	if [ -n "$server" ]; then
		known=; [ -f "$DIR/node" ] && known=1
		for _ in 1 2 3; do
			if start_private "$server"; then return; fi
			# A port may have been taken between choosing and listening. A node that
			# already ran keeps its address: clients know it.
			[ -n "$known" ] || { [ -n "$GIVEN" ] || PORT=; rm -f "$DIR/node"; }
		done
		die "the node in $DIR does not start; see $DIR/out and $DIR/log"
	fi
	if has_docker && start_docker; then return; fi
	die "$MISSING"
}

install() {
	if [ -n "${AMQP_URL:-}" ] || server_or_install >/dev/null || has_docker; then return; fi
	die "$MISSING"
}

status() {
	[ -f "$DIR/node" ] || return 1
	if grep -q MODE=docker "$DIR/node"; then
		. "$DIR/node"
		[ "$(docker inspect -f '{{.State.Running}}' "$NAME" 2>/dev/null)" = true ]
	else
		alive "$DIR/server.pid"
	fi
}

stop() { # $1 signal
	if [ -n "${AMQP_URL:-}" ]; then say "the node at AMQP_URL is not ours to stop"; return; fi
	[ -f "$DIR/node" ] || return 0
	if grep -q MODE=docker "$DIR/node"; then
		. "$DIR/node"
		if [ "$1" = KILL ]; then docker kill "$NAME" >/dev/null 2>&1 || true; else docker stop "$NAME" >/dev/null 2>&1 || true; fi
	else
		stop_private "$1"
	fi
}

clean() {
	stop KILL
	if [ -f "$DIR/node" ] && grep -q MODE=docker "$DIR/node"; then . "$DIR/node"; docker rm -f "$NAME" >/dev/null 2>&1 || true; fi
	# Only a directory that this script made is removed.
	if [ -f "$DIR/node" ]; then rm -rf "$DIR"; fi
}

ctl() {
	[ -f "$DIR/node" ] || die "no node in $DIR"
	if grep -q MODE=docker "$DIR/node"; then . "$DIR/node"; exec docker exec "$NAME" rabbitmqctl "$@"; fi
	node_env
	tool=$(dirname "$(find_server)")/rabbitmqctl
	cd "$DIR"
	exec "$tool" -q "$@"
}

[ $# -ge 1 ] || usage
command=$1; shift
DIR=${RABBITMQ_DIR:-${TMPDIR:-/tmp}/threatmatch-rabbitmq-$(id -u)}
PORT=; GIVEN=; CONF=
while [ $# -gt 0 ]; do
	case $1 in
	-d) [ $# -ge 2 ] || usage; DIR=$2; shift 2 ;;
	-p) [ $# -ge 2 ] || usage; PORT=$2; GIVEN=1; shift 2 ;;
	-c) [ $# -ge 2 ] || usage; CONF=$2; shift 2 ;;
	*) break ;;
	esac
done
case $DIR in /*) ;; *) DIR=$PWD/$DIR ;; esac
case $command in
start) start ;;
stop) stop TERM ;;
kill) stop KILL ;;
status) if [ -n "${AMQP_URL:-}" ]; then echo "$AMQP_URL"; elif status; then echo running; else echo stopped; exit 1; fi ;;
url) if [ -n "${AMQP_URL:-}" ]; then echo "$AMQP_URL"; elif [ -f "$DIR/node" ]; then . "$DIR/node"; echo "$URL"; else die "no node in $DIR"; fi ;;
ctl) ctl "$@" ;;
clean) clean ;;
install) install ;;
*) usage ;;
esac
