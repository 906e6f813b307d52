# shellcheck shell=bash
# What docker-test.sh works with: said and counted results, the stand-ins and a
# broker on this machine, containers of ours, and cleaning up behind all of it.
# shellcheck disable=SC2154

label=threatmatch-docker-test=$$
work=$(mktemp -d "${TMPDIR:-/tmp}/threatmatch-docker.XXXXXX")
export RABBITMQ_DIR="$work/rabbitmq"
unset AMQP_URL
docker=$DOCKER
sim_pid='' failures=0

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
ok() { echo "ok    $*"; }
bad() {
	echo "FAIL  $*"
	failures=$((failures + 1))
	[ -z "${FAIL_FAST:-}" ] || exit 1
}
check() { # DESCRIPTION COMMAND…
	local what=$1
	shift
	if "$@"; then ok "$what"; else bad "$what"; fi
}
number() { # JSON on standard input: the value of a path, such as worker.messages
	python3 -c 'import json,sys
v=json.load(sys.stdin)
for k in sys.argv[1].split("."): v=v[k]
print(len(v) if isinstance(v,(list,dict)) else json.dumps(v).strip("\""))' "$1"
}
wait_for() { # SECONDS COMMAND…
	local n=$(($1 * 4))
	shift
	until "$@"; do
		n=$((n - 1))
		[ $n -gt 0 ] || return 1
		sleep 0.25
	done
}

clean() {
	set +e
	local ids
	[ -z "$sim_pid" ] || kill "$sim_pid" 2>/dev/null || true
	ids=$(timeout 30 "$docker" ps -aq --filter "label=$label" 2>/dev/null)
	# shellcheck disable=SC2086
	[ -z "$ids" ] || "$docker" rm -fv $ids >/dev/null 2>&1 || true
	ids=$(timeout 30 "$docker" volume ls -q --filter "label=$label" 2>/dev/null)
	# shellcheck disable=SC2086
	[ -z "$ids" ] || "$docker" volume rm $ids >/dev/null 2>&1 || true
	deploy/rabbitmq.sh clean >/dev/null 2>&1 || true
	rm -rf "$work" || true
}

# The stand-ins with the given content; their environment becomes ours.
stand_ins() {
	[ -z "$sim_pid" ] || { kill "$sim_pid" && wait "$sim_pid" || true; } 2>/dev/null
	AMQP_URL=$(deploy/rabbitmq.sh start)
	rm -f "$work/env"
	AMQP_URL=$AMQP_URL bin/threatmatch-sim --env-file "$work/env" "$@" >"$work/sim.log" 2>&1 &
	sim_pid=$!
	unset AMQP_URL
	wait_for 30 test -s "$work/env" || { cat "$work/sim.log" >&2; exit 1; }
	set -a
	# shellcheck disable=SC1091
	. "$work/env"
	set +a
}
stats() { curl -fs "$SIM_URL/stats"; }
arrived() { stats | number worker.messages; }
at_least() { [ "$(arrived)" -ge "$1" ]; }
verdict() { [ "$(curl -fs "$SIM_URL/verdict" | number ok)" = true ]; }
again() { stats | number threatmatch.repeated; }

# A container as docker-compose.yml makes it. NAME VOLUME FLAGS…
connector() {
	local name=$1 volume=$2
	shift 2
	case $volume in
	/*) ;;
	*) "$docker" volume create --label "$label" "$volume" >/dev/null ;;
	esac
	"$docker" run -d --label "$label" --name "$name" --network host --read-only --tmpfs /tmp --cap-drop ALL \
		--security-opt no-new-privileges:true --stop-timeout 15 --memory 128m --memory-swap 128m \
		--health-interval 2s --health-start-period 1s -v "$volume:/var/lib/threatmatch-connector" \
		-e OPENCTI_URL -e OPENCTI_TOKEN -e CONNECTOR_ID -e CONNECTOR_NAME -e CONNECTOR_SCOPE -e CONNECTOR_LOG_LEVEL=info \
		-e THREATMATCH_URL -e THREATMATCH_CLIENT_ID -e THREATMATCH_CLIENT_SECRET -e THREATMATCH_IMPORT_FROM_DATE \
		-e THREATMATCH_REQUESTS_PER_SECOND=1000 -e BUNDLE_MAX_WAIT=PT1S "$@" "$image" >/dev/null
}
state() { "$docker" inspect -f "{{.State.$2}}" "$1"; }
has_state() { [ "$(state "$1" "$2")" = "$3" ]; }
logs() { "$docker" logs "$1" 2>&1; }
ended() { has_state "$1" Running false; }
of_image() { "$docker" image inspect -f "$1" "$image"; }
file_modes() { # of the spool's files, seen by the host
	find "$("$docker" volume inspect -f '{{.Mountpoint}}' "$1")" -mindepth 1 -printf '%f %m\n' | sort
}

