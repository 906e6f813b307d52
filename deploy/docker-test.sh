#!/usr/bin/env bash
# Tries the image with a real Docker engine, a real RabbitMQ and the stand-ins:
# build, size, user, read-only root, health, kill and start, stop, lost volume,
# other users, a volume that cannot be written, a memory limit.
#
#   docker-test.sh              everything
#   docker-test.sh STEP…        build import lost users migrate memory
#
#   OBJECTS   objects of the import under the memory limit (default 200000)
#   BINARY    source (default), or prebuilt: the image takes bin/threatmatch-connector
#   IMAGE     an image to try, instead of building one
#
# An engine that answers is used; else, as root, dockerd is started with a data
# root of its own and ended afterwards (Debian: docker.io busybox-static iptables
# are installed where missing). Containers use the host's network.
set -euo pipefail
cd "$(dirname "$0")/.."

objects=${OBJECTS:-200000}
image=${IMAGE:-opencti/connector-threatmatch:test}
label=threatmatch-docker-test=$$
work=$(mktemp -d "${TMPDIR:-/tmp}/threatmatch-docker.XXXXXX")
export DOCKER_BUILDKIT=1 RABBITMQ_DIR="$work/rabbitmq"
unset AMQP_URL
docker=/usr/bin/docker # Debian's has a builder of its own
[ -x "$docker" ] || docker=docker
sim_pid='' engine_pid='' failures=0

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
ok() { echo "ok    $*"; }
bad() { echo "FAIL  $*"; failures=$((failures + 1)); }
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
	local ids
	[ -z "$sim_pid" ] || kill "$sim_pid" 2>/dev/null || true
	if "$docker" info >/dev/null 2>&1; then
		ids=$("$docker" ps -aq --filter "label=$label")
		# shellcheck disable=SC2086
		[ -z "$ids" ] || "$docker" rm -fv $ids >/dev/null 2>&1 || true
		ids=$("$docker" volume ls -q --filter "label=$label")
		# shellcheck disable=SC2086
		[ -z "$ids" ] || "$docker" volume rm $ids >/dev/null 2>&1 || true
	fi
	deploy/rabbitmq.sh clean >/dev/null 2>&1 || true
	[ -z "$engine_pid" ] || { kill "$engine_pid" 2>/dev/null && wait "$engine_pid" 2>/dev/null; } || true
	umount "$work/exec/netns/default" 2>/dev/null || true # the engine leaves it mounted
	rm -rf "$work" || true
}
trap clean EXIT

