#!/usr/bin/env bash
# Tries the image with a real Docker engine, a real RabbitMQ and the stand-ins:
# build, size, user, read-only root, health, kill and start, stop, lost volume,
# other users, a volume that cannot be written, the move from Python, a memory limit.
#
#   docker-test.sh              everything
#   docker-test.sh STEP…        build import silent lost managed users migrate memory
#   ENGINE_NETWORK=bridge docker-test.sh demo      docker-compose.demo.yml (Debian: docker-compose, iptables)
#
#   OBJECTS   objects of the import under the memory limit (default 200000)
#   IOCS      IOCs of the imports that are killed and stopped (default 20000)
#   BINARY    source (default), or prebuilt: the image takes bin/threatmatch-connector
#   FAIL_FAST not empty: end at the first failure
#   IMAGE     an image to try, instead of building one
#
# docker-engine.sh finds or starts the engine. Exit code 77: none can be had,
# or no curl or python3.
# Containers use the host's network.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${DOCKER_ENGINE:-}" ]; then # what may need downloads, before it
	missing=()
	for tool in curl python3; do command -v $tool >/dev/null || missing+=("$tool"); done
	if [ ${#missing[@]} -gt 0 ] && ! { [ "$(id -u)" = 0 ] && apt-get update -qq && apt-get install -yqq --no-install-recommends "${missing[@]}"; } >/dev/null; then
		echo "docker-test.sh: needs ${missing[*]}"
		exit 77
	fi
	[ -x bin/threatmatch-sim ] && [ -x bin/threatmatch-connector ] || make --no-print-directory build
	[ "${BINARY:-source}" = prebuilt ] || go mod download
	deploy/rabbitmq.sh install
	DOCKER_ENGINE=1 exec deploy/docker-engine.sh "$0" "$@"
fi

objects=${OBJECTS:-200000} iocs=${IOCS:-20000}
image=${IMAGE:-opencti/connector-threatmatch:test}
# shellcheck source=deploy/docker-test-lib.sh
. deploy/docker-test-lib.sh
trap clean EXIT
trap 'exit 143' TERM

step_build() {
	say "image"
	if [ -z "${IMAGE:-}" ]; then
		local base
		base=$(sed -n 's/^ARG GO_IMAGE=//p' deploy/Dockerfile)
		if [ "${BINARY:-source}" = prebuilt ]; then
			base=threatmatch-base:test
			deploy/docker-base.sh --small $base >/dev/null
		else
			"$docker" image inspect "$base" >/dev/null 2>&1 || timeout 120 "$docker" pull -q "$base" >/dev/null 2>&1 || deploy/docker-base.sh >/dev/null
		fi
		"$docker" build -q -f deploy/Dockerfile --network host --build-arg GO_IMAGE="$base" --build-arg BINARY="${BINARY:-source}" \
			--build-arg VERSION=docker-test -t "$image" . >/dev/null
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
	stand_ins --latency 20ms --profiles 200 --alerts 200 --reports 50 --iocs "$iocs"
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
	stand_ins --latency 20ms --profiles 200 --alerts 200 --reports 50 --iocs "$iocs" --seed 2
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

# The broker is frozen, ThreatMatch and OpenCTI take requests and answer none.
step_silent() {
	say "stopped while nothing answers, by Docker's own grace period"
	stand_ins --latency 20ms --profiles 200 --alerts 200 --reports 50 --iocs "$iocs"
	connector tm-silent tm-silent-$$
	check "messages arrive" wait_for 90 at_least 500
	local broker began=$SECONDS
	broker=$(cat "$RABBITMQ_DIR/server.pid")
	kill -STOP "$broker"
	curl -fs -X POST "$SIM_URL/fault?part=threatmatch&rule=do=hang" >/dev/null
	sleep 1
	curl -fs -X POST "$SIM_URL/fault?part=opencti&rule=do=hang" >/dev/null
	began=$(date +%s%N)
	"$docker" stop -t 10 tm-silent >/dev/null
	check "stops in $((($(date +%s%N) - began) / 1000000)) ms" has_state tm-silent ExitCode 0
	kill -CONT "$broker"
	curl -fs -X POST "$SIM_URL/heal" >/dev/null
	"$docker" start tm-silent >/dev/null
	check "everything arrives after docker start" wait_for 240 verdict
	check "$(stats | number worker.repeats) messages came twice (512 at most)" [ "$(stats | number worker.repeats)" -le 512 ]
	"$docker" stop tm-silent >/dev/null
}

new_items() { [ "$(stats | number threatmatch.answered)" -ge 5 ] && verdict; }

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
	check "what is new arrives without the old spool" wait_for 120 new_items
	check "only $(stats | number threatmatch.answered) answers were needed, not all" [ "$(stats | number threatmatch.answered)" -lt 60 ]
	"$docker" stop tm-lost >/dev/null
}

# Neither volume nor --tmpfs nor a name of its own: what a connector manager gives,
# which makes a new container whenever settings change.
step_managed() {
	say "as a connector manager runs it"
	stand_ins --profiles 50 --alerts 50 --reports 20 --iocs 2000
	managed() { # NAME
		"$docker" run -d --label "$label" --name "$1" --network host -e OPENCTI_URL -e OPENCTI_TOKEN -e CONNECTOR_ID \
			-e "CONNECTOR_NAME=$1" -e CONNECTOR_TYPE=EXTERNAL_IMPORT -e OPENCTI_CONFIG_HASH=1 -e NODE_TLS_REJECT_UNAUTHORIZED=0 \
			-e THREATMATCH_URL -e THREATMATCH_CLIENT_ID -e THREATMATCH_CLIENT_SECRET -e CONNECTOR_LOG_LEVEL=info "$image" >/dev/null
	}
	managed tm-managed
	check "an import arrives" wait_for 120 verdict
	"$docker" stop -t 10 tm-managed >/dev/null
	check "exit code 0" has_state tm-managed ExitCode 0
	"$docker" rm -v tm-managed >/dev/null
	curl -fs -X POST "$SIM_URL/reset-stats" >/dev/null
	curl -fs -X POST "$SIM_URL/publish?dataset=alerts&n=5" >/dev/null
	managed tm-again
	check "the next container brings what is new" wait_for 120 new_items
	check "only $(stats | number threatmatch.answered) answers were needed, not all" [ "$(stats | number threatmatch.answered)" -lt 60 ]
	"$docker" stop -t 10 tm-again >/dev/null
}

step_users() {
	say "other users and volumes"
	stand_ins --profiles 20 --alerts 20 --reports 5 --iocs 500
	connector tm-openshift tm-openshift-$$ --user 1000680000:0
	check "any user of group 0 can use a new volume" wait_for 90 verdict
	"$docker" stop tm-openshift >/dev/null
	mkdir -m 755 "$work/root-owned"
	connector tm-root "$work/root-owned"
	check "a volume of root's ends it" wait_for 30 ended tm-root
	check "exit code 1" has_state tm-root ExitCode 1
	check "the error names the directory and what to do" grep -q 'permission denied.*chown -R' <(logs tm-root | tr '\n' ' ')
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
		"$docker" exec tm-$form threatmatch-connector repull --yes --dataset reports --from "$(date -u -d '-30 days' +%F)" | sed 's/^/      /'
		all_reports() { curl -fs "$SIM_URL/verdict?dataset=reports" | grep -q '"missing_count": 0'; }
		check "repull --dataset reports brings all reports" wait_for 60 all_reports
		"$docker" stop tm-$form >/dev/null
	done
}

# As its first lines say, with an image of this machine's broker.
step_demo() {
	say "docker-compose.demo.yml"
	local compose=(docker-compose -p "threatmatch-demo-$$" -f deploy/docker-compose.demo.yml)
	deploy/docker-base.sh >/dev/null
	RABBITMQ_IMAGE=$(deploy/docker-rabbitmq.sh)
	export RABBITMQ_IMAGE SIM_URL=http://localhost:9100/sim PATH="${docker%/*}:$PATH"
	"${compose[@]}" build -q
	"${compose[@]}" up -d
	up() { curl -fs "$SIM_URL/stats" >/dev/null; }
	check "broker and stand-ins come up" wait_for 180 up
	check "messages arrive" wait_for 120 at_least 500
	"${compose[@]}" kill connector-threatmatch
	"${compose[@]}" up -d
	check "everything arrives after kill and up" wait_for 240 verdict
	check "$(again) answers were given twice (4 at most)" [ "$(again)" -le 4 ]
	healthy() { has_state "$("${compose[@]}" ps -q connector-threatmatch)" Health.Status healthy; }
	check "healthy" wait_for 60 healthy
	check "down" "${compose[@]}" down -v
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

steps=("$@")
[ $# -gt 0 ] || steps=(build import silent lost managed users migrate memory)
for s in "${steps[@]}"; do
	declare -F "step_$s" >/dev/null || { sed -n '2,18p' "$0" >&2; exit 2; }
	"step_$s"
done
say "$failures failed"
[ $failures = 0 ]
