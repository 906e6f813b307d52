#!/usr/bin/env bash
# Import the same served data with the Python connector and with ours, and compare
# what they would send.
#
#   CONNECTORS=dir   a checkout of OpenCTI's connectors (github.com/OpenCTI-Platform/connectors)
#   BESIDE_VENV=dir  keep the Python connector's environment there for the next time
#   AMQP_URL         a RabbitMQ; else one is started
set -euo pipefail
cd "$(dirname "$0")/../../.."
here=internal/sim/conformance
: "${CONNECTORS:?set CONNECTORS to a checkout of OpenCTI\'s connectors}"
connector=$(cd "$CONNECTORS/external-import/threatmatch/src" && pwd)
work=$(mktemp -d)
sim=''
started=''
stop() {
	[ -z "$sim" ] || { kill "$sim" && wait "$sim"; } 2>/dev/null || true
	[ -z "$started" ] || env -u AMQP_URL deploy/rabbitmq.sh clean >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap stop EXIT
venv=${BESIDE_VENV:-$work/venv}
if [ ! -e "$venv/complete" ]; then
	python3 -m venv "$venv"
	# The SDK comes from the same checkout, not from the network.
	grep -v '^connectors-sdk' "$connector/requirements.txt" >"$work/requirements.txt"
	"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$work/requirements.txt" "$CONNECTORS/connectors-sdk"
	touch "$venv/complete"
fi
CGO_ENABLED=0 go build -o "$work/" ./cmd/...
if [ -z "${AMQP_URL:-}" ]; then
	deploy/rabbitmq.sh install
	export RABBITMQ_DIR="$work/rabbitmq"
	AMQP_URL=$(deploy/rabbitmq.sh start)
	started=yes
fi
export AMQP_URL
# Without quirks: the Python connector ends at the first element that is an error.
"$work/threatmatch-sim" --env-file "$work/env" --profiles 60 --alerts 60 --reports 0 --iocs 400 --quirks none >"$work/sim.log" 2>&1 &
sim=$!
for _ in $(seq 100); do
	[ -s "$work/env" ] && break
	kill -0 "$sim" 2>/dev/null || { cat "$work/sim.log"; exit 1; }
	sleep 0.1
done
set -a
# shellcheck disable=SC1091
. "$work/env"
set +a
export CONNECTOR_TYPE=EXTERNAL_IMPORT CONNECTOR_LOG_LEVEL=error CONNECTOR_RUN_AND_TERMINATE=true CONNECTOR_SEND_TO_QUEUE=false
export CONNECTOR_SEND_TO_DIRECTORY=true CONNECTOR_DURATION_PERIOD=PT1H SPOOL_DIR="$work/spool" THREATMATCH_IMPORT_REPORTS=false
mkdir "$work/theirs" "$work/ours"
(cd "$connector" && CONNECTOR_SEND_TO_DIRECTORY_PATH="$work/theirs" timeout 300 "$venv/bin/python" main.py >"$work/theirs.log" 2>&1) || { tail -20 "$work/theirs.log"; exit 1; }
env -u OPENCTI_URL -u OPENCTI_TOKEN CONNECTOR_SEND_TO_DIRECTORY_PATH="$work/ours" \
	"$work/threatmatch-connector" run --once >"$work/ours.log" 2>&1 || { [ $? = 3 ] || { tail -20 "$work/ours.log"; exit 1; }; }
[ -n "$(ls "$work/theirs")" ] || { tail -20 "$work/theirs.log"; exit 1; }
python3 $here/beside.py "$work/theirs" "$work/ours"