engine() {
	"$docker" info >/dev/null 2>&1 && return
	[ "$(id -u)" = 0 ] || { echo "no Docker engine answers, and only root can start one" >&2; exit 1; }
	if ! command -v dockerd >/dev/null || ! command -v busybox >/dev/null || ! command -v iptables >/dev/null; then
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends docker.io busybox-static iptables >/dev/null
		docker=/usr/bin/docker
	fi
	export DOCKER_HOST="unix://$work/docker.sock"
	dockerd --data-root "$work/data" --exec-root "$work/exec" -H "$DOCKER_HOST" --pidfile "$work/dockerd.pid" >"$work/dockerd.log" 2>&1 &
	engine_pid=$!
	wait_for 60 "$docker" info >/dev/null 2>&1 || { tail -n 5 "$work/dockerd.log" >&2; exit 1; }
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

step_build() {
	say "image"
	if [ -z "${IMAGE:-}" ]; then
		local base
		base=$(sed -n 's/^ARG GO_IMAGE=//p' deploy/Dockerfile)
		"$docker" image inspect "$base" >/dev/null 2>&1 || "$docker" pull -q "$base" >/dev/null 2>&1 || DOCKER=$docker deploy/docker-base.sh >/dev/null
		"$docker" build -q -f deploy/Dockerfile --build-arg BINARY="${BINARY:-source}" --build-arg VERSION=docker-test -t "$image" . >/dev/null
	fi
	local size
	size=$(of_image '{{.Size}}')
	check "size is $((size / 1000)) kB, under 25 MB" [ "$size" -lt 25000000 ]
	check "user is 65532" [ "$(of_image '{{.Config.User}}')" = 65532:65532 ]
	check "spool is a volume" [ "$(of_image '{{len .Config.Volumes}}')" = 1 ]
	check "health check asks the program" [ "$(of_image '{{.Config.Healthcheck.Test}}')" = "[CMD /usr/bin/threatmatch-connector health]" ]
	check "title label" [ "$(of_image '{{index .Config.Labels "org.opencontainers.image.title"}}')" = threatmatch-connector ]
	check "it starts and tells its version" "$docker" run --rm --label "$label" --entrypoint /usr/bin/threatmatch-connector "$image" version
	local id
	id=$("$docker" create --label "$label" "$image")
	check "CA certificates are in" "$docker" cp "$id:/etc/ssl/certs/ca-certificates.crt" "$work/ca"
	check "licences are in" "$docker" cp "$id:/usr/share/doc/threatmatch-connector" "$work/doc"
}

step_import() {
	say "import: killed, started, stopped"
	stand_ins --latency 20ms --profiles 200 --alerts 200 --reports 50 --iocs 20000
	connector tm-import tm-import-$$
	check "messages arrive" wait_for 90 at_least 500
	"$docker" kill tm-import >/dev/null
	echo "      killed after $(arrived) messages, $(stats | number threatmatch.answered) answers"
	"$docker" start tm-import >/dev/null
	check "everything arrives after docker kill and start" wait_for 240 verdict
	check "$(again) of $(stats | number threatmatch.answered) answers were given twice, those in flight (4 at most)" [ "$(again)" -le 4 ]
	check "$(stats | number worker.repeats) messages came twice (512 at most)" [ "$(stats | number worker.repeats)" -le 512 ]
	check "process is user 65532" [ "$(awk '/^Uid:/{print $2}' "/proc/$(state tm-import Pid)/status")" = 65532 ]
	check "healthy by the image's own check" wait_for 30 has_state tm-import Health.Status healthy
	check "commands work inside" "$docker" exec tm-import threatmatch-connector spool runs
	check "spool file is the user's only" grep -qx 'spool.db 600' <(file_modes tm-import-$$)
	local began=$SECONDS
	"$docker" stop tm-import >/dev/null
	check "stops in $((SECONDS - began)) s, within the grace period" [ $((SECONDS - began)) -lt 15 ]
	check "exit code 0" has_state tm-import ExitCode 0
	check "the log says so" grep -q '"connector stops"' <(logs tm-import)

	say "stopped in the middle of an import"
	stand_ins --latency 20ms --profiles 200 --alerts 200 --reports 50 --iocs 20000 --seed 2
	connector tm-stop tm-stop-$$
	check "messages arrive" wait_for 90 at_least 500
	began=$SECONDS
	"$docker" stop tm-stop >/dev/null
	check "stops in $((SECONDS - began)) s" [ $((SECONDS - began)) -lt 15 ]
	check "exit code 0" has_state tm-stop ExitCode 0
	"$docker" start tm-stop >/dev/null
	check "everything arrives after docker start" wait_for 240 verdict
	check "$(again) answers were given twice" [ "$(again)" -le 4 ]
	check "$(stats | number worker.repeats) messages came twice" [ "$(stats | number worker.repeats)" = 0 ]
	"$docker" stop tm-stop >/dev/null
}

step_lost() {
	say "volume lost: the import goes on from the platform's state"
	stand_ins --profiles 50 --alerts 50 --reports 20 --iocs 2000
	connector tm-lost tm-lost-$$
	check "first import arrives" wait_for 120 verdict
	"$docker" stop tm-lost >/dev/null
	"$docker" rm tm-lost >/dev/null
	"$docker" volume rm tm-lost-$$ >/dev/null
	curl -fs -X POST "$SIM_URL/reset-stats" >/dev/null
	curl -fs -X POST "$SIM_URL/publish?dataset=alerts&n=5" >/dev/null
	connector tm-lost tm-lost-$$
	new_items() { [ "$(stats | number threatmatch.answered)" -ge 5 ] && verdict; }
	check "what is new arrives without the old spool" wait_for 120 new_items
	check "only $(stats | number threatmatch.answered) answers were needed, not all" [ "$(stats | number threatmatch.answered)" -lt 60 ]
	"$docker" stop tm-lost >/dev/null
}

step_users() {
	say "other users and volumes"
	stand_ins --profiles 20 --alerts 20 --reports 5 --iocs 500
	connector tm-openshift tm-openshift-$$ --user 1000680000:0
	check "any user of group 0 can use a new volume" wait_for 90 verdict
	"$docker" stop tm-openshift >/dev/null
	"$docker" run -d --label "$label" --name tm-none --network host --read-only --cap-drop ALL \
		-e OPENCTI_URL -e OPENCTI_TOKEN -e CONNECTOR_ID -e THREATMATCH_URL -e THREATMATCH_CLIENT_ID -e THREATMATCH_CLIENT_SECRET \
		-e CONNECTOR_LOG_LEVEL=info "$image" >/dev/null
	check "without --tmpfs and -v, as a manager starts it, it runs" wait_for 30 grep -q '"connector starts"' <(sleep 3; logs tm-none)
	"$docker" stop tm-none >/dev/null
	mkdir -m 755 "$work/root-owned"
	connector tm-root "$work/root-owned"
	check "a volume of root's ends it" wait_for 30 ended tm-root
	check "exit code 1" has_state tm-root ExitCode 1
	check "the error names the directory and what to do" grep -q 'permission denied.*writable\|writable.*permission denied' <(logs tm-root | tr '\n' ' ')
	logs tm-root | sed 's/^/      /'
	connector tm-shut tm-shut-$$ --user 4711:4711
	check "a user without rights to the volume ends it" wait_for 30 ended tm-shut
	check "exit code 1" has_state tm-shut ExitCode 1
}

# What the Python connector leaves on the platform: itself, and its state.
python_was_here() {
	curl -fs "$OPENCTI_URL/graphql" -H "Authorization: Bearer $OPENCTI_TOKEN" -H 'Content-Type: application/json' -d '{
		"query": "mutation R($input: RegisterConnectorInput) { registerConnector(input: $input) { id } }",
		"variables": {"input": {"id": "'"$CONNECTOR_ID"'", "name": "ThreatMatch", "type": "EXTERNAL_IMPORT", "scope": ["threatmatch"], "auto": false, "only_contextual": false, "playbook_compatible": false}}}' >/dev/null
	curl -fsG -X POST "$SIM_URL/set-state" --data-urlencode "state=$1" >/dev/null
}

