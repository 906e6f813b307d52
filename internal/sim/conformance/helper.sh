#!/usr/bin/env bash
# helper.sh SIM PYTHON VERSION: the connector on OpenCTI's helper against the
# stand-in of that version, with the broker at AMQP_URL.
set -euo pipefail
sim=$1 python=$2 version=$3
dir=$(mktemp -d)
"$sim" --env-file "$dir/env" --platform-version "$version" --profiles 0 --alerts 0 --reports 0 --iocs 0 >"$dir/log" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null || true; wait $pid 2>/dev/null || true; rm -rf "$dir"' EXIT
for _ in $(seq 100); do
	[ -s "$dir/env" ] && break
	kill -0 $pid 2>/dev/null || { cat "$dir/log"; exit 1; }
	sleep 0.1
done
set -a
# shellcheck disable=SC1091
. "$dir/env"
set +a
export CONNECTOR_TYPE=EXTERNAL_IMPORT CONNECTOR_LOG_LEVEL=error CONNECTOR_DURATION_PERIOD=PT1H OPENCTI_SSL_VERIFY=false
for protocol in amqp api; do
	CONNECTOR_QUEUE_PROTOCOL=$protocol timeout 90 "$python" "$(dirname "$0")/helper.py" 2>"$dir/errors" || { tail -20 "$dir/errors"; exit 1; }
done
# What the stand-in found wrong with any of it, such as an end that was told too early.
python3 - "$SIM_URL" <<-'END'
	import json, sys, urllib.request
	with urllib.request.urlopen(sys.argv[1] + "/stats") as answer:
	    found = json.load(answer)["opencti"]["violations"]
	sys.exit(f"the stand-in found {found}" if found else 0)
END
