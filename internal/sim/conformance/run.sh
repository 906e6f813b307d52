#!/usr/bin/env bash
# Hand every message of an import to OpenCTI's own client, in the versions below,
# into an endpoint that judges what it sends. From PyPI, thrown away afterwards.
#
#   DATA=dir       judge what the connector makes of these STIX bundles
#   RANDOM_OBJECTS=n   how many random objects the worker's stand-in is held to the client on, for each of SEEDS (400, "1 6 7")
#   MESSAGES=dir   judge these messages: archives of connector.send_to_directory, or bundles
#   CONFORMANCE_VENVS=dir   keep the clients there for the next time
set -euo pipefail
cd "$(dirname "$0")/../../.."
here=internal/sim/conformance
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venvs=${CONFORMANCE_VENVS:-$work/venvs}

versions=(6.8.10 6.9.17 newest)
install() { # VERSION
	[ -e "$venvs/$1/complete" ] && return
	python3 -m venv "$venvs/$1"
	local pycti="pycti==$1"
	[ "$1" != newest ] || pycti=pycti
	"$venvs/$1/bin/pip" install --quiet --disable-pip-version-check "$pycti" stix2-patterns==2.1.2 graphql-core==3.3.2
	touch "$venvs/$1/complete"
}
pids=()
for v in "${versions[@]}"; do
	install "$v" >"$work/install-$v.log" 2>&1 &
	pids+=($!)
done

GIVEN=${MESSAGES:-}
if [ -z "$GIVEN" ]; then
	MESSAGES="$work/messages"
	mkdir "$MESSAGES"
	CGO_ENABLED=0 go build -o "$work/" ./cmd/threatmatch-connector ./$here
	files=()
	if [ -n "${DATA:-}" ]; then
		files=("$DATA"/*.json)
	else
		"$work/conformance" "$work/threatmatch-connector" "$MESSAGES"
		cases=../shared/data/cases
		[ -d "$cases" ] || cases=$here/testdata/cases
		for file in "$cases"/*.json ../shared/data/stix/*.json; do
			[ "${file##*/}" = EXPECTED.json ] || [ ! -e "$file" ] || files+=("$file")
		done
	fi
	"$work/conformance" "$work/threatmatch-connector" "$MESSAGES" "${files[@]}"
fi

for i in "${!pids[@]}"; do
	wait "${pids[$i]}" || { cat "$work/install-${versions[$i]}.log"; exit 1; }
done
compare=()
if [ -z "${DATA:-}${GIVEN:-}" ]; then
	mkdir "$work/random"
	"$work/conformance" random "$work/random" "${RANDOM_OBJECTS:-400}" ${SEEDS:-1 6 7}
	compare=("$work/random/random")
fi
pids=()
results=()
for v in "${versions[@]}"; do
	(
		"$venvs/$v/bin/python" $here/judge.py internal/facts "$MESSAGES" "$work/result-$v.json"
		[ -z "${compare[*]}" ] || [ "$v" = newest ] || "$venvs/$v/bin/python" $here/judge.py internal/facts "${compare[0]}" "$work/random-$v.json"
	) &
	pids+=($!)
	results+=("$work/result-$v.json")
done
for pid in "${pids[@]}"; do wait "$pid"; done
code=0
python3 $here/report.py "${results[@]}" || code=$?
if [ -n "${compare[*]}" ]; then
	printf '\nThe stand-in of the worker beside the client:\n'
	python3 $here/agreement.py "$work/random/verdicts.json" "$work"/random-*.json || code=$?
fi

if [ -z "${DATA:-}$GIVEN" ]; then
	printf '\nOpenCTI'"'"'s connector helper against the stand-in of the platform:\n'
	CGO_ENABLED=0 go build -o "$work/" ./cmd/threatmatch-sim
	deploy/rabbitmq.sh install
	export RABBITMQ_DIR="$work/rabbitmq"
	AMQP_URL=$(deploy/rabbitmq.sh start)
	export AMQP_URL
	for v in 6.8.10 6.9.17; do
		$here/helper.sh "$work/threatmatch-sim" "$venvs/$v/bin/python" "$v" || code=$?
	done
	env -u AMQP_URL deploy/rabbitmq.sh clean >/dev/null 2>&1 || true
fi
exit $code