# A state that the Python connector left on the platform, and the environment of
# its compose file, unchanged: with the number that of 2024, with the text that of
# 2025 and its misspelt name.
step_migrate() {
	local form state settings
	for form in number text; do
		say "taken over from the Python connector: state as $form"
		stand_ins --profiles 60 --alerts 60 --reports 20 --iocs 2000
		if [ $form = number ]; then state="{\"last_run\": $(date -d '-5 days' +%s)}"; else state="{\"last_run\": \"$(date -u -d '-5 days' +%Y-%m-%dT%H:%M:%S+00:00)\"}"; fi
		python_was_here "$state"
		settings=(-e CONNECTOR_LOG_LEVEL=error -e THREATMATCH_IMPORT_PROFILES=true -e THREATMATCH_IMPORT_ALERTS=true)
		case $form in
		number) settings+=(-e CONNECTOR_TYPE=EXTERNAL_IMPORT -e CONNECTOR_CONFIDENCE_LEVEL=75 -e THREATMATCH_INTERVAL=5
			-e "THREATMATCH_IMPORT_FROM_DATE=2010-01-01 00:00" -e THREATMATCH_IMPORT_REPORTS=true) ;;
		text) settings+=(-e CONNECTOR_DURATION_PERIOD=P1D -e THREATMATCH_IMPORT_FROM_DATE=P30D -e THREATMATCH_IMPORT_IOCS=true
			-e THREATMATCH_TLP_LEVEL=amber -e THREATMATCH_THREAT_ACTOR_AS_INSTRUSION_SET=true) ;;
		esac
		connector tm-$form tm-$form-$$ "${settings[@]}"
		delivered() { "$docker" exec tm-$form threatmatch-connector spool runs --json 2>/dev/null | grep -q '"done": "2'; }
		check "an import ends" wait_for 120 delivered
		echo "      $(stats | number threatmatch.answered) answers; state now: $(stats | python3 -c 'import json,sys; print(json.load(sys.stdin)["connectors"][0]["state"])')"
		check "it began where the other had ended" [ "$(stats | number threatmatch.answered)" -lt 110 ]
		"$docker" exec tm-$form threatmatch-connector repull --dataset reports --from "$(date -u -d '-30 days' +%F)" | sed 's/^/      /'
		all_reports() { curl -fs "$SIM_URL/verdict?dataset=reports" | grep -q '"missing_count": 0'; }
		check "repull --dataset reports brings all reports" wait_for 60 all_reports
		"$docker" stop tm-$form >/dev/null
	done
}

step_memory() {
	say "$objects objects within 128 MiB"
	stand_ins --dense --count-only --profiles 200 --alerts 200 --reports 0 --iocs "$objects"
	connector tm-memory tm-memory-$$
	local pid peak=0 now began=$SECONDS
	pid=$(state tm-memory Pid)
	while at_least 0 && [ "$(arrived)" -lt "$objects" ] && [ $((SECONDS - began)) -lt "${MEMORY_TIME:-1500}" ]; do
		now=$(awk '/^RssAnon:/{print $2}' "/proc/$pid/status" 2>/dev/null || echo 0)
		[ "${now:-0}" -le "$peak" ] || peak=$now
		has_state tm-memory Running true || break
		sleep 0.5
	done
	check "all of them arrived: $(arrived) messages in $((SECONDS - began)) s" at_least "$objects"
	check "not killed for memory" has_state tm-memory OOMKilled false
	check "never restarted" [ "$(state tm-memory Pid)" = "$pid" ]
	echo "      peak of the process's own memory: $((peak / 1024)) MiB"
	"$docker" stop tm-memory >/dev/null
	check "exit code 0" has_state tm-memory ExitCode 0
}

engine
[ -x bin/threatmatch-sim ] && [ -x bin/threatmatch-connector ] || make --no-print-directory build
steps=("$@")
[ $# -gt 0 ] || steps=(build import lost users migrate memory)
for s in "${steps[@]}"; do
	declare -F "step_$s" >/dev/null || { sed -n '2,17p' "$0" >&2; exit 2; }
	"step_$s"
done
say "$failures failed"
[ $failures = 0 ]
