#!/usr/bin/env bash
# See the product do its job, without any account: a RabbitMQ, stand-ins for
# ThreatMatch and OpenCTI, one import that is killed in the middle and resumed.
#
#   DATA=dir    serve the STIX bundles of a directory instead of generated data
#   KEEP=1      leave broker and stand-ins running, to play on
#   PROFILES, ALERTS, REPORTS, IOCS   how much is generated
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d "${TMPDIR:-/tmp}/threatmatch-demo.XXXXXX")
export RABBITMQ_DIR="$work/rabbitmq"
foreign_broker=${AMQP_URL:-}
sim_pid='' run_pid=''

bold='' plain=''
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
say() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

stop() {
	[ -z "$run_pid" ] || kill -9 "$run_pid" 2>/dev/null || true
	if [ "${KEEP:-}" = 1 ] && [ -n "$sim_pid" ] && kill -0 "$sim_pid" 2>/dev/null; then
		say "left running (KEEP=1)"
		echo "1. the environment, in each terminal:"
		echo "     set -a; . $work/sim.env; set +a; export SPOOL_DIR=$SPOOL_DIR"
		echo "2. a daemon that imports every minute (Ctrl-C ends it):"
		echo "     CONNECTOR_DURATION_PERIOD=PT1M bin/threatmatch-connector run"
		echo "3. look, in another terminal:  bin/threatmatch-connector status --watch"
		echo "4. disturb:                    bin/threatmatch-sim get $SIM_URL/"
		echo "5. stop it all:"
		echo "     kill $sim_pid; env -u AMQP_URL RABBITMQ_DIR=$RABBITMQ_DIR deploy/rabbitmq.sh clean; rm -rf $work"
		return
	fi
	[ -z "$sim_pid" ] || { kill "$sim_pid" 2>/dev/null && wait "$sim_pid" 2>/dev/null; } || true
	[ -n "$foreign_broker" ] || env -u AMQP_URL deploy/rabbitmq.sh clean >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap stop EXIT

say "building"
make --no-print-directory build

say "RabbitMQ"
AMQP_URL=$(deploy/rabbitmq.sh start)
export AMQP_URL
echo "$AMQP_URL" | sed 's#//[^@]*@#//…@#'

say "stand-ins for ThreatMatch, OpenCTI and its worker"
if [ -n "${DATA:-}" ]; then
	# However little it is, ThreatMatch falls silent in the middle until the kill.
	enough=1
	content=(--stix-dir "$DATA" --fault "threatmatch:route=item,do=hang,skip=2")
	echo "STIX bundles of $DATA"
else
	enough=100
	content=(--profiles "${PROFILES:-200}" --alerts "${ALERTS:-200}" --reports "${REPORTS:-50}" --iocs "${IOCS:-20000}")
	echo "generated: ${content[*]}"
fi
bin/threatmatch-sim --env-file "$work/sim.env" --latency 20ms "${content[@]}" >"$work/sim.log" 2>&1 &
sim_pid=$!
for _ in $(seq 100); do
	[ -s "$work/sim.env" ] && break
	kill -0 "$sim_pid" 2>/dev/null || { cat "$work/sim.log"; exit 1; }
	sleep 0.1
done
set -a
# shellcheck disable=SC1091
. "$work/sim.env"
set +a
export SPOOL_DIR="$work/spool" THREATMATCH_REQUESTS_PER_SECOND=1000 BUNDLE_MAX_WAIT=PT1S

arrived() { bin/threatmatch-sim get "$SIM_URL/stats" | sed -n '/^  "worker"/,$p' | sed -n "s/^    \"$1\": \([0-9]*\),*$/\1/p" | head -1; }
stats() { bin/threatmatch-connector spool stats --json | sed -n "s/^  \"$1\": \([0-9]*\),*$/\1/p"; }

say "import, killed in the middle with SIGKILL"
bin/threatmatch-connector run --once 2>"$work/run1.log" &
run_pid=$!
for _ in $(seq 300); do
	kill -0 "$run_pid" 2>/dev/null || break
	n=$(arrived messages)
	[ "${n:-0}" -ge "$enough" ] && break
	sleep 0.05
done
killed=''
# Together, else the shell reports the kill on its own.
{ kill -9 "$run_pid" && killed=1; wait "$run_pid"; } 2>/dev/null || true
run_pid=''
bin/threatmatch-sim get --method POST "$SIM_URL/heal" >/dev/null
if [ -n "$killed" ]; then
	echo "killed after $n messages; left in the spool: records $(stats records), bundles $(stats bundles), tasks $(stats tasks)"
else
	echo "it finished before it could be killed"
fi

asked() { bin/threatmatch-sim get "$SIM_URL/stats" | sed -n '/^    "answered"/,/}/p' | grep -cE '"(profiles|alerts|reports)/' || true; }
echo "items returned by ThreatMatch so far: $(asked)"

say "restarted: it resumes from the spool"
code=0
bin/threatmatch-connector run --once || code=$?
case $code in
0) echo "exit code 0: everything is delivered" ;;
3) echo "exit code 3: everything is delivered, except what ThreatMatch could not return, which is in the dead letters" ;;
*) echo "exit code $code"; exit "$code" ;;
esac

say "runs"
bin/threatmatch-connector spool runs
say "spool stats"
bin/threatmatch-connector spool stats
say "what arrived at OpenCTI, by type"
bin/threatmatch-sim get "$SIM_URL/stats" | sed -n '/"by_type"/,/}/p' | grep ':' | grep -v by_type | tr -d '",' | sort -k2 -rn
say "verdict of the stand-ins: nothing missing, nothing refused, every work complete"
for _ in $(seq 100); do
	bin/threatmatch-sim get "$SIM_URL/verdict" >"$work/verdict" || true
	grep -q '"ok": true' "$work/verdict" && break
	sleep 0.2
done
cat "$work/verdict"
grep -q '"ok": true' "$work/verdict" || { echo "the verdict is not ok"; exit 1; }

repeated=$(bin/threatmatch-sim get "$SIM_URL/stats" | sed -n '/^    "repeated"/,/]/p' | grep -c / || true)
echo "items returned by ThreatMatch: $(asked); returned twice: ${repeated:-0} (only requests in flight at the kill are repeated)"
echo "messages received: $(arrived messages), sent again with the same content: $(arrived repeats)"

say "where to look next"
echo "  bin/threatmatch-connector spool --help      look into a spool"
echo "  bin/threatmatch-sim --help                  faults, versions, content of the stand-ins"
echo "  README.md                                   configuration and operating"
